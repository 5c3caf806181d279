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
    from kombu.transport.virtual.tables import Destination

    from .directory import Directory

__all__ = ("DeclareVerbs",)


class DeclareVerbs(virtual.Channel):
    """What other connections declare and delete counts; see :class:`.directory.Directory`."""

    @property
    def directory(self) -> Directory:
        """The topology at the server."""
        found: Directory = self.connection.directory
        return found

    # -- exchanges and bindings ----------------------------------------------------------------------------

    def _load_exchange(self, *names: str) -> None:
        self.directory.load_exchange(*names)

    def _declare_exchange(
        self,
        exchange: str,
        type: str,
        durable: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> None:
        self.directory.declare_exchange(exchange, type, durable, auto_delete, arguments)

    def _delete_exchange(self, exchange: str, if_unused: bool) -> bool:
        return self.directory.delete_exchange(exchange, if_unused)

    def _bind(self, to: Destination, exchange: str, key: str, arguments: Mapping[str, Any] | None) -> None:
        self.directory.bind(to, exchange, key, arguments)

    def _unbind(self, to: Destination, exchange: str, key: str, arguments: Mapping[str, Any] | None) -> None:
        self.directory.unbind(to, exchange, key, arguments)

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
