"""Which node serves which slot, as far as is known, and a client for each."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu_redis import errors
from kombu_redis.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_redis.address import Address
    from kombu_redis.options import Options

    from .address import ClusterAddress, Node

__all__ = ("Nodes",)

logger = get_logger(__name__)

#: What a node may answer, or fail with, so that another one is asked.
_TROUBLE = (errors.ConnectionLost, errors.NoReply, errors.Unavailable, errors.InvalidReply)


class Nodes:
    """The masters of a cluster. Not for several threads at once.

    Arguments:
        on_late_error: as that of each client.
    """

    def __init__(
        self,
        address: ClusterAddress,
        options: Options,
        name: str | None,
        on_late_error: Callable[[Exception], object],
    ) -> None:
        self._address = address
        self._options = options
        self._name = name
        self._on_late_error = on_late_error
        self._clients: dict[Node, Client] = {}
        #: Where each range of slots ends, and who serves it (None: nobody).
        self._ends: list[int] = []
        self._masters: list[Node | None] = []
        #: Slots that have moved since that was read.
        self._moved: dict[int, Node] = {}
        #: It has to be read (again) before it is used.
        self.stale = True
        #: See :attr:`kombu_redis.session.Session.checks`.
        self.checks = True
        self._ended = False

    # -- clients

    def client(self, node: Node) -> Client:
        """The client of a node, not connected perhaps."""
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = self._make(self._address.at(node))
            if self._ended:  # (looked at last: another thread may end all that are there just now)
                client.end()
        return client

    def _make(self, address: Address) -> Client:
        client = Client(address, self._options, self._name)
        client.on_late_error = self._on_late_error
        client.checks = self.checks
        return client

    def another(self, client: Client) -> Client:
        """One more to the same node; for :meth:`replace`."""
        return self._make(client.address)

    def replace(self, client: Client, by: Client) -> None:
        """Another one is the client of the node from now on; the old one is the caller's to close."""
        for node, known in list(self._clients.items()):
            if known is client:
                self._clients[node] = by
        if self._ended:
            by.end()

    def clients(self) -> list[Client]:
        """Those there are."""
        return list(self._clients.values())

    def end(self) -> None:
        """Close all of them, for good."""
        self._ended = self.stale = True
        for client in self.clients():
            client.end()

    def of_slot(self, slot: int) -> Client:
        """The client of the node that serves a slot.

        Raises:
            ClusterDown: no node serves it.
        """
        if self.stale:
            self.refresh()
        node = self.master(slot)
        if node is None:
            self.stale = True
            raise errors.ClusterDown(f"CLUSTERDOWN no node of {self._address} serves slot {slot}")
        return self.client(node)

    def master(self, slot: int) -> Node | None:
        """Who serves a slot, as far as is known."""
        node = self._moved.get(slot)
        if node is None and self._ends:
            node = self._masters[bisect_right(self._ends, slot)]
        return node

    def any(self) -> Client:
        """A client of some master."""
        if self.stale:
            self.refresh()
        for client in self._clients.values():
            if client.connected:
                return client
        for node in self._masters:
            if node is not None:
                return self.client(node)
        self.stale = True
        raise errors.ClusterDown(f"CLUSTERDOWN no node of {self._address} serves anything")

    # -- what is known

    def moved(self, slot: int, said_by: Client, error: errors.Moved) -> None:
        """A node says that another one serves the slot now."""
        self._moved[slot] = self.named(said_by, error)

    def named(self, said_by: Client, error: errors.Moved) -> Node:
        """The node that a redirection names."""
        host, port = error.node
        return host or said_by.address.host, port

    def refresh(self) -> None:
        """Ask a node who serves what: those that are connected first, then the seeds, then all that were ever seen.

        Raises:
            ConnectionLost: none of them answers.
            ConnectionError: the server is no cluster.
        """
        trouble: Exception | None = None
        asked = [client for client in self._clients.values() if client.connected]
        asked += map(self.client, self._address.seeds)
        asked += self._clients.values()
        for client in dict.fromkeys(asked):
            try:
                answer = client.call("CLUSTER", "SLOTS")
            except _TROUBLE as exc:
                trouble = exc
            except errors.CommandError as exc:
                raise errors.ConnectionError(f"{client.address} is no node of a cluster: {exc}") from exc
            else:
                self._take_in(answer, client.address.host)
                return
        assert trouble is not None
        raise trouble

    def _take_in(self, answer: list[Any], host: str) -> None:
        """``[[first slot, last slot, [host, port, ..] of the master, replicas ..], ..]``"""
        self._ends, self._masters, self._moved = [], [], {}
        at = 0
        for first, last, master, *_ in sorted(answer, key=lambda entry: entry[0]):
            if first > at:
                self._ends.append(first)
                self._masters.append(None)
            name = (master[0] or b"").decode()
            self._ends.append(last + 1)
            self._masters.append((name if name not in ("", "?") else host, int(master[1])))
            at = last + 1
        self._masters.append(None)
        self.stale = False
        self._close_others()

    def _close_others(self) -> None:
        """Close connections to nodes that serve nothing any more: replicas, names that stand for another address."""
        serving = set(self._masters)
        for node, client in list(self._clients.items()):
            if node not in serving:
                client.abandon()  # (what got no answer is sent again, to who serves its slot)
