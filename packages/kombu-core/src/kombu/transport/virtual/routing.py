"""Exchanges, queues and bindings, and which queues a message goes to. Pure: no I/O, no clock, no thread.

Rules: AMQP 0-9-1 sections 3.1.3 (exchange types) and 1.7 (declare, equivalence), and RabbitMQ's extensions
(exchange-to-exchange bindings, alternate exchanges, ``x-match: all-with-x``/``any-with-x``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import NotFound, PreconditionFailed

from .policy import PLAIN, QueuePolicy
from .tables import TABLES, BindingTable, Destination, DirectTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("ExchangeSpec", "NotEquivalentError", "QueueSpec", "Route", "Topology")

_MEMO_LIMIT = 8192


class NotEquivalentError(PreconditionFailed):
    """An exchange or queue exists with other properties than declared."""


class ExchangeSpec:
    """One declared exchange and what is bound to it."""

    __slots__ = ("arguments", "auto_delete", "durable", "name", "table", "type")

    def __init__(self, name: str, type: str, durable: bool, auto_delete: bool, arguments: Mapping[str, Any]):
        self.name = name
        self.type = type
        self.durable = durable
        self.auto_delete = auto_delete
        self.arguments = dict(arguments)
        self.table: BindingTable = TABLES.get(type, DirectTable)()

    @property
    def alternate(self) -> str | None:
        return self.arguments.get("alternate-exchange")


class QueueSpec:
    """One declared queue: its properties, its policy, and the subscriptions that consume from it."""

    __slots__ = ("arguments", "auto_delete", "consumers", "durable", "exclusive", "name", "owner", "policy")

    def __init__(
        self,
        name: str,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        owner: object = None,
    ):
        self.name = name
        self.durable = durable
        self.exclusive = exclusive
        self.auto_delete = auto_delete
        self.arguments = dict(arguments or {})
        self.policy = QueuePolicy.from_arguments(self.arguments)
        self.owner = owner
        self.consumers: list[Any] = []


class Route:
    """Where an exchange and a routing key lead, worked out once."""

    __slots__ = ("info", "only", "queues")

    def __init__(self, exchange: str, routing_key: str, queues: tuple[str, ...], only: str | None) -> None:
        self.queues = queues
        #: The queue, when there is just one and it has no policy: nothing more is to be decided then.
        self.only = only
        #: ``delivery_info`` of the messages that go this way; shared, so not to be changed.
        self.info = {"exchange": exchange, "routing_key": routing_key}


class Topology:
    """What has been declared, and where a message goes.

    Reading is safe from any thread while one other thread writes: a change takes effect first and then
    replaces the memo of computed routes as a whole.
    """

    def __init__(self, vhost: str = "/") -> None:
        self.vhost = vhost
        self.clear()

    def clear(self) -> None:
        """Forget everything but the exchanges AMQP predeclares."""
        self.exchanges: dict[str, ExchangeSpec] = {
            name: ExchangeSpec(name, type, True, False, {})
            for name, type in (
                ("amq.direct", "direct"),
                ("amq.topic", "topic"),
                ("amq.fanout", "fanout"),
                ("amq.headers", "headers"),
                ("amq.match", "headers"),
            )
        }
        self.queues: dict[str, QueueSpec] = {}
        #: Where each destination is bound: (kind, name) -> {(source, key, arguments key): arguments}.
        self._bound: dict[Destination, dict[tuple[str, str, object], Mapping[str, Any]]] = {}
        self._changed()

    def _changed(self) -> None:
        #: Routes that depend on exchange and routing key alone; replaced as a whole when anything changes.
        self.routes: dict[tuple[str, str], Route] = {}

    # -- declaring -----------------------------------------------------------------------------------------

    def declare_exchange(
        self,
        name: str,
        type: str = "direct",
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> ExchangeSpec:
        """Create the exchange, or check that the existing one is equivalent.

        Raises:
            PreconditionFailed: it exists with other properties; the text names the first that differs.
        """
        arguments = arguments or {}
        spec = self.exchanges.get(name)
        if spec is None:
            spec = self.exchanges[name] = ExchangeSpec(name, type, durable, auto_delete, arguments)
            self._changed()
            return spec
        wanted = {"type": type, "durable": durable, "auto_delete": auto_delete}
        self._check_equivalent("exchange", spec, wanted, arguments, (40, 10), "Exchange.declare")
        return spec

    def declare_queue(
        self,
        name: str,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        owner: object = None,
    ) -> QueueSpec:
        """Create the queue, or check that the existing one is equivalent.

        Raises:
            PreconditionFailed: it exists with other properties, or an argument has an impossible value.
        """
        arguments = arguments or {}
        spec = self.queues.get(name)
        if spec is None:
            try:
                spec = QueueSpec(name, durable, exclusive, auto_delete, arguments, owner)
            except ValueError as exc:
                text = f"PRECONDITION_FAILED - {exc} for queue {name!r} in vhost {self.vhost!r}"
                raise PreconditionFailed(text, (50, 10), "Queue.declare") from exc
            self.queues[name] = spec
            self._changed()
            return spec
        wanted = {"durable": durable, "exclusive": exclusive, "auto_delete": auto_delete}
        self._check_equivalent("queue", spec, wanted, arguments, (50, 10), "Queue.declare")
        return spec

    def _check_equivalent(
        self,
        kind: str,
        spec: Any,
        wanted: Mapping[str, Any],
        arguments: Mapping[str, Any],
        method_sig: tuple[int, int],
        method: str,
    ) -> None:
        current = {key: getattr(spec, key) for key in wanted}
        current.update(spec.arguments)
        received = {**wanted, **arguments}
        for key in {**current, **received}:
            mine, theirs = current.get(key), received.get(key)
            if mine != theirs:
                text = (
                    f"PRECONDITION_FAILED - inequivalent arg {key!r} for {kind} {spec.name!r} in vhost "
                    f"{self.vhost!r}: received {theirs!r} but current is {mine!r}"
                )
                raise NotEquivalentError(text, method_sig, method)

    def exchange(self, name: str, method_sig: tuple[int, int] = (60, 40), method: str = "") -> ExchangeSpec:
        """The exchange; :exc:`NotFound` (404) when there is none."""
        try:
            return self.exchanges[name]
        except KeyError:
            text = f"NOT_FOUND - no exchange {name!r} in vhost {self.vhost!r}"
            raise NotFound(text, method_sig, method) from None

    def queue(self, name: str, method_sig: tuple[int, int] = (50, 10), method: str = "") -> QueueSpec:
        """The queue; :exc:`NotFound` (404) when there is none."""
        try:
            return self.queues[name]
        except KeyError:
            text = f"NOT_FOUND - no queue {name!r} in vhost {self.vhost!r}"
            raise NotFound(text, method_sig, method) from None

    # -- binding -------------------------------------------------------------------------------------------

    def bind(
        self, to: Destination, source: str, key: str, arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Bind a queue or an exchange to the exchange ``source``; binding twice is the same as once.

        Raises:
            NotFound: there is no such exchange.
            PreconditionFailed: an argument has an impossible value.
        """
        arguments = dict(arguments or {})
        table = self.exchange(source).table
        try:
            table.check(arguments)
        except ValueError as exc:
            raise PreconditionFailed(f"PRECONDITION_FAILED - {exc}", (50, 20), "Queue.bind") from exc
        table.add(to, key, arguments)
        self._bound.setdefault(to, {})[source, key, frozen(arguments)] = arguments
        self._changed()

    def unbind(
        self, to: Destination, source: str, key: str, arguments: Mapping[str, Any] | None = None
    ) -> bool:
        """Take one binding away; whether there was one. An auto-delete source goes with its last binding."""
        bound = self._bound.get(to, {})
        arguments = bound.pop((source, key, frozen(arguments or {})), None)
        if arguments is None:
            return False
        if not bound:
            del self._bound[to]
        spec = self.exchanges.get(source)
        if spec is not None:
            spec.table.remove(to, key, arguments)
            self._changed()
            if spec.auto_delete and not spec.table:
                self.delete_exchange(source)
        return True

    def bindings_of(self, to: Destination) -> list[tuple[str, str, Mapping[str, Any]]]:
        """(source exchange, routing key, arguments) of every binding of a destination."""
        return [(source, key, arguments) for (source, key, _), arguments in self._bound.get(to, {}).items()]

    def each_binding(self) -> Iterator[tuple[Destination, str, str, Mapping[str, Any]]]:
        """Every binding: (destination, source exchange, routing key, arguments)."""
        for to in list(self._bound):
            for source, key, arguments in self.bindings_of(to):
                yield to, source, key, arguments

    def unbind_all(self, to: Destination) -> None:
        """Take all bindings of a destination away."""
        for source, key, arguments in self.bindings_of(to):
            self.unbind(to, source, key, arguments)

    def delete_exchange(self, name: str) -> bool:
        """Remove an exchange with its bindings; whether there was one."""
        spec = self.exchanges.pop(name, None)
        if spec is None:
            return False
        for to, key, arguments in list(spec.table.rows()):
            self.unbind(to, name, key, arguments)
        self.unbind_all(("exchange", name))
        self._changed()
        return True

    def delete_queue(self, name: str) -> QueueSpec | None:
        """Remove a queue with its bindings; what it was, or None."""
        spec = self.queues.pop(name, None)
        self.unbind_all(("queue", name))
        self._changed()
        return spec

    # -- routing -------------------------------------------------------------------------------------------

    def route(
        self, exchange: str, routing_key: str, headers: Mapping[str, Any] | None = None
    ) -> tuple[str, ...]:
        """The queues a message goes to, each once, in the order of their bindings.

        Raises:
            NotFound: there is no such exchange.
        """
        return self.find_route(exchange, routing_key, headers).queues

    def find_route(self, exchange: str, routing_key: str, headers: Mapping[str, Any] | None = None) -> Route:
        """As :meth:`route`, with what is known about the way; remembered in ``routes`` where possible."""
        routes = self.routes
        found = routes.get((exchange, routing_key))
        if found is not None:
            return found
        queues: dict[str, None] = {}
        if exchange == "":
            pure = routing_key in self.queues
            if pure:
                queues[routing_key] = None
        else:
            self.exchange(exchange, (60, 40), "Basic.publish")
            pure = self._walk(exchange, routing_key, headers or {}, queues)
        only = None
        if len(queues) == 1:
            (name,) = queues
            spec = self.queues.get(name)
            only = name if spec is None or spec.policy is PLAIN else None
        found = Route(exchange, routing_key, tuple(queues), only)
        if pure:
            if len(routes) >= _MEMO_LIMIT:
                routes.clear()
            routes[exchange, routing_key] = found
        return found

    def _walk(self, start: str, key: str, headers: Mapping[str, Any], queues: dict[str, None]) -> bool:
        """Collect queues over all exchanges reached; whether headers played no part."""
        seen, waiting, pure = {start}, [start], True
        while waiting:
            spec = self.exchanges.get(waiting.pop())
            if spec is None:
                continue
            pure = pure and not spec.table.uses_headers
            reached = spec.table.match(key, headers)
            onward = [name for kind, name in reached if kind == "exchange"]
            queues.update((name, None) for kind, name in reached if kind == "queue")
            if not reached and spec.alternate is not None:
                onward = [spec.alternate]
            waiting += [name for name in onward if name not in seen]
            seen.update(onward)
        return pure


def frozen(arguments: Mapping[str, Any]) -> object:
    """A hashable stand-in for binding arguments."""
    return tuple(sorted((key, repr(value)) for key, value in arguments.items()))
