"""Where a message goes, worked out once, and how to tell that it still goes there.

What a publisher knows may be out of date. A route therefore comes with the checks that tell: the publishing script
compares them in the same step in which it publishes.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.exceptions import NotFound
from kombu.transport.virtual.policy import PLAIN
from kombu.utils import json

from .mirror import FOREIGN_AGE, MEMO_LIMIT, Known, Mirror
from .outlet import Stream
from .rows import Binding, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kombu.transport.virtual.policy import QueuePolicy
    from kombu.transport.virtual.routing import ExchangeSpec
    from kombu.transport.virtual.tables import Destination

__all__ = ("Check", "Route", "Routes")

#: kind ("h": hash field, "s": size of a set), key, field, expected value.
Check = tuple[str, str, str, str]


class Route(NamedTuple):
    """Where a message goes."""

    queues: tuple[tuple[str, QueuePolicy], ...]
    #: What has to be so at the server for the rest to hold.
    checks: tuple[Check, ...]
    #: Pub/sub channel the message is published on; None: no fanout exchange is on its way.
    fanout_channel: str | None
    #: The others, when there are more.
    more_channels: tuple[str, ...] = ()
    #: When it must not be used any more, by the monotonic clock.
    stale_at: float | None = None
    #: Streams of fanout exchanges on its way that a queue reads it from.
    streams: tuple[Stream, ...] = ()


class Routes(Mirror):
    """Routes over what is mirrored; read again when it is of some age or the server says that it changed."""

    #: What ``state.routes`` was when the memo was begun: it is another object after each change of the topology.
    _memo_of: object = None

    def route(self, exchange: str, routing_key: str, headers: Mapping[str, Any] | None = None) -> Route:
        """Where a message goes, remembered until anything changes.

        Raises:
            NotFound: there is no such exchange.
        """
        if self._memo_of is self.state.routes:
            found = self._memo.get((exchange, routing_key))
            if found is not None and (found.stale_at is None or monotonic() < found.stale_at):
                return found
        with self.client.lock:
            return self._find(exchange, routing_key, headers or {})

    def _find(self, exchange: str, key: str, headers: Mapping[str, Any]) -> Route:
        queues, fanouts, seen, pure, stale_at = self._walk(exchange, key, headers)
        if len(self._specs) >= MEMO_LIMIT:
            self._forget_idle()
        self.load_queue(*(name for name in queues if name not in self._specs))
        checks: list[Check] = []
        for name in seen:
            checks += self._checks_of(name)
        targets = []
        for name in queues:
            spec = self.state.queues.get(name)
            targets.append((name, spec.policy if spec is not None else PLAIN))
            checks.append(("h", self.keys.queues_of(name), name, self._specs[name]))
        channels = [channel for name in fanouts for channel in self.keys.channels(name, key)]
        found = Route(
            tuple(targets),
            tuple(checks),
            channels[0] if channels else None,
            tuple(channels[1:]),
            stale_at,
            self._streams(fanouts, key, set(queues)),
        )
        if self._memo_of is not self.state.routes or len(self._memo) >= MEMO_LIMIT:
            self._memo, self._memo_of = {}, self.state.routes
        if pure:
            self._memo[exchange, key] = found
        return found

    def _streams(self, fanouts: Iterable[str], key: str, reached: set[str]) -> tuple[Stream, ...]:
        """The streams that queues read a message from; none reads it that has it already."""
        found = []
        for name in fanouts:
            readers = self.readers(name, key)
            if readers - reached:
                twice = sorted(readers & reached)
                found.append(Stream(name, json.dumps(twice) if twice else ""))
            reached |= readers
        return tuple(found)

    def readers(self, exchange: str, key: str) -> set[str]:
        """The queues that read a message from the exchange's stream."""
        bound = self._bound(exchange)
        return {each.to[1] for each in bound if each.stream and self.keys.selects(each.key, key)}

    def _bound(self, exchange: str) -> Iterator[Binding]:
        for row in self._known[exchange].bound:
            binding = Binding.from_json(text(row))
            if binding is not None:
                yield binding

    def _walk(
        self, start: str, key: str, headers: Mapping[str, Any]
    ) -> tuple[dict[str, None], list[str], list[str], bool, float | None]:
        """Queues, fanout exchanges and all exchanges reached; whether headers played no part; until when."""
        if start == "":
            return {key: None}, [], [], True, None
        queues: dict[str, None] = {}
        fanouts: list[str] = []
        pure, stale_at = True, None
        seen, waiting = [start], [start]
        while waiting:
            name = waiting.pop()
            spec, known = self._fresh(name)
            if spec is None:
                if name == start:
                    raise NotFound(
                        f"NOT_FOUND - no exchange {name!r} in vhost {self.state.vhost!r}",
                        (60, 40),
                        "Basic.publish",
                    )
                continue
            if known.foreign and spec.type not in ("fanout", "headers"):
                stale_at = min(stale_at or known.read_at + FOREIGN_AGE, known.read_at + FOREIGN_AGE)
            pure = pure and not spec.table.uses_headers
            reached = self._match(name, spec, key, headers)
            if spec.type == "fanout":
                fanouts.append(name)
            onward = [name for kind, name in reached if kind == "exchange"]
            queues.update((name, None) for kind, name in reached if kind == "queue")
            if not reached and spec.type != "fanout" and spec.alternate is not None:
                onward = [spec.alternate]
            fresh = [name for name in dict.fromkeys(onward) if name not in seen]
            waiting += fresh
            seen += fresh
        return queues, fanouts, seen, pure, stale_at

    def _match(
        self, name: str, spec: ExchangeSpec, key: str, headers: Mapping[str, Any]
    ) -> list[Destination]:
        if spec.type != "fanout":
            return spec.table.match(key, headers)
        # Broadcasts by pub/sub or stream reach their queues without us.
        return list({binding.to: None for binding in self._bound(name) if not binding.stream})

    def _fresh(self, name: str) -> tuple[ExchangeSpec | None, Known]:
        known = self._known.get(name)
        if (
            known is None
            or known.value is None
            or (known.foreign and monotonic() - known.read_at >= FOREIGN_AGE)
        ):
            self.load_exchange(name)
        return self.state.exchanges.get(name), self._known.get(name) or Known()

    def _checks_of(self, name: str) -> list[Check]:
        spec, known = self.state.exchanges.get(name), self._known.get(name)
        value = known.value or "" if known is not None else ""
        checks: list[Check] = [("h", self.keys.exchanges, name, value)]
        if spec is None or known is None or spec.type not in ("fanout", "headers"):
            checks.append(("s", self.keys.binding(name), "", str(known.size if known is not None else 0)))
        if not value and spec is not None:
            checks.append(("s", self.keys.bound(name), "", str(len(known.bound) if known is not None else 0)))
        return checks

    def _reload(self, checks: Iterable[Check]) -> None:
        """Read again what these checks are about."""
        exchanges = {field for kind, key, field, _ in checks if key == self.keys.exchanges}
        queues = {field for kind, key, field, _ in checks if kind == "h" and key == self.keys.queues_of(field)}
        self.load_exchange(*sorted(exchanges))
        self.load_queue(*sorted(queues))

    def _forget_idle(self) -> None:
        """Forget queues that were just written to by their names: reply queues come and go."""
        for name in list(self._specs):
            spec = self.state.queues.get(name)
            mine = spec is not None and (spec.consumers or self._is_mine(("queue", name)))
            if not mine and not self.state.bindings_of(("queue", name)):
                self._forget_queue(name)
