"""``redis+cluster://`` and ``rediss+cluster://``: a Redis Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_redis.looping import Parts
from kombu_redis.transport import Transport

from .address import ClusterAddress
from .channel import ClusterChannel
from .client import ClusterClient
from .directory import ClusterDirectory
from .fanout import ClusterBroadcasts
from .keys import ClusterKeys
from .slots import shard_of
from .store import ClusterStore
from .sweep import ClusterSweep
from .waiting import ClusterWaiter

if TYPE_CHECKING:
    from kombu_redis.address import Address

__all__ = ("ClusterTransport",)


class ClusterTransport(Transport):
    """A connection to a cluster: at most three sockets to each of its masters, made when they are needed."""

    Channel = ClusterChannel
    parts = Parts(ClusterKeys, ClusterStore, ClusterDirectory, ClusterBroadcasts, ClusterWaiter, ClusterSweep)

    address: ClusterAddress
    server: Any
    store: Any
    waiter: ClusterWaiter
    #: It is entered in another way, see :mod:`.waiting`.
    enlists = False

    def _address(self, client: Any) -> Address:
        if self.options.fanout == "stream":
            raise ValueError(
                "fanout is 'stream', which a Redis Cluster cannot have: the stream and the queues that read it are in"
                " different slots; 'queue' keeps broadcasts as well"
            )
        return ClusterAddress.from_client(client)

    def socket_name(self, use: str = "") -> str | None:
        """What CLIENT LIST shows for a socket of this use."""
        name = self.options.client_name
        return f"{name}-{use}" if name and use else name

    def open_client(self, use: str = "") -> Any:
        """Sockets to the masters, not connected yet."""
        return ClusterClient(self.address, self.options, self.socket_name(use))

    def renew(self) -> None:
        """Extend everything this connection holds; what cannot be reached must not keep the rest from that."""
        self.store.not_renewed = None
        super().renew()
        if self.store.not_renewed is not None:
            raise self.store.not_renewed

    def fetch(self) -> bool:
        """As on a single server; who has something to do does not wait for messages any more."""
        self.waiter.pause()
        found = super().fetch()
        if found:
            self.waiter.withdraw()
        return found

    def _consumers_changed(self) -> None:
        super()._consumers_changed()
        self.store.is_for_many = len({shard_of(each.queue) for each in self._subscriptions}) > 1

    def inherited_fds(self, *objects: Any) -> list[int]:
        """The descriptors that a forked child must not use."""
        clients = [*self.server.clients(), *self.broadcasts.clients(), *self.waiter.clients()]
        return [*(client.fileno() for client in clients), *self.waiter.pipe]
