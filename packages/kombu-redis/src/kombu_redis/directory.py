"""The topology at the server: what the verbs of a channel write to it.

Each change is one script: it happens or it does not, and whoever publishes at that moment sees it or does not. Two who
declare the same thing differently: the first wins, the other gets the error that RabbitMQ gives.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.exceptions import NotFound, PreconditionFailed
from kombu.transport.virtual.routing import frozen

from .lifetimes import script
from .mirror import ROW_LIFE, locked
from .recovery import Recovery
from .rows import Binding, QueueValue, Source, dump_exchange, dump_queue, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kombu.transport.virtual.exchange import BrokerState
    from kombu.transport.virtual.tables import Destination

    from .client import Client
    from .keys import Keys
    from .options import Options
    from .routes import Route

__all__ = ("Directory",)


class Directory(Recovery):
    """Exchanges, queues and bindings at the server, mirrored in ``state``. For several threads.

    Arguments:
        me: names this connection among all.
    """

    _declare_exchange, _delete_exchange = script("declare_exchange"), script("delete_exchange")
    _declare_queue, _bind, _unbind = script("declare_queue"), script("bind"), script("unbind")

    def __init__(self, client: Client, keys: Keys, options: Options, state: BrokerState, me: str) -> None:
        super().__init__(client, keys, options, state, me)
        self._consuming = {}
        self._exclusive = {}
        self._mine = {}
        self._rebind_at = monotonic() + ROW_LIFE / 3

    # -- exchanges -----------------------------------------------------------------------------------------

    @locked
    def declare_exchange(
        self, name: str, type: str, durable: bool, auto_delete: bool, arguments: Mapping[str, Any] | None
    ) -> None:
        """Create the exchange, or check that the existing one is equivalent.

        Raises:
            NotEquivalentError: it exists with other properties; the text names the first that differs, and both values.
        """
        arguments = arguments or {}
        self.meet()
        if not name.startswith("amq."):
            keys = [self.keys.exchanges, self.keys.binding(name)]
            about = dump_exchange(type, durable, auto_delete, arguments)
            was, value = map(text, self.client.run(self._declare_exchange, keys, [name, about]))
            known = self._known.get(name)
            if known is None or known.value != value:
                self._read([name])
        self.state.declare_exchange(name, type, durable, auto_delete, arguments)
        self._mine["exchange", name] = (name, type, durable, auto_delete, arguments)

    @locked
    def delete_exchange(self, name: str, if_unused: bool = False) -> bool:
        """Remove an exchange with its bindings; False when ``if_unused`` and something is bound to it."""
        keys = self.keys
        while True:
            members = self.client.call("SMEMBERS", keys.sources("exchange", name))
            sources = [Source.from_json(text(member)) for member in members]
            touched = [
                keys.exchanges,
                keys.binding_deadlines,
                keys.binding(name),
                keys.binding_permanent(name),
            ]
            touched += [keys.bound(name), keys.sources("exchange", name)]
            touched += [keys.stream(name), keys.streamed(name), keys.queues]
            arguments: list[str | int] = [name, "1" if if_unused else "", len(members)]
            for source in sources:
                touched += [keys.binding(source.exchange), keys.bound(source.exchange)]
                arguments += [source.exchange, source.row]
            answer = self.client.run(self._delete_exchange, touched, arguments)
            if answer != b"stale":
                break
        if answer == b"used":
            return False
        self._forget_exchange(name)
        return True

    # -- queues --------------------------------------------------------------------------------------------

    @locked
    def declare_queue(
        self,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> None:
        """Create the queue, or check that the existing one is equivalent.

        Raises:
            NotEquivalentError: it exists with other properties; the text names the first that differs, and both values.
            PreconditionFailed: an argument has an impossible value.
        """
        arguments = arguments or {}
        owner = self.owner if exclusive else None
        value = QueueValue(durable, exclusive, auto_delete, arguments, self.me if exclusive else "")
        about = dump_queue(value)
        self.meet()
        if exclusive:
            self.show_life()  # before anybody sees the queue, who would take its owner for dead
        while True:
            # First here: that is where impossible arguments are refused.
            spec = self.state.declare_queue(name, durable, exclusive, auto_delete, arguments, owner)
            keys = [self.keys.queues_of(name), self.keys.temporary_of(name)]
            answer = text(self.client.run(self._declare_queue, keys, [name, about, self._idle_time(spec)]))
            if answer == "expired":
                self.remove_queue(name, expired=True)
                continue
            if answer in ("", about):
                self._specs[name] = about
                self._memo = {}
                break
            self._sync_queue(name, answer)
            self.state.declare_queue(name, durable, exclusive, auto_delete, arguments, owner)
            break
        if exclusive:
            self._exclusive[name] = monotonic()
        self._mine["queue", name] = (name, durable, exclusive, auto_delete, arguments)

    def has_queue(self, name: str) -> bool:
        """Whether the queue is declared, or kombu 5 or the default exchange has put messages into it."""
        if name not in self.state.queues:
            self.load_queue(name)
        if name in self.state.queues:
            return True
        levels = self.keys.levels(name, 9 if self.options.priority_order == "rabbitmq" else None)
        return bool(self.client.call("EXISTS", *levels))

    # -- bindings ------------------------------------------------------------------------------------------

    @locked
    def bind(
        self, to: Destination, exchange: str, key: str, arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Bind a queue or an exchange to an exchange that is known here; binding twice is the same as once.

        Arguments count for headers exchanges; elsewhere they are dropped, since they select nothing.

        Raises:
            NotFound: there is no such exchange, or the queue is gone.
            PreconditionFailed: an argument has an impossible value.
        """
        spec = self.state.exchange(exchange)
        arguments = dict(arguments or {}) if spec.type == "headers" else {}
        try:
            spec.table.check(arguments)
        except ValueError as exc:
            raise PreconditionFailed(f"PRECONDITION_FAILED - {exc}", (50, 20), "Queue.bind") from exc
        known = self._known.get(exchange)
        about = dump_exchange(spec.type, spec.durable, spec.auto_delete, spec.arguments)
        (kind, row), *others = self._forms(exchange, Binding(to, key, arguments))
        keys = [
            self.keys.exchanges,
            self.keys.queues,
            self.keys.binding_deadlines,
            self.keys.binding(exchange),
        ]
        keys += [self.keys.binding_permanent(exchange), self.keys.bound(exchange), self.keys.sources(*to)]
        keys += [self.keys.cursors(to[1]), self.keys.stream(exchange), self.keys.streamed(exchange)]
        answer = self._enter_binding(
            keys,
            [
                exchange,
                "" if known is not None and known.guessed else about,
                to[1] if to[0] == "queue" and self._specs.get(to[1]) else "",
                kind,
                row,
                self._row_life(to),
                Source(exchange, kind, row).json(),
                "0" if spec.type == "fanout" and kind == "row" else "1",
                int(1000 * self.options.fanout_age) + 60_000,
                *(part for form in others for part in (*form, Source(exchange, *form).json())),
            ],
        )
        if answer == b"gone":
            self._sync_queue(to[1], "")
            raise NotFound(
                f"NOT_FOUND - no queue {to[1]!r} in vhost {self.state.vhost!r}", (50, 20), "Queue.bind"
            )
        self._mine["binding", exchange, to, key, frozen(arguments)] = (to, exchange, key, arguments)
        was, now, size = answer
        self._changed_here(exchange, was, now, size, added=((kind, row),), removed=others)
        self.state.bind(to, exchange, key, arguments)
        if kind == "stream":
            self.load_queue(to[1])  # (its declaration tells)

    def _enter_binding(self, keys: list[str], arguments: list[Any]) -> Any:
        """Call bind.lua."""
        return self.client.run(self._bind, keys, arguments)

    @locked
    def unbind(
        self, to: Destination, exchange: str, key: str, arguments: Mapping[str, Any] | None = None
    ) -> bool:
        """Take one binding away; whether there was one. An auto-delete exchange goes with its last binding."""
        spec = self.state.exchanges.get(exchange)
        if spec is None:
            return False
        arguments = dict(arguments or {}) if spec.type == "headers" else {}
        forms = self._forms(exchange, Binding(to, key, arguments))
        keys = [self.keys.exchanges, self.keys.binding_deadlines, self.keys.binding(exchange)]
        keys += [self.keys.binding_permanent(exchange), self.keys.bound(exchange), self.keys.sources(*to)]
        keys += [self.keys.queues, self.keys.cursors(to[1])]
        about = [part for form in forms for part in (*form, Source(exchange, *form).json())]
        removed, was, value, size, left = self.client.run(self._unbind, keys, [exchange, to[1], *about])
        self._mine.pop(("binding", exchange, to, key, frozen(arguments)), None)
        self._changed_here(exchange, was, value, size, removed=forms)
        self.state.unbind(to, exchange, key, arguments)
        if spec.auto_delete and removed and not left:
            self.delete_exchange(exchange, if_unused=True)
        return bool(removed)

    def source(self, to: Destination, exchange: str, key: str, arguments: Any) -> Source:
        """The binding as the set of its destination has it."""
        return Source(exchange, *self._row(exchange, Binding(to, key, arguments)))

    def _changed_here(
        self,
        exchange: str,
        was: bytes,
        value: bytes,
        size: int,
        added: Iterable[tuple[str, str]] = (),
        removed: Iterable[tuple[str, str]] = (),
    ) -> None:
        """We changed one row: what is known stays known, unless somebody else had changed it meanwhile."""
        known = self._known.get(exchange)
        if known is None:
            return
        for change, forms in (("add", added), ("discard", removed)):
            for kind, row in forms:
                rows = known.rows if kind == "row" else known.bound
                getattr(rows, change)(row.encode("utf-8", "surrogateescape"))
        fanout = exchange in self.state.exchanges and self.state.exchanges[exchange].type == "fanout"
        same = known.value == text(was) and (fanout or size == len(known.rows))
        self._note(known, text(value) if same else None, size)

    def _after_unbinding(self, changes: list[Any]) -> None:
        for at in range(0, len(changes), 4):
            exchange = text(changes[at])
            known, spec = self._known.get(exchange), self.state.exchanges.get(exchange)
            if known is not None:
                same = spec is not None and (spec.type == "fanout" or changes[at + 3] == len(known.rows))
                self._note(known, text(changes[at + 2]) if same else None, changes[at + 3])
            self._drop_unbound(exchange, text(changes[at + 2]))

    def _drop_unbound(self, exchange: str, value: str) -> None:
        if '"auto_delete": true' in value and not exchange.startswith("amq."):
            self.delete_exchange(exchange, if_unused=True)

    def table(self, exchange: str) -> list[tuple[str, str | None, str]]:
        """(routing key, pattern, queue) of every queue bound to the exchange, by any connection."""
        rows, bound = self.client.pipeline(
            [("SMEMBERS", self.keys.binding(exchange)), ("SMEMBERS", self.keys.bound(exchange))]
        )
        parts = [text(row).split(self.keys.sep) for row in rows]
        others = [Binding.from_json(text(row)) for row in bound]
        return [(row[0], row[1] or None, row[2]) for row in parts if len(row) == 3] + [
            (other.key, None, other.to[1]) for other in others if other is not None and other.to[0] == "queue"
        ]

    def declared(self, queue: str) -> str:
        """The declaration of a queue as the server was last seen to have it, "" for none."""
        return self._specs.get(queue, "")

    def revalidate(self, queues: Iterable[str]) -> list[str]:
        """Read these queues again, which are not as this connection knows them; those that are gone."""
        before = {name: self._specs.get(name) for name in queues}
        with self.client.lock:
            self.meet()
            self.load_queue(*before)
        return [name for name, value in before.items() if value and not self._specs.get(name)]

    def broadcasts_to(self, queue: str) -> list[tuple[str, str]]:
        """The bindings by which pub/sub messages are for this queue: (fanout exchange, binding key)."""
        found: Any = {}
        with self.client.lock:
            for member in self.client.call("SMEMBERS", self.keys.sources("queue", queue)):
                exchange, kind, row = Source.from_json(text(member))
                if exchange not in self.state.exchanges:
                    self.load_exchange(exchange)
                spec = self.state.exchanges.get(exchange)
                if kind == "row" and spec is not None and spec.type == "fanout":
                    found[exchange, row.split(self.keys.sep)[0]] = None
        return list(found)

    @locked
    def streams_of(self, queue: str) -> dict[str, list[str]]:
        """The fanout exchanges whose streams the queue reads, each with its binding keys."""
        found: dict[str, list[str]] = {}
        if not self._specs.get(queue, "").rpartition('"streams": ')[1]:
            return found
        for member in self.client.call("SMEMBERS", self.keys.sources("queue", queue)):
            exchange, kind, row = Source.from_json(text(member))
            binding = Binding.from_json(row) if kind == "stream" else None
            if binding is None:
                continue
            self.load_exchange(exchange)
            known = self._known.get(exchange)
            if known is not None and row.encode("utf-8", "surrogateescape") in known.bound:
                found.setdefault(exchange, []).append(binding.key)
        return found

    @locked
    def to_queues(self, route: Route, info: Mapping[str, str]) -> Route:
        """The same route with copies for the queues that would read streams."""
        names = {
            name for stream in route.streams for name in self.readers(stream.exchange, info["routing_key"])
        }
        fresh = sorted(names - {name for name, _ in route.queues})
        self.load_queue(*fresh)
        found = [self.state.queues.get(name) for name in fresh]
        copies = [(spec.name, spec.policy) for spec in found if spec is not None]
        return route._replace(queues=(*route.queues, *copies), streams=())

    def _declare_again(self, kind: str, arguments: tuple[Any, ...]) -> None:
        declare: Any = {"exchange": self.declare_exchange, "queue": self.declare_queue, "binding": self.bind}[
            kind
        ]
        declare(*arguments)
