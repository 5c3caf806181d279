"""How exchanges, queues and bindings are written in Redis. Pure.

Rows ``key sep pattern sep queue`` are kombu 5's; everything else is JSON, with sorted names so that equal is equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.transport.virtual.exchange import TopicExchange
from kombu.utils import json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kombu.transport.virtual.tables import Destination

__all__ = (
    "Binding",
    "ExchangeValue",
    "QueueValue",
    "Source",
    "dump_exchange",
    "dump_queue",
    "guess_type",
    "load_exchange",
    "load_queue",
    "text",
)

_key_to_pattern = TopicExchange(None).key_to_pattern


def text(reply: bytes | None) -> str:
    """A reply as text; none is empty."""
    return reply.decode("utf-8", "surrogateescape") if reply else ""


def _dump(value: object) -> str:
    return str(json.dumps(value, sort_keys=True))


class ExchangeValue(NamedTuple):
    """What the hash of exchanges says: see ``lua/topology.lua``."""

    type: str
    durable: bool
    auto_delete: bool
    arguments: Mapping[str, Any]
    #: Size of the set of bindings after the last change by a client of this kind.
    rows: int = 0
    #: Whether clients of another kind have ever changed it.
    foreign: bool = False


def dump_exchange(type: str, durable: bool, auto_delete: bool, arguments: Mapping[str, Any]) -> str:
    """The JSON of an exchange."""
    about = {"type": type, "durable": durable, "auto_delete": auto_delete, "arguments": dict(arguments)}
    return _dump(about)


def load_exchange(value: str) -> ExchangeValue:
    """Read ``<version>.<rows>[f]|<JSON>``.

    Raises:
        ValueError: it is something else.
    """
    head, bar, tail = value.partition("|")
    count = head.partition(".")[2]
    about = json.loads(tail) if bar else None
    if not isinstance(about, dict) or not count.rstrip("f").isdigit():
        raise ValueError(f"{value!r} in the hash of exchanges: expected '<version>.<rows>[f]|<JSON object>'")
    return ExchangeValue(
        str(about.get("type") or "direct"),
        bool(about.get("durable")),
        bool(about.get("auto_delete")),
        about.get("arguments") or {},
        int(count.rstrip("f")),
        count.endswith("f"),
    )


class QueueValue(NamedTuple):
    """What the hash of queues says."""

    durable: bool
    exclusive: bool
    auto_delete: bool
    arguments: Mapping[str, Any]
    #: The connection an exclusive queue belongs to; "" for others.
    owner: str = ""


def dump_queue(value: QueueValue) -> str:
    """The JSON of a queue."""
    return _dump(value._asdict() | {"arguments": dict(value.arguments)})


def load_queue(value: str) -> QueueValue:
    """Read the JSON of a queue; :exc:`ValueError` when it is none."""
    about = json.loads(value)
    if not isinstance(about, dict):
        raise ValueError(f"{value!r} in the hash of queues: expected a JSON object")
    return QueueValue(
        bool(about.get("durable")),
        bool(about.get("exclusive")),
        bool(about.get("auto_delete")),
        about.get("arguments") or {},
        str(about.get("owner") or ""),
    )


class Binding(NamedTuple):
    """A binding of one exchange: what it leads to, by which key, with which arguments."""

    to: Destination
    key: str
    arguments: Mapping[str, Any]
    #: Broadcasts are kept in the exchange's stream, and the queue reads that.
    stream: bool = False

    def row(self, sep: str, topic: bool) -> str:
        """As kombu 5 writes it: a topic's key also as a regular expression. Arguments have no place in it."""
        return sep.join((self.key, _key_to_pattern(self.key) if topic else "", self.to[1]))

    @classmethod
    def from_row(cls, row: str, sep: str) -> Binding | None:
        """Read such a row; None when it is something else."""
        parts = row.split(sep)
        return cls(("queue", parts[2]), parts[0], {}) if len(parts) == 3 and parts[2] else None

    def json(self) -> str:
        """As JSON, for what kombu 5 has no rows for."""
        return _dump([*self.to, self.key, dict(self.arguments), *(["stream"] if self.stream else [])])

    @classmethod
    def from_json(cls, row: str) -> Binding | None:
        """Read it; None when it is something else."""
        try:
            kind, name, key, arguments, *more = json.loads(row)
            return cls((str(kind), str(name)), str(key), dict(arguments), more == ["stream"])
        except (TypeError, ValueError):
            return None


class Source(NamedTuple):
    """Where a destination is bound: exchange, kind of row (``row``, ``bound`` or ``stream``) and the row."""

    exchange: str
    kind: str
    row: str

    def json(self) -> str:
        return _dump(list(self))

    @classmethod
    def from_json(cls, value: str) -> Source:
        return cls(*json.loads(value))


def guess_type(rows: Iterable[str], sep: str) -> str:
    """The type of an exchange that only kombu 5 declared, which keeps types to itself: topics have patterns."""
    return "topic" if any(row.split(sep)[1:2] not in ([], [""]) for row in rows) else "direct"
