"""One queue of the in-process broker: order, priority and what came back. No lock, no clock of its own.

Appending to and taking from a queue without priorities are single operations on a ``deque``, so they need no lock; the
broker's lock guards everything else.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.transport.virtual.envelope import body_size
from kombu.transport.virtual.policy import PLAIN, QueuePolicy, priority_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("MemoryQueue",)


class _Level:
    """The messages of one priority: those that came back, by their first place, then those never taken."""

    __slots__ = ("ready", "returned")

    def __init__(self) -> None:
        self.ready: deque[dict[str, Any]] = deque()
        self.returned: list[tuple[int, int, dict[str, Any]]] = []


class MemoryQueue:
    """Messages in the order of priority, then of publication; a message that comes back takes its old place."""

    __slots__ = (
        "_born",
        "_bytes",
        "_levels",
        "_place",
        "_returned",
        "_returns",
        "delayed",
        "expiring",
        "idle_at",
        "name",
        "plain",
        "planned",
        "policy",
        "ready",
        "touched",
        "waiters",
    )

    def __init__(
        self,
        name: str,
        policy: QueuePolicy = PLAIN,
        now: float = 0.0,
        place: Callable[[], int] | None = None,
    ) -> None:
        self.name = name
        self.policy = policy
        #: No priorities, no bytes to count: one level, on which single operations of a deque do.
        self.plain = policy.max_priority is None and policy.max_length_bytes is None
        base = _Level()
        self._levels: dict[int, _Level] = {0: base}
        #: The messages of priority 0: those never taken (all there are in most queues) and those that came back.
        self.ready = base.ready
        self._returned = base.returned
        self._bytes = 0
        #: Numbers what is taken; the broker's, so that a message of a deleted queue of this name is known by it.
        self._place = place or count(1).__next__
        self._born = self._place()
        #: Orders what comes back to the same place.
        self._returns = count().__next__
        #: How many messages the broker keeps until their time has come.
        self.delayed = 0
        #: A message with a time to live has been put here.
        self.expiring = False
        #: When the broker is to look for expired messages next (seconds since the epoch).
        self.planned: float | None = None
        #: When the broker is to look next whether the queue is in use, for ``x-expires``.
        self.idle_at: float | None = None
        #: When the queue was last declared, read or consumed from (seconds since the epoch), for ``x-expires``.
        self.touched = now
        #: Connections that sleep until a message comes.
        self.waiters: list[Any] = []

    def clear(self) -> None:
        """Remove the messages that are ready."""
        for level in self._levels.values():
            level.ready.clear()
            level.returned.clear()
        self._bytes = 0

    def __len__(self) -> int:
        levels = self._levels
        return sum(len(level.ready) + len(level.returned) for level in levels.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of the bodies that are ready; counted for queues that limit them."""
        return self._bytes

    def put(self, message: dict[str, Any]) -> None:
        """Append."""
        if self.policy.max_length_bytes is not None:
            self._bytes += body_size(message)
        if self.policy.max_priority is None:
            self.ready.append(message)
        else:
            self._level(message).ready.append(message)

    def gave(self, message: dict[str, Any]) -> bool:
        """Whether the message was taken from here, and not from a queue of this name that was deleted since."""
        return (message["properties"].get("delivery_tag") or 0) > self._born

    def give_back(self, message: dict[str, Any]) -> None:
        """Put a taken message where it was."""
        if self.policy.max_length_bytes is not None:
            self._bytes += body_size(message)
        place = message["properties"].get("delivery_tag") or 0
        heappush(self._level(message).returned, (place, self._returns(), message))

    def take(self) -> dict[str, Any]:
        """Remove and return the first message; :exc:`queue.Empty` when there is none.

        ``delivery_tag`` in its properties becomes its place in this queue.
        """
        for level in self._in_order():
            if level.returned:
                message = heappop(level.returned)[2]
            elif level.ready:
                message = level.ready.popleft()
                message["properties"]["delivery_tag"] = self._place()
            else:
                continue
            if self.policy.max_length_bytes is not None:
                self._bytes -= body_size(message)
            return message
        raise Empty

    def take_next(self) -> dict[str, Any]:
        """As :meth:`take`, for a ``plain`` queue."""
        if self._returned:
            return heappop(self._returned)[2]
        try:
            message = self.ready.popleft()
        except IndexError:
            raise Empty from None
        message["properties"]["delivery_tag"] = self._place()
        return message

    def first(self) -> dict[str, Any] | None:
        """The message :meth:`take` would return."""
        for level in self._in_order():
            if level.returned:
                return level.returned[0][2]
            if level.ready:
                return level.ready[0]
        return None

    def _in_order(self) -> Iterator[_Level]:
        levels = self._levels
        if len(levels) == 1:
            yield levels[0]
        else:
            for priority in sorted(levels, reverse=True):
                yield levels[priority]

    def _level(self, message: dict[str, Any]) -> _Level:
        priority = priority_of(message["properties"], self.policy)
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = _Level()
        return level
