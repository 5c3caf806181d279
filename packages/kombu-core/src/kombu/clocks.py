"""Logical time: an order of events that processes agree on without agreeing on the time of day."""

from __future__ import annotations

from itertools import islice
from threading import Lock as _Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("LamportClock", "timetuple")


class timetuple(tuple[Any, ...]):  # noqa: N801
    """An event's place in the order of all events: ``(clock, timestamp, id, obj)``.

    The clock decides; equal clocks are told apart by the id of their process, and events of one process by their
    time. An event without a clock (0 or None) is placed by its time.

    Arguments:
        clock: value of the sender's logical clock.
        timestamp: seconds since 1970.
        id: of the process, usually ``hostname:pid``.
        obj: whatever belongs to the event; it takes no part in the order.
    """

    __slots__ = ()

    def __new__(cls, clock: int | None, timestamp: float, id: str, obj: Any = None) -> timetuple:
        return tuple.__new__(cls, (clock, timestamp, id, obj))

    def __repr__(self) -> str:
        return f"<timetuple: clock={self[0]}, timestamp={self[1]}, id={self[2]} {self[3]!r}>"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __lt__(self, other: Any) -> bool:
        try:
            mine, theirs = self[0], other[0]
            if mine and theirs:
                if mine != theirs:
                    return bool(mine < theirs)
                if self[2] != other[2]:
                    return bool(self[2] < other[2])
            return bool(self[1] < other[1])
        except (IndexError, TypeError):
            return NotImplemented

    def __gt__(self, other: Any) -> bool:
        return timetuple.__lt__(other, self)

    def __le__(self, other: Any) -> bool:
        return not timetuple.__lt__(other, self)

    def __ge__(self, other: Any) -> bool:
        return not timetuple.__lt__(self, other)

    @property
    def clock(self) -> Any:
        """Value of the sender's logical clock."""
        return self[0]

    @property
    def timestamp(self) -> Any:
        """Seconds since 1970."""
        return self[1]

    @property
    def id(self) -> Any:
        """Id of the process."""
        return self[2]

    @property
    def obj(self) -> Any:
        """What belongs to the event."""
        return self[3]


class LamportClock:
    """Lamport's logical clock: a counter that only grows, and that every message carries.

    Call :meth:`forward` before sending, and :meth:`adjust` with the clock of what was received: whatever a
    process has seen is then older than whatever it sends.

    Arguments:
        initial_value: where to begin.
        Lock: makes the lock that guards the value.
    """

    #: The clock's current value.
    value: int = 0

    def __init__(self, initial_value: int = 0, Lock: Any = _Lock) -> None:
        self.value = initial_value
        self.mutex = Lock()

    def adjust(self, other: int) -> int:
        """Something with the clock ``other`` was received: move past it. Returns the new value."""
        with self.mutex:
            self.value = max(self.value, other) + 1
            return self.value

    def forward(self) -> int:
        """Count one event of our own. Returns the new value."""
        with self.mutex:
            self.value += 1
            return self.value

    def sort_heap(self, h: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """The first event of ``h``, sorted ``(clock, process id, ...)``; of those with its clock the lowest id.

        Raises:
            IndexError: there are no events.
        """
        first = h[0]
        same: list[tuple[Any, ...]] = [first]
        for event in islice(h, 1, None):
            if event[0] != first[0]:
                break
            same.append(event)
        return min(same, key=lambda event: event[1])

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"<LamportClock: {self.value}>"
