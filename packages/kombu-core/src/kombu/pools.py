"""Pools by connection: ``connections[connection].acquire()`` and ``producers[connection].acquire()``.

Connections with the same parameters share a pool. The two groups here are the process's own; a library makes its own
:class:`Connections` and :class:`Producers`. A forked child starts with empty groups.
"""

from __future__ import annotations

from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.connection_pool import ConnectionPool
from kombu.producer import Producer
from kombu.resource import Resource
from kombu.utils.collections import EqualityDict, eqhash
from kombu.utils.compat import register_after_fork

if TYPE_CHECKING:
    from kombu.connection import Connection

__all__ = (
    "Connections",
    "PoolGroup",
    "ProducerPool",
    "Producers",
    "connections",
    "get_limit",
    "producers",
    "register_group",
    "reset",
    "set_limit",
    "use_default_limit",
    "use_global_limit",
)

#: As the limit of a group: whatever :func:`set_limit` says when a pool is made.
use_global_limit = object()
use_default_limit = use_global_limit

_limit: list[int | None] = [10]
_groups: list[PoolGroup] = []


class ProducerPool(Resource):
    """A pool of producers. A producer holds a connection of ``connections`` while it is lent, and no longer.

    Arguments:
        connections: the pool of connections.
        Producer: the class to make them from.
        limit, preload, close_after_fork: as for :class:`~kombu.resource.Resource`.
    """

    Producer: type[Any] = Producer
    close_after_fork = True

    def __init__(self, connections: ConnectionPool, *args: Any, **kwargs: Any) -> None:
        self.connections = connections
        self.Producer = kwargs.pop("Producer", None) or self.Producer
        super().__init__(*args, **kwargs)

    def _acquire_connection(self, block: bool = True, timeout: float | None = None) -> Any:
        return self.connections.acquire(block=block, timeout=timeout)

    def create_producer(self) -> Any:
        """A producer without a connection; :meth:`prepare` gives it one."""
        return self.Producer(None)

    def new(self) -> Any:
        """Make one producer."""
        return self.create_producer()

    def prepare(self, p: Any) -> Any:
        """Give the producer a connection, waiting for one as long as it takes."""
        return self._connect(p, self._acquire_connection())

    def _make_ready(self, resource: Any, block: bool, until: float | None) -> Any:
        # The wait for a connection counts into the wait for the producer.
        timeout = None if until is None else max(0.0, until - monotonic())
        return self._connect(resource, self._acquire_connection(block, timeout))

    def _connect(self, producer: Any, connection: Any) -> Any:
        try:
            producer.revive(connection)
        except BaseException:
            connection.release()
            raise
        return producer

    def release_resource(self, resource: Any) -> None:
        """Give the producer's connection back to its pool."""
        connection = resource.__connection__
        resource.__connection__ = None
        resource.channel = None
        if connection is not None:
            connection.release()

    def close_resource(self, resource: Any) -> None:
        self.release_resource(resource)


class PoolGroup(EqualityDict):
    """Makes a pool for each kind of connection when it is first asked for.

    Arguments:
        limit: of each pool; :data:`use_global_limit` for that of :func:`set_limit`.
        close_after_fork: a forked child starts with an empty group.
    """

    def __init__(self, limit: Any = None, close_after_fork: bool = True) -> None:
        super().__init__()
        self.limit = limit
        self.close_after_fork = close_after_fork
        self._lock = RLock()
        if close_after_fork:
            register_after_fork(self, PoolGroup._start_afresh)

    def _start_afresh(self) -> None:
        self._lock = RLock()
        self.clear()

    def create(self, resource: Any, limit: int | None) -> Any:
        """Make the pool for ``resource``."""
        raise NotImplementedError(f"{type(self).__name__} must define create()")

    def __getitem__(self, key: Any) -> Any:
        same = eqhash(key)
        pool = dict.get(self, same)
        if pool is None:
            with self._lock:
                pool = dict.get(self, same)
                if pool is None:
                    limit = get_limit() if self.limit is use_global_limit else self.limit
                    pool = self.create(key, limit)
                    dict.__setitem__(self, same, pool)
        return pool

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class Connections(PoolGroup):
    """Pools of connections, by connection."""

    def create(self, connection: Connection, limit: int | None) -> ConnectionPool:
        """A pool of connections like ``connection``."""
        return connection.Pool(limit=limit)


class Producers(PoolGroup):
    """Pools of producers, by connection; they draw on the pools of :data:`connections`."""

    def create(self, connection: Connection, limit: int | None) -> ProducerPool:
        """A pool of producers that use connections like ``connection``."""
        return ProducerPool(connections[connection], limit=limit)


def register_group(group: PoolGroup) -> PoolGroup:
    """Let :func:`set_limit` and :func:`reset` reach the group too."""
    _groups.append(group)
    return group


#: The process's connections.
connections: Connections = register_group(Connections(limit=use_global_limit))  # type: ignore[assignment]

#: The process's producers.
producers: Producers = register_group(Producers(limit=use_global_limit))  # type: ignore[assignment]


def _all_pools() -> list[Resource]:
    return [pool for group in _groups for pool in list(group.values())]


def get_limit() -> int | None:
    """How many each pool may lend at a time (10, unless :func:`set_limit` was called)."""
    return _limit[0]


def set_limit(
    limit: int | None, force: bool = False, reset_after: bool = False, ignore_errors: bool = False
) -> int:
    """Set how many each pool may lend at a time, those that exist included.

    Arguments:
        limit: None or 0 is no limit.
        force: shrink pools that are in use as well; what they have lent is closed.
        reset_after: close everything that is open.
        ignore_errors: shrink pools that are in use, and leave alone what they have lent.

    Raises:
        RuntimeError: a pool in use would shrink, and neither ``force`` nor ``ignore_errors`` was given.
    """
    limit = limit or 0
    if limit != (_limit[0] or 0):
        _limit[0] = limit
        for pool in _all_pools():
            pool.resize(limit, force=force, ignore_errors=ignore_errors, reset=reset_after)
    return limit


def reset(*args: Any, **kwargs: Any) -> None:
    """Close all pools, with everything they have lent, and forget them. Arguments are accepted and ignored."""
    for pool in _all_pools():
        try:
            pool.force_close_all()
        except Exception as exc:
            import logging

            logging.getLogger("kombu.pools").warning("ignored while closing a pool: %r", exc)
    for group in _groups:
        group.clear()
