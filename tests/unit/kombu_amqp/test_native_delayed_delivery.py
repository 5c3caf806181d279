"""Native delayed delivery: its names and topology are kombu 5.7's, and messages come on time."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)
from tests.support.rabbit import RabbitMQ

ZEROS = "0." * 28


def test_names() -> None:
    assert (level_name(3), level_name(0, "p"), level_name(2, "")) == (
        "celery_delayed_3",
        "p_celery_delayed_0",
        "celery_delayed_2",
    )
    with pytest.raises(ValueError, match="non-negative"):
        level_name(-1)


def test_routing_keys() -> None:
    assert calculate_routing_key(30, "foo") == ZEROS[:46] + "1.1.1.1.0.foo"
    assert calculate_routing_key(1, "a.b") == ZEROS[:54] + "1.a.b"
    assert calculate_routing_key(2**28 - 1, "k") == "1." * 28 + "k"
    assert calculate_routing_key(5, calculate_routing_key(9, "k")) == calculate_routing_key(5, "k")
    for countdown in (0, -1, 2**28):
        with pytest.raises(ValueError, match="countdown"):
            calculate_routing_key(countdown, "k")
    with pytest.raises(ValueError, match="routing_key"):
        calculate_routing_key(1, "")


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_topology(victim: RabbitMQ, queue_type: str) -> None:
    # When: twice, as by every worker that starts
    with Connection(victim.url) as connection:
        for _ in range(2):
            declare_native_delayed_delivery_exchanges_and_queues(connection, queue_type, prefix=queue_type)
    # Then: as observed with kombu 5.7.0
    queues = dict(row.split("\t") for row in victim.ctl("list_queues", "name", "arguments").splitlines())
    strategy = ',{"x-dead-letter-strategy","at-least-once"}' if queue_type == "quorum" else ""
    for level, after in ((27, "celery_delayed_26"), (1, "celery_delayed_0"), (0, "celery_delayed_delivery")):
        assert queues[f"{queue_type}_celery_delayed_{level}"] == (
            f'[{{"x-queue-type","{queue_type}"}},{{"x-overflow","reject-publish"}},'
            f'{{"x-message-ttl",{2**level * 1000}}},'
            f'{{"x-dead-letter-exchange","{queue_type}_{after}"}}{strategy}]'
        )
    rows = victim.ctl("list_bindings", "source_name", "destination_name", "routing_key").splitlines()
    bindings = {tuple(row.split("\t")) for row in rows if row.startswith(queue_type)}
    name = f"{queue_type}_celery_delayed_"
    expected = {
        *((f"{name}{level}", f"{name}{level}", "*." * (27 - level) + "1.#") for level in range(28)),
        *((f"{name}{level}", f"{name}{level - 1}", "*." * (27 - level) + "0.#") for level in range(1, 28)),
        (f"{name}0", f"{name}delivery", "*." * 27 + "0.#"),
    }
    assert bindings == expected


def test_arrives_on_time(victim: RabbitMQ) -> None:
    with Connection(victim.url) as connection:
        # Given
        declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum")
        queue = Queue("delayed", Exchange("delayed-users", "topic"), "some.key")
        queue(connection.default_channel).declare()
        bind_queue_to_native_delayed_delivery_exchange(connection, queue)
        received: list[Any] = []
        with connection.Consumer([queue], on_message=received.append):
            # When
            started = monotonic()
            connection.Producer().publish(
                "later", exchange=level_name(27), routing_key=calculate_routing_key(3, "some.key")
            )
            connection.drain_events(timeout=30)
            took = monotonic() - started
        # Then: through two queues
        (message,) = received
        passed = [death["queue"] for death in message.headers["x-death"]]
        assert message.payload == "later" and sorted(passed) == [level_name(0), level_name(1)]
        assert took >= 2.9


def test_a_direct_exchange_is_logged(victim: RabbitMQ, caplog: pytest.LogCaptureFixture) -> None:
    with Connection(victim.url) as connection, caplog.at_level(logging.WARNING):
        queue = Queue("delayed-direct", Exchange("delayed-direct", "direct"), "k")
        queue(connection.default_channel).declare()
        bind_queue_to_native_delayed_delivery_exchange(connection, queue)
        assert "direct" in caplog.text
