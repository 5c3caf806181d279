"""Broadcasts: fanout exchanges as Redis pub/sub, the way kombu has always had them on Redis.

What is published while nobody listens is gone: pub/sub has no memory. (``fanout="queue"`` and ``fanout="stream"`` keep
broadcasts instead; bells tell of what streams have got.) A broadcast is nobody's lease: acknowledging it does nothing,
requeueing puts it back here.

A user of an ACL with ``&prefix:*`` may subscribe to any channel of that prefix by name, but to no other pattern than
``prefix:*`` itself. Where a pattern is refused, that one is asked for, and what does not match is dropped here.
"""

from __future__ import annotations

import re
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger

from .errors import AccessRefused, NoReply
from .keys import escaped
from .overlap import Overlap
from .resp import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from .transport import Transport

__all__ = ("Broadcasts",)

logger = get_logger(__name__)

#: Broadcasts kept for a queue whose consumers have no room; more stay in the socket.
MOST_WAITING = 1000

#: Seconds between two looks while there is other work.
LOOK = 0.02

#: A character that stands for itself in a pattern.
_ESCAPED = re.compile(r"\\(.)")


class Broadcasts:
    """The pub/sub socket of one connection, and what came over it for each queue."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._line: Any = None
        #: Pattern that is subscribed to -> the queues that get what matches it.
        self._patterns: dict[str, list[str]] = {}
        #: Name of a channel that is subscribed to -> the pattern it is in ``_patterns``.
        self._channels: dict[str, str] = {}
        #: The pattern of everything with the prefix, where the server's ACL allows no other.
        self._whole = ""
        #: Names of channels that just tell of a broadcast in a stream.
        self._bells: set[str] = set()
        #: Who is told what comes on a channel of this connection's own.
        self._private: dict[str, Callable[[bytes], object]] = {}
        #: How often it has subscribed to everything anew.
        self.sessions = 0
        self.waiting: dict[str, deque[dict[str, Any]]] = {}
        self._last = (b"", b"")
        #: Whether a broadcast has come by another channel before.
        self.repeats: Callable[[bytes, bytes], bool] = lambda channel, payload: False
        self._overlap = Overlap()
        #: Those that others have taken over from; and those of them whose descriptors nobody watches any more.
        self._retired: list[Any] = []
        self._unwatched: list[Any] = []
        self._heard = 0.0
        self._look_at = 0.0
        self._pinged = False

    @property
    def listening(self) -> bool:
        """Whether broadcasts are wanted: somebody listens, and there is room for more."""
        return bool(self._patterns) and all(len(kept) < MOST_WAITING for kept in self.waiting.values())

    def fileno(self) -> int:
        """The socket's descriptor, and no other; subscribes again first, after a connection was lost."""
        self._unwatched += self._retired
        self._retired.clear()
        self._connect()
        return int(self._line.fileno())

    # -- subscribing ---------------------------------------------------------------------------------------

    def listen(self, queue: str, patterns: Collection[str] = (), bells: Collection[str] = ()) -> None:
        """The queue gets what is published on channels that match, and hears bells; from when this returns."""
        if patterns:
            self.waiting.setdefault(queue, deque())
        self._bells.update(bells)
        new = []
        for pattern in (*patterns, *map(escaped, bells)):
            queues = self._patterns.setdefault(pattern, [])
            if not queues:
                new.append(pattern)
            if queue not in queues:
                queues.append(queue)
        if not self._connect() and new:
            self._subscribe(new)

    def hear(self, channel: str, take: Callable[[bytes], object]) -> None:
        """Have ``take`` called with what is published on a channel; from when this returns."""
        if channel not in self._private:
            self._private[channel] = take
            self.listen(channel, bells=[channel])

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
            plain, wild = _split(gone)
            self._line.write(_command("UNSUBSCRIBE", plain) + _command("PUNSUBSCRIBE", wild), 0)

    def _connect(self) -> bool:
        """Connect and subscribe to everything, unless that is so already; whether it had to be done."""
        if self._line is None:
            self._line = self._transport.open_client("pubsub")
            self._line.checks = False
        if self._line.connected or not self._patterns:
            return False
        self._line.connect()
        self.sessions += 1
        self._subscribe(list(self._patterns))
        return True

    def _subscribe(self, patterns: list[str]) -> None:
        plain, wild = _split(patterns)
        self._heard, self._pinged = monotonic(), False
        self._transport.pulls.ring(queue for pattern in patterns for queue in self._patterns[pattern])
        self._channels.update(plain)
        self._ask("SUBSCRIBE", plain)
        try:
            self._ask("PSUBSCRIBE", wild)
        except AccessRefused:
            self._whole = f"{self._transport.keys.prefix}*"
            self._ask("PSUBSCRIBE", [self._whole])

    def _ask(self, command: str, names: Collection[str]) -> None:
        self._line.write(_command(command, names), 0)
        missing = set(names)
        while missing:
            reply = self._line.read()
            if reply[0].endswith(b"subscribe"):
                missing.discard(reply[1].decode())
            else:
                self._take_in(reply)

    # -- receiving -----------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Take in what has come, now and then, also where messages leave no time to sleep; whether there was anything.

        Raises:
            ConnectionError: the server is gone.
        """
        if not self._patterns or monotonic() < self._look_at:
            return False
        self._look_at = monotonic() + LOOK
        self._connect()
        before = sum(map(len, self.waiting.values()))
        self.read()
        self.check()
        return sum(map(len, self.waiting.values())) > before

    def read(self) -> None:
        """Take in what has come, as much as there is room for."""
        while self.listening and self._line.readable(0):
            self._take_in(self._line.read())

    def _take_in(self, reply: list[Any]) -> None:
        self._heard, self._pinged = monotonic(), False
        if reply[0] not in (b"message", b"pmessage"):
            return
        if self._overlap.keeps(reply):
            return
        channel, payload = reply[-2:]
        name = channel.decode()
        if name in self._private:
            self._private[name](payload)
            return
        queues = self._listening_to(reply[1].decode(), name, by_name=reply[0] == b"message")
        if name in self._bells:
            self._transport.pulls.ring(queues)
            return
        if self.repeats(channel, payload):
            return
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

    def _listening_to(self, subscribed: str, channel: str, by_name: bool) -> Collection[str]:
        """The queues that get what came by one subscription, to a channel's name or to a pattern."""
        if by_name:
            return self._patterns.get(self._channels.get(channel, ""), ())
        if subscribed != self._whole:
            return self._patterns.get(subscribed, ())
        matching = (
            self._patterns[pattern] for pattern in _split(self._patterns)[1] if _matches(pattern, channel)
        )
        return {queue for queues in matching for queue in queues}

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
        if not self.listening or self._line is None or not self._line.connected:
            return
        self._renew_login()
        patience = self._transport.patience
        silent = monotonic() - self._heard
        if self._pinged and silent > 2 * patience and not self._line.readable(0):
            self._line.close()
            raise NoReply("the server did not answer a PING of the pub/sub connection in time")
        if not self._pinged and silent > patience:
            self._line.write(pack("PING"), 0)
            self._pinged = True

    def _renew_login(self) -> None:
        """New credentials: a connection that is subscribed takes no AUTH (RESP 2), so another one takes over.

        What is published meanwhile comes by both, and is taken in once, in order.
        """
        while self._unwatched:
            self._unwatched.pop().close()
        old = self._line
        if monotonic() < old.ask_at or not old.outdated():
            return
        early = self._overlap.begin()
        self._line = None
        self._retired.append(old)
        try:
            self._connect()
            self._overlap.compare()
            self._read_all(old)
            for reply in early:
                self._take_in(reply)
            self._read_all(self._line)
        finally:
            self._overlap.end()

    def _read_all(self, line: Any) -> None:
        """Take in all that the server has sent before it answers."""
        line.write(pack("PING"), 0)
        while (reply := line.read())[0] != b"pong":
            self._take_in(reply)

    def clients(self) -> list[Any]:
        """The clients it uses."""
        return [line for line in (self._line, *self._retired, *self._unwatched) if line is not None]

    def close(self) -> None:
        """Close the socket; the subscriptions are kept for the next use."""
        for line in self.clients():
            line.close()


def _command(name: str, arguments: Collection[str]) -> bytes:
    return pack(name, *arguments) if arguments else b""


def _split(patterns: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The channels that patterns without a wildcard name, by their names, and the other patterns."""
    plain, wild = {}, []
    for pattern in patterns:
        if "*" in _ESCAPED.sub("", pattern):
            wild.append(pattern)
        else:
            plain[_ESCAPED.sub(r"\1", pattern)] = pattern
    return plain, wild


def _matches(pattern: str, channel: str) -> bool:
    """Whether the server would match them; of wildcards there is only ``*`` in ours."""
    parts = (_ESCAPED.sub(r"\1", part) for part in re.split(r"(?<!\\)\*", pattern))
    return re.fullmatch(".*".join(map(re.escape, parts)), channel, re.DOTALL) is not None
