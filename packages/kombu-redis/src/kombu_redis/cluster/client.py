"""Commands to a cluster: each goes to the node that serves the slot of its first key, and follows where it is sent."""

from __future__ import annotations

from os import getpid
from threading import RLock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu.utils.deadline import remaining
from kombu_redis import errors
from kombu_redis.resp import Argument, pack
from kombu_redis.scripts import called_by

from .nodes import Nodes
from .slots import slot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_redis.client import Client
    from kombu_redis.options import Options
    from kombu_redis.scripts import Script
    from kombu_redis.session import Then

    from .address import ClusterAddress

__all__ = ("ClusterClient", "Shard", "slot_of_command")

logger = get_logger(__name__)

#: Redirections that one command follows at most.
REDIRECTIONS = 16
#: Seconds between two tries while a slot is on its way to another node.
PAUSE = 0.02

_ASKING = pack("ASKING")

#: The connection is gone, and what was sent may have been carried out.
GONE = (errors.ConnectionLost, errors.NoReply)

#: Replies that say the command was not carried out, and is to be sent anew.
AGAIN = (errors.Moved, errors.TryAgain, errors.NoScript)


class ClusterClient:
    """What :class:`~kombu_redis.client.Client` is to one server. For several threads, one at a time.

    A command whose connection is lost fails as it does there. While a slot is on its way from one node to another,
    commands that touch several of its keys have to wait: for ``socket_timeout`` at the most.

    Arguments:
        name: what CLIENT LIST shows in place of the option ``client_name``.
    """

    def __init__(self, address: ClusterAddress, options: Options, name: str | None = None) -> None:
        self.address = address
        self.lock = RLock()
        #: Called with the error answered to what was sent by :meth:`Shard.buffer` and :meth:`Shard.write`.
        self.on_late_error: Callable[[Exception], object] = _log_late
        self.nodes = Nodes(address, options, name, self._late)
        self._patience = options.socket_timeout
        self._pid = getpid()

    def _late(self, error: Exception) -> None:
        if isinstance(error, (errors.Moved, errors.ClusterDown)):
            self.nodes.stale = True
        if not isinstance(error, errors.Unavailable):
            self.on_late_error(error)

    def shard(self, tag: str) -> Shard:
        """The client of one shard."""
        return Shard(self, slot_of(tag.encode()))

    # -- commands

    def call(self, *command: Argument) -> Any:
        """The reply to a command; without a key it goes to any node."""
        return self.request(pack(*command))

    def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument] = ()) -> Any:
        """The reply to a script, whose keys are all in one slot."""
        return self.request(script.pack(keys, arguments))

    def request(self, packed: bytes) -> Any:
        """The reply to one packed command."""
        return self.send(slot_of_command(packed), packed)

    def pipeline(self, commands: Sequence[Sequence[Argument] | bytes]) -> list[Any]:
        """The replies to several commands, sent to all nodes before one is read; the first error is raised."""
        replies = self.attempt(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def attempt(self, commands: Sequence[Sequence[Argument] | bytes], wait: bool = True) -> list[Any]:
        """As :meth:`pipeline`, with errors among the replies; also that a node is gone.

        Arguments:
            wait: for a slot that is on its way to another node; else that is among the errors.
        """
        packed = [command if isinstance(command, bytes) else pack(*command) for command in commands]
        slots = [slot_of_command(command) for command in packed]
        with self._alone():
            lost = errors.ConnectionLost(f"the connection to a node of {self.address} was lost meanwhile")
            replies: list[Any] = [lost] * len(packed)
            by_client: dict[Client, list[int]] = {}
            silent: dict[Client, Exception] = {}  # not to be waited for once for each of its slots
            for at, slot in enumerate(slots):
                client = None
                try:
                    client = self._client_of(slot)
                    if client in silent:
                        raise silent[client]
                    by_client.setdefault(self._connected(client, slot), []).append(at)
                except (*GONE, errors.ClusterDown) as exc:
                    replies[at] = exc
                    if client is not None:
                        silent[client] = exc
            sent = [client for client, ats in by_client.items() if self._spread(client, ats, packed, replies)]
            for client in sent:
                self._gather(client, by_client[client], replies)
            for at, reply in enumerate(replies):
                if isinstance(reply, AGAIN):
                    try:
                        replies[at] = self.send(slots[at], packed[at], wait)
                    except (errors.Unavailable, errors.CommandError, *GONE) as exc:
                        replies[at] = exc
            return replies

    def _spread(self, client: Client, ats: list[int], packed: list[bytes], replies: list[Any]) -> bool:
        def fill(found: list[Any]) -> None:
            for at, reply in zip(ats, found, strict=True):
                replies[at] = reply
                if isinstance(reply, errors.Moved) and not isinstance(reply, errors.Ask):
                    self.nodes.moved(slot_of_command(packed[at]) or 0, client, reply)

        try:
            client.write(b"".join([packed[at] for at in ats]), len(ats), fill)
        except GONE as exc:
            self._lost(exc, ats, replies)
            return False
        return True

    def _gather(self, client: Client, ats: list[int], replies: list[Any]) -> None:
        try:
            client.flush()
        except GONE as exc:
            self._lost(exc, ats, replies)

    def _lost(self, exc: Exception, ats: list[int], replies: list[Any]) -> None:
        self.nodes.stale = True
        for at in ats:
            if isinstance(replies[at], errors.ConnectionLost):
                replies[at] = exc

    # -- one command to where it belongs

    def send(self, slot: int | None, packed: bytes, wait: bool = True) -> Any:
        """The reply of the node that serves the slot."""
        until = monotonic() + (self._patience if wait else 0)
        with self._alone():
            for _ in range(REDIRECTIONS):
                while True:
                    client = self._reach(slot)
                    try:
                        return client.request(packed)
                    except errors.Ask as exc:
                        try:
                            return self._ask(client, exc, packed)
                        except errors.TryAgain as again:
                            self._pause(until, again)
                    except errors.Moved as exc:
                        self.nodes.moved(slot or 0, client, exc)
                        break
                    except errors.TryAgain as exc:
                        self._pause(until, exc)
                    except (*GONE, errors.ClusterDown):
                        self.nodes.stale = True
                        raise
        raise errors.ClusterDown(f"CLUSTERDOWN {self.address} sends from node to node for slot {slot}")

    def _ask(self, said_by: Client, error: errors.Ask, packed: bytes) -> Any:
        """The slot is on its way to another node, and the keys of this command are there already."""
        script = called_by(packed)
        known = [script.load()] if script is not None else []
        client = self.nodes.client(self.nodes.named(said_by, error))
        reply = client.attempt([*known, _ASKING, packed])[-1]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _pause(self, until: float, error: Exception) -> None:
        if monotonic() > until:
            raise error
        left = remaining(PAUSE)  # (raises nothing: the next command does when the deadline is over)
        sleep(PAUSE if left is None else max(left, 0))

    def _reach(self, slot: int | None) -> Client:
        """The client for a slot, connected."""
        return self._connected(self._client_of(slot), slot)

    def _connected(self, client: Client, slot: int | None) -> Client:
        """The client, connected. When that fails nothing was sent: perhaps another node serves the slot by now."""
        if client.connected:
            return client
        try:
            client.connect()
        except (*GONE, errors.Unavailable):
            self.nodes.refresh()
            other = self._client_of(slot)
            if other is client:
                self.nodes.stale = True
                raise
            other.connect()
            return other
        return client

    def _client_of(self, slot: int | None) -> Client:
        return self.nodes.any() if slot is None else self.nodes.of_slot(slot)

    def _alone(self) -> Any:
        if self._pid != getpid():
            self._pid, self.lock = getpid(), RLock()
        return self.lock

    # -- the session

    @property
    def connected(self) -> bool:
        """Whether it is known who serves what, or there is a socket to any node."""
        return not self.nodes.stale or any(client.connected for client in self.nodes.clients())

    def connect(self) -> None:
        """Learn who serves what, unless that is known.

        Raises:
            ConnectionLost, NoReply, AuthenticationError, ConnectionError: as for one server.
        """
        with self._alone():
            if self.nodes.stale:
                self.nodes.refresh()

    def flush(self) -> None:
        """Read all replies that are owed."""
        with self._alone():
            for client in self.clients():
                client.flush()

    def clients(self) -> list[Client]:
        """The connected clients."""
        return [client for client in self.nodes.clients() if client.connected]

    def close(self) -> None:
        """Close the connections to all nodes."""
        for client in self.nodes.clients():
            client.close()

    def end(self) -> None:
        """For good: a thread that still uses it does not connect again."""
        self.nodes.end()


class Shard:
    """The cluster's client, for commands with the keys of one slot; what is sent stays in order."""

    def __init__(self, cluster: ClusterClient, slot: int) -> None:
        self.cluster = cluster
        self.slot = slot

    @property
    def lock(self) -> Any:
        return self.cluster.lock

    @property
    def address(self) -> Any:
        """Of the node that serves it, as far as is known."""
        client = self._known()
        return self.cluster.address if client is None else client.address

    @property
    def connected(self) -> bool:
        """Whether there is a connection to who serves it, as far as is known."""
        client = self._known()
        return client is not None and client.connected

    @property
    def connects(self) -> object:
        """Something else after each connecting, and after the slot has moved."""
        client = self._known()
        return client and (client.address.host, client.address.port, client.connects)

    def _known(self) -> Client | None:
        nodes = self.cluster.nodes
        node = nodes.master(self.slot)
        return None if node is None else nodes.client(node)

    def connect(self) -> None:
        with self.cluster.lock:
            self.cluster._reach(self.slot)

    def request(self, packed: bytes, wait: bool = True) -> Any:
        return self.cluster.send(self.slot, packed, wait)

    def call(self, *command: Argument) -> Any:
        return self.cluster.send(self.slot, pack(*command))

    def attempt(self, commands: Sequence[bytes]) -> list[Any]:
        return self.cluster.attempt(commands)

    def buffer(self, packed: bytes, replies: int, then: Then = None) -> None:
        """As :meth:`kombu_redis.client.Client.buffer`; a redirection is among the replies."""
        with self.cluster.lock:
            self.cluster._reach(self.slot).buffer(packed, replies, then)

    def write(self, packed: bytes, replies: int, then: Then = None) -> None:
        with self.cluster.lock:
            self.cluster._reach(self.slot).write(packed, replies, then)

    def flush(self) -> None:
        client = self._known()
        if client is not None:
            with self.cluster.lock:  # (or another thread's replies would be read, or lost, behind its back)
                client.flush()

    def on_late_error(self, error: Exception) -> None:
        self.cluster._late(error)


def slot_of_command(packed: bytes) -> int | None:
    """The slot of the first key of a packed command: the first argument, of a script the third; None for no key."""
    at = packed.index(b"\n") + 1
    if packed.startswith(b"$7\r\nEVALSHA\r\n", at):
        at = packed.index(b"\n", at + 13 + 47) + 1  # behind the digest
        at = packed.index(b"\n", at) + 1  # and the number of keys
    elif packed.startswith((b"$4\r\nTIME", b"$4\r\nPING", b"$6\r\nSCRIPT"), at):
        return None
    else:
        at = packed.index(b"\n", packed.index(b"\n", at) + 1) + 1
    end = packed.index(b"\r", at)
    size = int(packed[at + 1 : end])
    return slot_of(packed[end + 2 : end + 2 + size])


def _log_late(error: Exception) -> None:
    logger.warning("A command that was not waited for failed: %s", error)
