"""What programs read from a channel by the names of kombu 5: its options, and a client for commands of their own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .transport import Transport

__all__ = ("HistoricNames",)


class _Option:
    """An option of the connection; of the class, its default."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, channel: Any, owner: type) -> Any:
        return getattr(Options if channel is None else channel.connection.options, self.name)


class HistoricNames:
    """To be read; options are set by ``Connection(transport_options=...)``."""

    connection: Transport

    ack_emulation = _Option()
    client_name = _Option()
    fanout_patterns = _Option()
    fanout_prefix = _Option()
    global_keyprefix = _Option()
    health_check_interval = _Option()
    max_connections = _Option()
    priority_steps = _Option()
    queue_order_strategy = _Option()
    retry_on_timeout = _Option()
    sentinel_fanout_compat = _Option()
    sep = _Option()
    socket_connect_timeout = _Option()
    socket_keepalive = _Option()
    socket_keepalive_options = _Option()
    socket_timeout = _Option()
    unacked_index_key = _Option()
    unacked_key = _Option()
    unacked_mutex_expire = _Option()
    unacked_mutex_key = _Option()
    unacked_restore_interval = _Option()
    unacked_restore_limit = _Option()
    unacked_restore_throttle = _Option()
    visibility_timeout = _Option()

    keyprefix_queue = "_kombu.binding.%s"
    keyprefix_binding_permanent = "_kombu.binding_permanent.%s"
    keyprefix_fanout = "/{db}."
    supports_batch_publish = True

    @property
    def active_queues(self) -> set[str]:
        """The queues that are consumed from on this connection."""
        return {subscription.queue for subscription in self.connection.consumers}

    def priority(self, n: int | None) -> int:
        """The priority step that a message of priority ``n`` belongs to."""
        return self.connection.keys.step(n)

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """The given :class:`redis.Redis`, or the channel's own."""
        yield client or self.client  # type: ignore[attr-defined]
