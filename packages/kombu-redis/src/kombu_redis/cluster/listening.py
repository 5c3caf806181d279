"""Sharded pub/sub (Redis 7): channels of many slots, over one socket to each node that serves any.

What is published while a channel's node is away, or its slot on the way to another one, is not heard. Who listens
learns of neither, and subscribes again as soon as that can be done. With Redis before 7 the channels are those of all
nodes, and listened to at the node that would serve them.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu_redis import errors
from kombu_redis.overlap import Overlap
from kombu_redis.resp import pack

from .nodes import Nodes
from .slots import slot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_redis.client import Client

    from .transport import ClusterTransport

__all__ = ("Listener",)

logger = get_logger(__name__)

#: Seconds until a channel that could not be subscribed to is tried again.
PAUSE = 0.25

_TROUBLE = (errors.ConnectionLost, errors.NoReply, errors.Unavailable)


class Listener:
    """Subscriptions of one connection, for one purpose. For the thread that drains the connection.

    Arguments:
        use: is added to the ``client_name`` of its sockets.
        take: called with the channel and the payload of each message.
    """

    def __init__(self, transport: ClusterTransport, use: str, take: Callable[[str, bytes], object]) -> None:
        self._take = take
        self._patience = transport.patience
        self._nodes = Nodes(transport.address, transport.options, transport.socket_name(use), _ignore)
        self._nodes.checks = False
        #: Channels that are wanted, and the client that each is subscribed to with.
        self._channels: dict[str, Client | None] = {}
        self._sharded = True
        self._again_at = 0.0
        self._heard: dict[Client, float] = {}
        self._pinged: set[Client] = set()
        self._overlap = Overlap()
        #: Those that others have taken over from; and those of them whose descriptors nobody watches any more.
        self._retired: list[Client] = []
        self._unwatched: list[Client] = []

    # -- subscribing ---------------------------------------------------------------------------------------

    def listen(self, channels: Iterable[str]) -> None:
        """Subscribe to these as well, as far as their nodes can be reached; :meth:`look` sees to the others later."""
        fresh = [channel for channel in channels if channel not in self._channels]
        self._channels.update(dict.fromkeys(fresh))
        if fresh:
            self._subscribe()
        else:
            self.look()

    def ignore(self, channels: Iterable[str]) -> None:
        """Subscribe to these no longer."""
        for channel in channels:
            client = self._channels.pop(channel, None)
            if client is not None and client.connected:
                client.write(pack("SUNSUBSCRIBE" if self._sharded else "UNSUBSCRIBE", channel), 0)

    def look(self) -> None:
        """Subscribe anew to what was lost, after a pause."""
        if monotonic() >= self._again_at and self._missing():
            self._subscribe()

    def _missing(self) -> list[str]:
        return [
            channel for channel, client in self._channels.items() if client is None or not client.connected
        ]

    def _subscribe(self) -> None:
        for _ in range(3):  # redirections
            try:
                by_client: dict[Client, list[str]] = {}
                for channel in self._missing():
                    by_client.setdefault(self._nodes.of_slot(slot_of(channel.encode())), []).append(channel)
                for client, channels in by_client.items():
                    self._ask(client, channels)
            except (errors.Moved, errors.CommandError) as exc:
                if not isinstance(exc, errors.Moved):
                    self._without_shards(exc)
                self._nodes.stale = True
            except _TROUBLE as exc:
                logger.debug("Not subscribed to all channels, and trying again soon: %s", exc)
                self._nodes.stale = True
                break
            else:
                return
        self._again_at = monotonic() + PAUSE

    def _without_shards(self, error: errors.CommandError) -> None:
        if "unknown command" not in str(error) or not self._sharded:
            raise error
        self._sharded = False

    def _ask(self, client: Client, channels: list[str]) -> None:
        client.connect()
        command = "SSUBSCRIBE" if self._sharded else "SUBSCRIBE"
        self._heard[client] = monotonic()
        self._pinged.discard(client)
        client.write(b"".join(pack(command, channel) for channel in channels), 0)
        missing = set(channels)
        while missing:
            try:
                reply = client.read()
            except errors.CommandError:
                client.close()  # (the answers for the other channels are on their way)
                raise
            if reply[0].endswith(b"subscribe"):
                missing.discard(reply[1].decode())
            self._take_in(client, reply)

    # -- hearing -------------------------------------------------------------------------------------------

    def filenos(self) -> list[int]:
        """The descriptors to wait for, and no others."""
        self._unwatched += self._retired
        self._retired.clear()
        return [client.fileno() for client in self.clients()]

    def read(self, fileno: int | None = None) -> None:
        """Take in what has come over one socket, or over all."""
        for client in self.clients():
            if fileno is None or client.fileno() == fileno:
                try:
                    while client.connected and client.readable(0):
                        self._take_in(client, client.read())
                except _TROUBLE as exc:
                    self._lost(client, exc)

    def _take_in(self, client: Client, reply: Any) -> None:
        self._heard[client] = monotonic()
        self._pinged.discard(client)
        if not isinstance(reply, list):
            return
        kind, channel = reply[0], reply[1].decode()
        if kind in (b"smessage", b"message"):
            if not self._overlap.keeps(reply) and channel in self._channels:
                self._take(channel, reply[2])
        elif channel in self._channels and kind.endswith(b"subscribe"):
            left = kind.endswith(b"unsubscribe")  # by itself: the slot has moved
            self._channels[channel] = None if left else client
            self._nodes.stale |= left

    def _lost(self, client: Client, exc: Exception) -> None:
        logger.info("%s: subscribing again", exc)
        client.abandon()
        self._nodes.stale = True
        self._again_at = 0.0

    def check(self) -> None:
        """Ask nodes that were silent for long whether they are still there; to be called now and then."""
        now = monotonic()
        while self._unwatched:
            self._unwatched.pop().close()
        for client in self.clients():
            silent = now - self._heard.get(client, now)
            try:
                if now >= client.ask_at and client.outdated():
                    self._log_in_again(client)
                elif client in self._pinged and silent > 2 * self._patience and not client.readable(0):
                    self._lost(client, errors.NoReply(f"{client.address} did not answer a PING in time"))
                elif client not in self._pinged and silent > self._patience:
                    client.write(pack("PING"), 0)
                    self._pinged.add(client)
            except _TROUBLE as exc:
                self._lost(client, exc)
        self.look()

    def _log_in_again(self, client: Client) -> None:
        """New credentials: a connection that is subscribed takes no AUTH (RESP 2), so another one takes over.

        What is published meanwhile comes by both, and is taken in once, in order.
        """
        channels = [channel for channel, by in self._channels.items() if by is client]
        fresh = self._nodes.another(client)
        early = self._overlap.begin()
        try:
            if channels:
                self._ask(fresh, channels)
        except (*_TROUBLE, errors.CommandError) as exc:
            logger.info("%s: the old login is used on: %s", client.address, exc)
            fresh.end()
            self._channels.update(dict.fromkeys(channels, client))
            return
        finally:
            self._overlap.end()
        self._nodes.replace(client, fresh)
        self._retired.append(client)
        if not channels:
            return
        self._overlap.compare()
        try:
            try:
                self._read_all(client)
            finally:
                for reply in early:
                    self._take_in(fresh, reply)
            self._read_all(fresh)
        finally:
            self._overlap.end()

    def _read_all(self, client: Client) -> None:
        """Take in all that the node has sent before it answers."""
        client.write(pack("PING"), 0)
        while (reply := client.read())[0] != b"pong":
            self._take_in(client, reply)

    # -- letting go ----------------------------------------------------------------------------------------

    def clients(self) -> list[Client]:
        """The connected clients that listen."""
        return [client for client in self._nodes.clients() if client.connected]

    def close(self) -> None:
        """Close the sockets, for good."""
        self._channels.clear()
        self._nodes.end()
        for client in (*self._retired, *self._unwatched):
            client.end()


def _ignore(error: Exception) -> None:
    """Nothing is sent here whose answer comes late."""
