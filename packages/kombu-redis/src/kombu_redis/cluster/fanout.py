"""Broadcasts on a cluster: sharded pub/sub, one channel for each fanout exchange, in the shard of its name."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu_redis.fanout import LOOK, MOST_WAITING

from .listening import Listener

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .transport import ClusterTransport

__all__ = ("ClusterBroadcasts",)

logger = get_logger(__name__)


class ClusterBroadcasts:
    """What was broadcast for each queue; the routing key selects nothing, as in AMQP."""

    def __init__(self, transport: ClusterTransport) -> None:
        self._transport = transport
        self._listener: Listener | None = None
        #: Channel -> the queues that get what is published on it.
        self._queues: dict[str, list[str]] = {}
        self.waiting: dict[str, deque[dict[str, Any]]] = {}
        self._look_at = 0.0

    @property
    def listening(self) -> bool:
        """Whether broadcasts are wanted: somebody listens, and there is room for more."""
        return bool(self._queues) and all(len(kept) < MOST_WAITING for kept in self.waiting.values())

    def filenos(self) -> list[int]:
        """The descriptors to wait for, while there is room."""
        return self._listener.filenos() if self._listener is not None and self.listening else []

    def listen(self, queue: str, channels: Iterable[str]) -> None:
        """The queue gets what is published on these channels; from when this returns."""
        self.waiting.setdefault(queue, deque())
        channels = list(channels)
        for channel in channels:
            queues = self._queues.setdefault(channel, [])
            if queue not in queues:
                queues.append(queue)
        if self._listener is None:
            self._listener = Listener(self._transport, "pubsub", self._hear)
        self._listener.listen(channels)

    def ignore(self, queue: str) -> None:
        """The queue gets nothing more."""
        self.waiting.pop(queue, None)
        gone = []
        for channel, queues in list(self._queues.items()):
            if queue in queues:
                queues.remove(queue)
                if not queues:
                    del self._queues[channel]
                    gone.append(channel)
        if self._listener is not None:
            self._listener.ignore(gone)

    def _hear(self, channel: str, payload: bytes) -> None:
        try:
            for queue in self._queues.get(channel, ()):
                kept = self.waiting.get(queue)
                if kept is not None:
                    kept.append(self._transport.decode(payload))
        except ValueError as exc:
            logger.error("Broadcast on %r cannot be decoded and is dropped: %s", channel, exc)

    def look(self) -> bool:
        """Take in what has come, now and then, also where messages leave no time to sleep; whether there was any."""
        if self._listener is None or not self._queues or monotonic() < self._look_at:
            return False
        self._look_at = monotonic() + LOOK
        before = sum(map(len, self.waiting.values()))
        self.read()
        self.check()
        return sum(map(len, self.waiting.values())) > before

    def read(self, fileno: int | None = None) -> None:
        """Take in what has come over one socket, or over all, while there is room."""
        if self._listener is not None and self.listening:
            self._listener.read(fileno)

    def give_back(self, queue: str, message: dict[str, Any]) -> None:
        """A consumer returns one, to be delivered next; dropped when nobody here listens any more."""
        kept = self.waiting.get(queue)
        if kept is not None:
            kept.appendleft(message)

    def check(self) -> None:
        """Ask whether silent nodes are still there; subscribe anew where that is needed."""
        if self._listener is not None and self.listening:
            self._listener.check()

    def clients(self) -> list[Any]:
        """The clients it uses."""
        return self._listener.clients() if self._listener is not None else []

    def close(self) -> None:
        """Close the sockets."""
        if self._listener is not None:
            self._listener.close()
