"""Broadcasts: fanout exchanges as Redis pub/sub, the way kombu has always had them on Redis.

What is published while nobody listens is gone: pub/sub has no memory. (``fanout="queue"`` keeps broadcasts in the
queues instead.) A broadcast is nobody's lease: acknowledging it does nothing, requeueing puts it back here.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger

from .resp import pack
from .errors import NoReply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .transport import Transport

__all__ = ("Broadcasts",)

logger = get_logger(__name__)

#: Broadcasts kept for a queue whose consumers have no room; more stay in the socket.
MOST_WAITING = 1000


class Broadcasts:
    """The pub/sub socket of one connection, and what came over it for each queue."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._line: Any = None
        #: Pattern that is subscribed to -> the queues that get what matches it.
        self._patterns: dict[str, list[str]] = {}
        self.waiting: dict[str, deque[dict[str, Any]]] = {}
        self._last = (b"", b"")
        self._heard = 0.0
        self._pinged = False

    @property
    def listening(self) -> bool:
        """Whether broadcasts are wanted: somebody listens, and there is room for more."""
        return bool(self._patterns) and all(len(kept) < MOST_WAITING for kept in self.waiting.values())

    def fileno(self) -> int:
        """The socket's descriptor; subscribes again first, after a connection was lost."""
        self._connect()
        return int(self._line.fileno())

    # -- subscribing ---------------------------------------------------------------------------------------

    def listen(self, queue: str, patterns: Iterable[str]) -> None:
        """The queue gets what is published on channels that match; from when this returns."""
        self.waiting.setdefault(queue, deque())
        new = []
        for pattern in patterns:
            queues = self._patterns.setdefault(pattern, [])
            if not queues:
                new.append(pattern)
            if queue not in queues:
                queues.append(queue)
        if not self._connect() and new:
            self._subscribe(new)

    def ignore(self, queue: str) -> None:
        """The queue gets nothing more."""
        self.waiting.pop(queue, None)
        gone = []
        for pattern, queues in list(self._patterns.items()):
            if queue in queues:
                queues.remove(queue)
                if not queues:
                    del self._patterns[pattern]
                    gone.append(pattern)
        if gone and self._line is not None and self._line.connected:
            self._line.write(pack("PUNSUBSCRIBE", *gone), 0)

    def _connect(self) -> bool:
        """Connect and subscribe to everything, unless that is so already; whether it had to be done."""
        if self._line is None:
            self._line = self._transport.open_client("pubsub")
        if self._line.connected or not self._patterns:
            return False
        self._line.connect()
        self._subscribe(list(self._patterns))
        return True

    def _subscribe(self, patterns: list[str]) -> None:
        self._line.write(pack("PSUBSCRIBE", *patterns), 0)
        self._heard, self._pinged = monotonic(), False
        missing = set(patterns)
        while missing:
            reply = self._line.read()
            if reply[0] == b"psubscribe":
                missing.discard(reply[1].decode())
            else:
                self._take_in(reply)

    # -- receiving -----------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take in what has come, as much as there is room for."""
        while self.listening and self._line.readable(0):
            self._take_in(self._line.read())

    def _take_in(self, reply: list[Any]) -> None:
        self._heard, self._pinged = monotonic(), False
        if reply[0] != b"pmessage":
            return
        _, pattern, channel, payload = reply
        queues = self._patterns.get(pattern.decode(), ())
        # A message that several patterns match comes once for each, one after the other.
        last, self._last = self._last, (channel, payload)
        repeated = last == self._last
        try:
            message = self._transport.decode(payload)
        except ValueError as exc:
            logger.error("Broadcast on %r cannot be decoded and is dropped: %s", channel, exc)
            return
        for queue in queues:
            kept = self.waiting.get(queue)
            if kept is not None and not (repeated and kept and kept[-1] == message):
                kept.append(self._transport.decode(payload) if len(queues) > 1 else message)

    def give_back(self, queue: str, message: dict[str, Any]) -> None:
        """A consumer returns one, to be delivered next; dropped when nobody here listens any more."""
        kept = self.waiting.get(queue)
        if kept is not None:
            kept.appendleft(message)

    def check(self) -> None:
        """Ask whether the server is still there when nothing was heard for long.

        Raises:
            ConnectionError: the last question was not answered in time.
        """
        if not self._patterns or self._line is None or not self._line.connected:
            return
        patience = self._transport.patience
        silent = monotonic() - self._heard
        if self._pinged and silent > 2 * patience:
            self._line.close()
            raise NoReply("the server did not answer a PING of the pub/sub connection in time")
        if not self._pinged and silent > patience:
            self._line.write(pack("PING"), 0)
            self._pinged = True

    def close(self) -> None:
        """Close the socket; the subscriptions are kept for the next use."""
        if self._line is not None:
            self._line.close()

    def abandon(self) -> None:
        """In a forked child: let go without a word to the server."""
        self._patterns.clear()
        self.waiting.clear()
        if self._line is not None:
            self._line.abandon()
