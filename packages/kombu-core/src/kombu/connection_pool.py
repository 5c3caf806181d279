"""Pools of connections, and of the channels of one connection."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from kombu.ensure import is_open
from kombu.exceptions import ChannelLimitExceeded, ConnectionLimitExceeded
from kombu.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("ChannelPool", "ConnectionPool", "PooledConnection")


class PooledConnection(Connection):
    """A connection that belongs to a pool: ``release()``, and leaving ``with``, give it back."""

    def __init__(self, pool: ConnectionPool, **kwargs: Any) -> None:
        self._pool = pool
        super().__init__(**kwargs)

    def release(self) -> None:
        """Give the connection back to its pool, still connected; do not use it afterwards."""
        self._pool.release(self)

    def close(self) -> None:
        """Really close it; the pool makes another one when it needs one."""
        self._pool.replace(self)

    def clone(self, **kwargs: Any) -> Any:
        """A copy that belongs to no pool."""
        return self._copied_by(Connection, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Connection, *super().__reduce__()[1:]


class ConnectionPool(Resource):
    """A pool of connections like ``connection``, which itself stays outside and is never used.

    Connections connect when they are used, not when they are lent. A forked child starts with an empty pool.

    Arguments:
        connection: the model.
        limit: connections at a time; None or 0 is no limit.
        preload: connections to make, and to connect, at once.
    """

    LimitExceeded = ConnectionLimitExceeded
    close_after_fork = True

    def __init__(self, connection: Connection, limit: int | None = None, **kwargs: Any) -> None:
        self.connection = connection
        super().__init__(limit, **kwargs)

    def setup(self) -> None:
        made = len(self._idle)
        super().setup()
        for connection in self._idle[made:]:
            connection.connect()

    def new(self) -> PooledConnection:
        """A connection like the model."""
        made: PooledConnection = self.connection._copied_by(partial(PooledConnection, self), {})
        return made

    def close_resource(self, resource: Any) -> None:
        resource._close()

    def collect_resource(self, resource: Any, socket_timeout: float | None = 0.1) -> None:
        """Drop a connection without waiting long for its broker."""
        resource.collect(socket_timeout)

    def _lend(self, resource: Any) -> None:
        """Its own ``release()`` does it."""

    @contextmanager
    def acquire_channel(self, block: bool = False) -> Iterator[tuple[Any, Any]]:
        """``with pool.acquire_channel() as (connection, channel)``: a connection and its default channel."""
        with self.acquire(block=block) as connection:
            yield connection, connection.default_channel


class ChannelPool(Resource):
    """A pool of channels of one connection; for one thread, as the connection is."""

    LimitExceeded = ChannelLimitExceeded

    def __init__(self, connection: Connection, limit: int | None = None, **kwargs: Any) -> None:
        self.connection = connection
        super().__init__(limit, **kwargs)

    def new(self) -> Any:
        """Open a channel."""
        return self.connection.channel()

    def prepare(self, channel: Any) -> Any:
        """The channel, or another one when it was closed meanwhile."""
        return channel if is_open(channel) else self.new()

    def close_resource(self, resource: Any) -> None:
        self.connection.maybe_close_channel(resource)
