"""The verbs ``exchange.*`` and ``queue.*`` on Redis: the server first, then what this connection knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import PreconditionFailed
from kombu.transport import virtual
from kombu.transport.base import queue_declare_ok_t
from kombu.transport.virtual.hooks import channel_verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu.transport.virtual.ledger import Subscription
    from kombu.transport.virtual.routing import QueueSpec

    from .directory import Directory

__all__ = ("DeclareVerbs",)


class DeclareVerbs(virtual.Channel):
    """What other connections declare and delete counts; see :class:`.directory.Directory`."""

    @property
    def directory(self) -> Directory:
        """The topology at the server."""
        found: Directory = self.connection.directory
        return found

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
            if passive or type not in self.exchange_types:
                self.directory.load_exchange(exchange)
                super().exchange_declare(exchange, type, passive=passive)
                return
            self.directory.declare_exchange(exchange, type, durable, auto_delete, arguments)

    @channel_verb
    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Remove the exchange and its bindings; 406 when ``if_unused`` and something is bound to it."""
        self._check_open()
        self._refuse_default(exchange, (40, 20), "Exchange.delete")
        with self.lock:
            if not self.directory.delete_exchange(exchange, if_unused):
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
            self.directory.load_exchange(destination, source)
            self.state.exchange(destination, (40, 30), "Exchange.bind")
            self.state.exchange(source, (40, 30), "Exchange.bind")
            self.directory.bind(("exchange", destination), source, routing_key, arguments)

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
            self.directory.load_exchange(source)
            self.directory.unbind(("exchange", destination), source, routing_key, arguments)

    # -- queues --------------------------------------------------------------------------------------------

    def queue_declare(self, queue: str | None = None, *args: Any, **kwargs: Any) -> queue_declare_ok_t:
        """As on any virtual channel; the consumers are those of all connections."""
        name, ready, _ = super().queue_declare(queue, *args, **kwargs)
        return queue_declare_ok_t(name, ready, self.directory.count_consumers(name))

    def _declare_queue(
        self,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any],
        kwargs: dict[str, Any],
    ) -> None:
        known = self._load_queue(name)
        # A lost connection must not keep its successor out of the queue for a whole lease.
        if exclusive and known and self._is_others(known) and self.directory.is_abandoned(str(known.owner)):
            self.directory.remove_queue(name)
            known = self._load_queue(name)
        if known is not None:
            self._check_owner(known, (50, 10), "Queue.declare")
        self.directory.declare_queue(name, durable, exclusive, auto_delete, arguments)
        if known is None:
            self._warn_of_ignored(name, arguments)
        if exclusive:
            self.connection.keeper.start()

    def _load_queue(self, name: str) -> QueueSpec | None:
        """What the server says of the queue now; one whose owner is gone is deleted."""
        self.directory.load_queue(name)
        spec = self.state.queues.get(name)
        if spec is not None and self._is_others(spec):
            self.directory.remove_queue(name, expired=True)
            spec = self.state.queues.get(name)
        return spec

    def _is_others(self, spec: QueueSpec) -> bool:
        """Whether another connection has it to itself."""
        return spec.owner is not None and spec.owner is not self.connection

    def _check_queue(self, queue: str, method_sig: tuple[int, int], method: str) -> None:
        self._load_queue(queue)
        super()._check_queue(queue, method_sig, method)

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
            self._check_queue(queue, (50, 20), "Queue.bind")
            if exchange not in self.state.exchanges:
                self.directory.load_exchange(exchange)
            self.state.exchange(exchange, (50, 20), "Queue.bind")
            self.directory.bind(("queue", queue), exchange, routing_key, arguments)

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
                self.directory.load_exchange(exchange)
            self.directory.unbind(("queue", queue), exchange, routing_key, arguments)

    @channel_verb
    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any) -> int:
        """Remove the queue, its messages and bindings; how many messages it had. Its consumers are cancelled.

        406 when ``if_unused`` and it has consumers, or ``if_empty`` and it has messages, ready or delayed.
        """
        self._check_open()
        with self.lock:
            spec = self._load_queue(queue)
            if spec is not None:
                self._check_owner(spec, (50, 40), "Queue.delete")
            unread: int = self.connection.pulls.backlog(queue)
            if if_empty and unread:
                size: Any = "full"
            else:
                size = self.directory.remove_queue(queue, unused=if_unused, empty=if_empty)
            if isinstance(size, str):
                text = f"PRECONDITION_FAILED - queue {queue!r} in vhost {self.state.vhost!r} "
                text += "in use" if size == "used" else "not empty"
                raise PreconditionFailed(text, (50, 40), "Queue.delete")
            return int(size or 0) + unread

    def _drop_queue(self, queue: str) -> None:
        with self.lock:
            self.directory.remove_queue(queue)

    # -- hooks ---------------------------------------------------------------------------------------------

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        with self.lock:
            return self.directory.has_queue(queue)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        with self.lock:
            self.directory.declare_queue(queue, True, False, False, {})

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self._drop_queue(queue)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        self.directory.bind(("queue", queue), exchange, routing_key)

    def _queue_unbind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        self.directory.unbind(("queue", queue), exchange, routing_key)

    def get_table(self, exchange: str) -> list[tuple[str, str | None, str]]:
        """(routing key, pattern, queue) of every queue bound to the exchange, by any connection."""
        with self.lock:
            return self.directory.table(exchange)

    # -- consumers -----------------------------------------------------------------------------------------

    def _consumer_added(self, subscription: Subscription) -> None:
        self.directory.add_consumer(subscription.queue, subscription.tag, subscription.exclusive)
        self.connection.keeper.start()

    def _consumer_removed(self, subscription: Subscription) -> None:
        """An auto-delete queue goes with the last consumer that any connection has."""
        left = self.directory.remove_consumer(subscription.queue, subscription.tag)
        spec = self.state.queues.get(subscription.queue)
        if spec is None or subscription not in spec.consumers:
            return
        spec.consumers.remove(subscription)  # here, since it may not be the last one of all
        if spec.auto_delete and not left:
            self.directory.remove_queue(subscription.queue, unused=True)

    # -- by the names of kombu 5 ----------------------------------------------------------------------------

    def maybe_refresh_binding_expiry(self) -> None:
        """Write the rows of ``x-expires`` queues again, which would be forgotten otherwise."""
        with self.lock:
            self.directory.refresh_rows()

    def sweep_bindings(self, limit: int | None = None) -> None:
        """Forget rows whose time is over: all of them, whatever the historic ``limit``."""
        with self.lock:
            self.directory.sweep_bindings()
