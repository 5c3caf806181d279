"""What a queue does to its messages: priority, time to live, length limit, dead letters, delivery limit. Pure.

The current time is always an argument, in seconds since the epoch: stamps travel between machines. Rules:
RabbitMQ's documentation of TTL, length limits, priority queues and dead-lettering.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = (
    "PLAIN",
    "QueuePolicy",
    "count_delivery",
    "dead_letter",
    "delivery_count",
    "exceeds_delivery_limit",
    "expires_at",
    "goes_in_circles",
    "is_expired",
    "priority_of",
)

OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")

#: Queue argument -> (field of the policy, smallest value, divisor).
_NUMBERS = {
    "x-message-ttl": ("message_ttl", 0, 1000),
    "x-expires": ("expires", 1, 1000),
    "x-max-length": ("max_length", 0, 1),
    "x-max-length-bytes": ("max_length_bytes", 0, 1),
    "x-max-priority": ("max_priority", 1, 1),
    "x-delivery-limit": ("delivery_limit", 0, 1),
}


@dataclass(frozen=True)
class QueuePolicy:
    """A queue's ``x-`` arguments, checked and in seconds, bytes and counts. None: not set."""

    message_ttl: float | None = None
    expires: float | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str = "drop-head"
    max_priority: int | None = None
    delivery_limit: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> QueuePolicy:
        """Read the arguments of ``queue.declare``; those of other brokers are left alone.

        Raises:
            ValueError: a value is impossible; the text names the argument, the value and what was expected.
        """
        values: dict[str, Any] = {}
        for name, (field, least, divisor) in _NUMBERS.items():
            value = arguments.get(name)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"invalid arg {name!r}: {value!r} is not an integer of at least {least}")
            values[field] = value if divisor == 1 else value / divisor
        if values.get("max_priority", 0) > 255:
            raise ValueError(f"invalid arg 'x-max-priority': {arguments['x-max-priority']!r} is above 255")
        overflow = arguments.get("x-overflow")
        if overflow is not None:
            if overflow not in OVERFLOWS:
                raise ValueError(f"invalid arg 'x-overflow': {overflow!r} is none of {', '.join(OVERFLOWS)}")
            values["overflow"] = overflow
        for name in ("x-dead-letter-exchange", "x-dead-letter-routing-key"):
            value = arguments.get(name)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"invalid arg {name!r}: {value!r} is not text")
            values[name[2:].replace("-", "_")] = value
        if values["dead_letter_routing_key"] is not None and values["dead_letter_exchange"] is None:
            raise ValueError("invalid arg 'x-dead-letter-routing-key' without 'x-dead-letter-exchange'")
        policy = cls(**values)
        return PLAIN if policy == PLAIN else policy

    @property
    def limits_length(self) -> bool:
        return self.max_length is not None or self.max_length_bytes is not None

    @property
    def refuses(self) -> bool:
        """Whether a full queue refuses the new message instead of dropping the oldest."""
        return self.overflow != "drop-head"


#: The policy of a queue without arguments; compared by identity where it matters.
PLAIN = QueuePolicy()


def expires_at(expiration: Any, policy: QueuePolicy, now: float) -> float | None:
    """When a message expires: the lower of its own ``expiration`` (milliseconds, as text) and the queue's TTL.

    Raises:
        ValueError: the expiration is not a number of milliseconds, or negative.
    """
    ttl = policy.message_ttl
    if expiration is not None:
        try:
            own = int(expiration) / 1000.0
        except (TypeError, ValueError):
            own = -1.0
        if own < 0:
            raise ValueError(f"expiration {expiration!r} is not a whole number of milliseconds")
        ttl = own if ttl is None else min(ttl, own)
    return None if ttl is None else now + ttl


def is_expired(properties: Mapping[str, Any], now: float) -> bool:
    """Whether the message's stamp ``expires_at`` has passed."""
    when = properties.get("expires_at")
    return when is not None and when <= now


def priority_of(properties: Mapping[str, Any], policy: QueuePolicy) -> int:
    """The level a message has in this queue: 0 without ``x-max-priority``, never above it."""
    if policy.max_priority is None:
        return 0
    return max(0, min(properties.get("priority") or 0, policy.max_priority))


def delivery_count(message: Mapping[str, Any]) -> int:
    """How often the message was delivered before."""
    return int(message["properties"].get("delivery_count") or 0)


def count_delivery(message: dict[str, Any]) -> int:
    """Note on the message that it comes back from a consumer; the new count.

    The properties are replaced, not changed: the consumer may still hold the message with those it was delivered with.
    """
    count = delivery_count(message) + 1
    message["properties"] = {**message["properties"], "delivery_count": count}
    return count


def exceeds_delivery_limit(count: int, policy: QueuePolicy) -> bool:
    """Whether a message that came back ``count`` times must not be delivered again."""
    return policy.delivery_limit is not None and count > policy.delivery_limit


def dead_letter(
    message: Mapping[str, Any], queue: str, reason: str, policy: QueuePolicy, now: float
) -> tuple[str, str, dict[str, Any]] | None:
    """The message as it goes to the dead-letter exchange, and where: (exchange, routing key, message).

    ``reason`` is ``rejected``, ``expired``, ``maxlen`` or ``delivery_limit``. None when the queue has no
    dead-letter exchange. The original is not changed.
    """
    exchange = policy.dead_letter_exchange
    if exchange is None:
        return None
    properties = dict(message["properties"])
    origin = properties.get("delivery_info") or {}
    original_key = origin.get("routing_key") or ""
    death = {
        "count": 1,
        "reason": reason,
        "queue": queue,
        "time": int(now),
        "exchange": origin.get("exchange") or "",
        "routing-keys": [original_key],
    }
    expiration = properties.pop("expiration", None)
    if expiration is not None:
        death["original-expiration"] = expiration
    for stamp in ("expires_at", "delivery_count", "delivery_tag"):
        properties.pop(stamp, None)
    headers = dict(message["headers"] or {})
    headers["x-death"] = _add_death(_deaths(headers), death)
    headers.setdefault("x-first-death-exchange", death["exchange"])
    headers.setdefault("x-first-death-queue", queue)
    headers.setdefault("x-first-death-reason", reason)
    key = policy.dead_letter_routing_key
    return (
        exchange,
        original_key if key is None else key,
        {**message, "headers": headers, "properties": properties},
    )


def _deaths(headers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What ``x-death`` says; of what another program put there, only what has its form."""
    found = headers.get("x-death")
    return [death for death in found if isinstance(death, dict)] if isinstance(found, (list, tuple)) else []


def _add_death(deaths: Iterable[dict[str, Any]], death: dict[str, Any]) -> list[dict[str, Any]]:
    """The ``x-death`` header with one more death, the latest first; the same queue and reason are counted."""
    others = []
    for known in deaths:
        if known.get("queue") == death["queue"] and known.get("reason") == death["reason"]:
            count = known.get("count")
            death = {**known, "count": (count if isinstance(count, int) else 0) + 1, "time": death["time"]}
        else:
            others.append(known)
    return [death, *others]


def goes_in_circles(message: Mapping[str, Any], queue: str) -> bool:
    """Whether a dead letter has been in ``queue`` before and nobody rejected it since: it would go round for ever."""
    deaths = _deaths(message["headers"] or {})
    return any(death.get("queue") == queue for death in deaths) and all(
        death.get("reason") != "rejected" for death in deaths
    )
