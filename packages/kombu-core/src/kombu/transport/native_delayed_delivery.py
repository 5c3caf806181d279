"""Delayed messages on RabbitMQ: 28 queues with a time to live of 1, 2, 4, ... seconds, passed through as needed.

A delay is written in binary in front of the routing key, the greatest power of two first: 5 s is ``...1.0.1.key``.
Each level has a topic exchange: where its digit is 1 the message waits in the level's queue, and either way it goes on
to the next level, and after the last to the delivery exchange, to which the exchanges of the users are bound.
The topology and its names are those of kombu 5.5 and later, so publishers and consumers of both work together.
"""

from __future__ import annotations

import re
from logging import getLogger
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu import Connection, Queue

__all__ = (
    "CELERY_DELAYED_DELIVERY_EXCHANGE",
    "MAX_LEVEL",
    "MAX_NUMBER_OF_BITS_TO_USE",
    "bind_queue_to_native_delayed_delivery_exchange",
    "calculate_routing_key",
    "declare_native_delayed_delivery_exchanges_and_queues",
    "level_name",
)

logger = getLogger("kombu.transport.native_delayed_delivery")

MAX_NUMBER_OF_BITS_TO_USE = 28
MAX_LEVEL = MAX_NUMBER_OF_BITS_TO_USE - 1
CELERY_DELAYED_DELIVERY_EXCHANGE = "celery_delayed_delivery"

_DELAY = re.compile(rf"^(?:[01]\.){{{MAX_NUMBER_OF_BITS_TO_USE}}}")


def level_name(level: int, prefix: str | None = None) -> str:
    """The name of a level's queue and exchange; level n delays by 2 to the n seconds.

    Raises:
        ValueError: a negative level.
    """
    if level < 0:
        raise ValueError("level must be a non-negative number")
    return _prefixed(f"celery_delayed_{level}", prefix)


def _prefixed(name: str, prefix: str | None) -> str:
    return f"{prefix}_{name}" if prefix else name


def declare_native_delayed_delivery_exchanges_and_queues(
    connection: Connection, queue_type: str, prefix: str | None = None
) -> None:
    """Declare the queues and exchanges that delay.

    Arguments:
        queue_type: ``classic`` or ``quorum``.
        prefix: put in front of all names.

    Raises:
        ValueError: another type of queue.
    """
    if queue_type not in ("classic", "quorum"):
        raise ValueError("queue_type must be either classic or quorum")
    channel = connection.default_channel
    delivery = _prefixed(CELERY_DELAYED_DELIVERY_EXCHANGE, prefix)
    for level in range(MAX_LEVEL, -1, -1):
        name = level_name(level, prefix)
        arguments: dict[str, Any] = {
            "x-queue-type": queue_type,
            "x-overflow": "reject-publish",
            "x-message-ttl": 2**level * 1000,
            "x-dead-letter-exchange": level_name(level - 1, prefix) if level else delivery,
        }
        if queue_type == "quorum":
            arguments["x-dead-letter-strategy"] = "at-least-once"
        _declare_exchange(channel, name)
        channel.queue_declare(queue=name, durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind(queue=name, exchange=name, routing_key=_digit(level, 1))
    _declare_exchange(channel, delivery)
    for level in range(MAX_LEVEL, -1, -1):
        channel.exchange_bind(
            destination=level_name(level - 1, prefix) if level else delivery,
            source=level_name(level, prefix),
            routing_key=_digit(level, 0),
        )


def _declare_exchange(channel: Any, name: str) -> None:
    channel.exchange_declare(exchange=name, type="topic", durable=True, auto_delete=False)


def _digit(level: int, value: int) -> str:
    """The pattern of routing keys that have ``value`` as the digit of ``level``."""
    return "*." * (MAX_LEVEL - level) + f"{value}.#"


def bind_queue_to_native_delayed_delivery_exchange(
    connection: Connection, queue: Queue, prefix: str | None = None
) -> None:
    """Have delayed messages reach ``queue``, by the exchange and routing key of each of its bindings.

    A direct exchange cannot be reached, since it knows no patterns: that is logged.
    """
    channel = connection.default_channel
    bound: Any = queue(channel)
    bindings = bound.bindings or ((bound,) if bound.exchange else ())
    for binding in bindings:
        exchange, routing_key = binding.exchange, binding.routing_key or ""
        if exchange.type == "direct":
            logger.warning(
                "exchange %r is direct, which native delayed delivery cannot reach: messages to %r are not delayed",
                exchange.name,
                bound.name,
            )
            continue
        pattern = routing_key if routing_key.startswith("#") else f"#.{routing_key}"
        exchange(channel).declare()
        delivery = _prefixed(CELERY_DELAYED_DELIVERY_EXCHANGE, prefix)
        channel.exchange_bind(destination=exchange.name, source=delivery, routing_key=pattern)
        channel.queue_bind(queue=bound.name, exchange=exchange.name, routing_key=pattern)


def calculate_routing_key(countdown: int, routing_key: str) -> str:
    """The routing key with which a message sent to the highest level arrives after ``countdown`` seconds.

    A delay that the routing key has already is replaced.

    Raises:
        ValueError: ``countdown`` is not between 1 and 2 to the 28 minus 1, or there is no routing key.
    """
    if countdown < 1:
        raise ValueError("countdown must be a positive number")
    if countdown >> MAX_NUMBER_OF_BITS_TO_USE:
        raise ValueError(
            f"countdown must be less than {2**MAX_NUMBER_OF_BITS_TO_USE} seconds (8.5 years), not {countdown}"
        )
    if not routing_key:
        raise ValueError("routing_key must be non-empty")
    digits = ".".join(format(countdown, f"0{MAX_NUMBER_OF_BITS_TO_USE}b"))
    return f"{digits}.{_DELAY.sub('', routing_key)}"
