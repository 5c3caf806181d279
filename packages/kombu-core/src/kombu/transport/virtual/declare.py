"""The verbs ``exchange.*`` and ``queue.*`` of a virtual channel (AMQP 0-9-1 sections 1.6 and 1.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import AccessRefused, NotFound, PreconditionFailed, ResourceLocked
from kombu.log import get_logger
from kombu.transport.base import queue_declare_ok_t

from .exchange import STANDARD_EXCHANGE_TYPES, ExchangeType, binding_key_t
from .hooks import AbstractChannel, channel_verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .routing import QueueSpec
    from .tables import Destination

__all__ = ("DeclareVerbs",)

logger = get_logger(__name__)

#: Queue argument -> the capability it needs.
_NEEDS = {
    "x-message-ttl": "message_ttl",
    "x-expires": "queue_expires",
    "x-max-length": "max_length",
    "x-max-length-bytes": "max_length",
    "x-max-priority": "priority",
    "x-dead-letter-exchange": "dead_letter",
    "x-delivery-limit": "delivery_limit",
}


class DeclareVerbs(AbstractChannel):
    """Declare, bind, purge and delete."""

    #: Exchange type -> class; a transport adds its own types here.
    exchange_types: dict[str, type[ExchangeType]] = dict(STANDARD_EXCHANGE_TYPES)

    # -- exchanges -----------------------------------------------------------------------------------------

    @channel_verb
    def exchange_declare(
        self,
        exchange: str | None = None,
        type: str = "direct",
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        passive: bool = False,
    ) -> None:
        """Create the exchange, or check it: 404 when passive and missing, 406 when it differs."""
        if not exchange:
            return
        self._check_open()
        with self.lock:
            if passive:
                self._load_exchange(exchange)
                self.state.exchange(exchange, (40, 10), "Exchange.declare")
                return
            if type not in self.exchange_types:
                known = ", ".join(sorted(self.exchange_types))
                text = f"COMMAND_INVALID - invalid exchange type {type!r}: this transport has {known}"
                raise PreconditionFailed(text, (40, 10), "Exchange.declare", 503)
            self._declare_exchange(exchange, type, durable, auto_delete, arguments)

    @channel_verb
    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Remove the exchange and its bindings; 406 when ``if_unused`` and something is bound to it."""
        self._check_open()
        self._refuse_default(exchange, (40, 20), "Exchange.delete")
        with self.lock:
            if not self._delete_exchange(exchange, if_unused):
                text = f"PRECONDITION_FAILED - exchange {exchange!r} in vhost {self.state.vhost!r} in use"
                raise PreconditionFailed(text, (40, 20), "Exchange.delete")

    @channel_verb
    def exchange_bind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """What ``source`` routes by this key goes on to the exchange ``destination``."""
        self._check_open()
        for name in (destination, source):
            self._refuse_default(name, (40, 30), "Exchange.bind")
        with self.lock:
            self._load_exchange(source, destination)
            self.state.exchange(source, (40, 30), "Exchange.bind")
            self.state.exchange(destination, (40, 30), "Exchange.bind")
            self._bind(("exchange", destination), source, routing_key, arguments)

    @channel_verb
    def exchange_unbind(
        self,
        destination: str,
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Take such a binding away."""
        with self.lock:
            self._load_exchange(source)
            self._unbind(("exchange", destination), source, routing_key, arguments)

    def _refuse_default(self, exchange: str, method_sig: tuple[int, int], method: str) -> None:
        """The default exchange cannot be bound or deleted: every queue is bound to it by its name."""
        if not exchange:
            text = "ACCESS_REFUSED - operation not permitted on the default exchange"
            raise AccessRefused(text, method_sig, method)

    # -- queues --------------------------------------------------------------------------------------------

    @channel_verb
    def queue_declare(
        self,
        queue: str | None = None,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        **kwargs: Any,
    ) -> queue_declare_ok_t:
        """Create the queue, or check it: (name, ready messages, consumers).

        Without a name one is made up. 404 when passive and missing, 405 when it is exclusive to another
        connection, 406 when it differs.
        """
        self._check_open()
        name = queue or f"amq.gen-{self._unique()}"
        self._settle_due()
        with self.lock:
            if passive:
                self._check_queue(name, (50, 10), "Queue.declare")
            else:
                self._declare_queue(name, durable, exclusive, auto_delete, arguments or {}, kwargs)
            spec = self.state.queues.get(name)
            return queue_declare_ok_t(name, self._size(name), len(spec.consumers) if spec else 0)

    def _declare_queue(
        self,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any],
        kwargs: dict[str, Any],
    ) -> None:
        known = self.state.queues.get(name)
        if known is not None:
            self._check_owner(known, (50, 10), "Queue.declare")
        owner = self.connection if exclusive else None
        self.state.declare_queue(name, durable, exclusive, auto_delete, arguments, owner)
        if known is None:
            self._warn_of_ignored(name, arguments)
        self._new_queue(
            name,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments,
            **kwargs,
        )

    def _warn_of_ignored(self, queue: str, arguments: Mapping[str, Any]) -> None:
        claims = self.connection.implements
        for name, capability in _NEEDS.items():
            if arguments.get(name) is not None and not getattr(claims, capability):
                transport = type(self.connection).__module__
                logger.warning("Queue %r: %s may have no effect, %s does not claim it", queue, name, transport)

    def _check_queue(self, queue: str, method_sig: tuple[int, int], method: str) -> None:
        """404 when there is no such queue, 405 when it belongs to another connection."""
        spec = self.state.queues.get(queue)
        if spec is not None:
            self._check_owner(spec, method_sig, method)
        if not self._has_queue(queue):
            text = f"NOT_FOUND - no queue {queue!r} in vhost {self.state.vhost!r}"
            raise NotFound(text, method_sig, method)

    def _check_owner(self, spec: QueueSpec, method_sig: tuple[int, int], method: str) -> None:
        if spec.owner is not None and spec.owner is not self.connection:
            text = (
                f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue {spec.name!r} in vhost "
                f"{self.state.vhost!r}: it belongs to another connection"
            )
            raise ResourceLocked(text, method_sig, method)

    @channel_verb
    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Route what the exchange gets by this key (or headers, by arguments) to the queue."""
        self._check_open()
        exchange, routing_key = exchange or "", routing_key or ""
        self._refuse_default(exchange, (50, 20), "Queue.bind")
        with self.lock:
            if exchange not in self.state.exchanges:
                self._load_exchange(exchange)
            self.state.exchange(exchange, (50, 20), "Queue.bind")
            self._check_queue(queue, (50, 20), "Queue.bind")
            self._bind(("queue", queue), exchange, routing_key, arguments)

    @channel_verb
    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take such a binding away."""
        self._check_open()
        exchange, routing_key = exchange or "", routing_key or ""
        self._refuse_default(exchange, (50, 50), "Queue.unbind")
        with self.lock:
            if exchange not in self.state.exchanges:
                self._load_exchange(exchange)
            self._unbind(("queue", queue), exchange, routing_key, arguments)

    @channel_verb
    def queue_purge(self, queue: str, **kwargs: Any) -> int:
        """Remove the messages that are ready, not those delivered; how many."""
        self._check_open()
        self._settle_due()
        with self.lock:
            self._check_queue(queue, (50, 30), "Queue.purge")
            return self._purge(queue) or 0

    @channel_verb
    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any) -> int:
        """Remove the queue, its messages and bindings; how many messages it had. Its consumers are cancelled.

        406 when ``if_unused`` and it has consumers, or ``if_empty`` and it has messages, ready or delayed.
        """
        self._check_open()
        self._settle_due()
        with self.lock:
            spec = self.state.queues.get(queue)
            if spec is not None:
                self._check_owner(spec, (50, 40), "Queue.delete")
            elif not self._has_queue(queue):
                return 0
            size = self._size(queue)
            for wanted, met, text in (
                (if_unused, spec is None or not spec.consumers, "in use"),
                (if_empty, not size and not self._size_delayed(queue), "not empty"),
            ):
                if wanted and not met:
                    text = f"PRECONDITION_FAILED - queue {queue!r} in vhost {self.state.vhost!r} {text}"
                    raise PreconditionFailed(text, (50, 40), "Queue.delete")
            self._drop_queue(queue)
            return size

    def _drop_queue(self, queue: str) -> None:
        """Delete without conditions, and let the consumers know."""
        with self.lock:
            for exchange, key, _ in self.state.bindings_of(("queue", queue)):
                self._queue_unbind(exchange, key, self._pattern(exchange, key), queue)
            spec = self.state.delete_queue(queue)
            self._delete(queue)
            for subscription in spec.consumers if spec is not None else ():
                subscription.cancel()

    # -- where exchanges and bindings are: here, unless a transport's broker has them for all processes --------

    def _load_exchange(self, *names: str) -> None:
        """Learn what other connections have made of these exchanges."""

    def _declare_exchange(
        self,
        exchange: str,
        type: str,
        durable: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> None:
        self.state.declare_exchange(exchange, type, durable, auto_delete, arguments)

    def _delete_exchange(self, exchange: str, if_unused: bool) -> bool:
        """False when it is not to be, as something is bound to it."""
        spec = self.state.exchanges.get(exchange)
        if spec is None:
            return True
        if if_unused and spec.table:
            return False
        for (kind, name), key, _ in list(spec.table.rows()):
            if kind == "queue":
                self._queue_unbind(exchange, key, self._pattern(exchange, key), name)
        self.state.delete_exchange(exchange)
        return True

    def _bind(self, to: Destination, exchange: str, key: str, arguments: Mapping[str, Any] | None) -> None:
        self.state.bind(to, exchange, key, arguments)
        if to[0] == "queue":
            self._queue_bind(exchange, key, self._pattern(exchange, key), to[1])

    def _unbind(self, to: Destination, exchange: str, key: str, arguments: Mapping[str, Any] | None) -> None:
        pattern = self._pattern(exchange, key)
        if self.state.unbind(to, exchange, key, arguments) and to[0] == "queue":
            self._queue_unbind(exchange, key, pattern, to[1])

    # -- what is bound -------------------------------------------------------------------------------------

    def typeof(self, exchange: str, default: str = "direct") -> ExchangeType:
        """The object that routes for this exchange."""
        spec = self.state.exchanges.get(exchange)
        kind = spec.type if spec is not None else default
        return self.exchange_types[kind](self)

    def _pattern(self, exchange: str, routing_key: str) -> str | None:
        return self.typeof(exchange).prepare_bind("", exchange, routing_key, {})[1]

    def get_table(self, exchange: str) -> list[tuple[str, str | None, str]]:
        """(routing key, pattern, queue) of every queue bound to the exchange."""
        spec = self.state.exchanges.get(exchange)
        rows = spec.table.rows() if spec is not None else ()
        return [(key, self._pattern(exchange, key), name) for (kind, name), key, _ in rows if kind == "queue"]

    def list_bindings(self) -> Iterator[tuple[str, str, str]]:
        """(queue, exchange, routing key) of every binding of a queue."""
        for (kind, name), exchange, key, _ in self.state.each_binding():
            if kind == "queue":
                yield name, exchange, key

    def get_bindings(self) -> Iterator[binding_key_t]:
        return (binding_key_t(*row) for row in self.list_bindings())

    def get_exchanges(self) -> list[str]:
        """The names of the exchanges."""
        return list(self.state.exchanges)

    def _unique(self) -> str:
        raise NotImplementedError

    def _check_open(self) -> None:
        raise NotImplementedError

    def _settle_due(self) -> None:
        raise NotImplementedError
