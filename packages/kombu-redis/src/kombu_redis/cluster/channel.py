"""A channel on a cluster: a publish that got to some of its queues goes on with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from redis.cluster import ClusterNode

from kombu_redis.channel import Channel
from kombu_redis.publishing import Way

if TYPE_CHECKING:
    from kombu_redis.store import Pushed

    from .transport import ClusterTransport

__all__ = ("ClusterChannel",)


class ClusterChannel(Channel):
    """As :class:`kombu_redis.Channel`."""

    connection: ClusterTransport

    def __init__(self, connection: ClusterTransport, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        #: Identity of a message that is being published -> what has become of it in the shards it got to.
        self._partly: dict[int, Pushed] = {}

    def _publish(
        self, message: dict[str, Any], exchange: str, routing_key: str, mandatory: bool, delay: float | None
    ) -> None:
        try:
            super()._publish(message, exchange, routing_key, mandatory, delay)
        finally:
            self._partly.pop(id(message), None)

    def _push(self, way: Way, message: dict[str, Any], delay: float | None) -> Pushed:
        before = self._partly.get(id(message))
        left = way if before is None else _without(way, before.reached)
        done = super()._push(left, message, delay)
        if before is not None:
            done = _both(before, done, [way.route.queues.index(target) for target in left.route.queues])
        if done.stale is not None and done.reached:
            self._partly[id(message)] = done
        return done

    def close(self) -> None:
        """As for a single server."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        super().close()

    @property
    def client(self) -> Any:
        """A :class:`redis.RedisCluster` for the program's own commands; docs/redis.md says what the keys are called."""
        if self._client is None:
            address = self.connection.address
            nodes = [ClusterNode(host, port) for host, port in address.seeds]  # type: ignore[no-untyped-call]
            arguments = address.client_arguments(self.connection.options)
            self._client = redis.RedisCluster(startup_nodes=nodes, **arguments)
        return self._client


def _without(way: Way, reached: frozenset[str]) -> Way:
    """The same way without the queues that have the message."""
    queues = tuple(target for target in way.route.queues if target[0] not in reached)
    return Way(way.route._replace(queues=queues, fanout_channel=None), **way.info)


def _both(before: Pushed, done: Pushed, places: list[int]) -> Pushed:
    return done._replace(
        refused=[(message, places[at]) for message, at in done.refused],
        dropped=[*before.dropped, *done.dropped],
        unreadable=[*before.unreadable, *done.unreadable],
        reached=before.reached | done.reached,
    )
