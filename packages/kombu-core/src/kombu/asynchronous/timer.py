"""Calling functions at a time."""

from __future__ import annotations

import heapq
from collections import namedtuple
from datetime import datetime, timezone, tzinfo
from time import monotonic
from time import time as _time
from typing import TYPE_CHECKING, Any, cast
from weakref import proxy

from kombu.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("Entry", "Timer", "to_timestamp")

logger = get_logger(__name__)

#: Seconds that a loop sleeps at most.
DEFAULT_MAX_INTERVAL = 2.0

#: An entry's place in the queue: when, a number that breaks ties, the entry.
scheduled = namedtuple("scheduled", ("eta", "priority", "entry"))


def to_timestamp(d: Any, default_timezone: tzinfo = timezone.utc, time: Callable[[], float] = monotonic) -> Any:
    """The moment ``d`` on the clock ``time``, in seconds, not below 0; what is no datetime comes back as it is.

    A naive datetime is in ``default_timezone``.
    """
    if not isinstance(d, datetime):
        return d
    if d.tzinfo is None:
        d = d.replace(tzinfo=default_timezone)
    return max(d.timestamp() - _time() + time(), 0)


class Entry:
    """A call that can be cancelled. Calling the entry makes the call, unless it was."""

    __slots__ = ("__weakref__", "_last_run", "args", "canceled", "fun", "kwargs", "tref")

    def __init__(self, fun: Callable[..., Any], args: Any = None, kwargs: dict[str, Any] | None = None) -> None:
        self.fun = fun
        self.args = args or []
        self.kwargs = kwargs or {}
        #: The entry itself, weakly.
        self.tref = proxy(self)
        #: Set to call no more.
        self.canceled = False
        self._last_run: float | None = None

    def __call__(self) -> Any:
        if not self.canceled:
            return self.fun(*self.args, **self.kwargs)

    def cancel(self) -> None:
        """Call no more."""
        self.canceled = True

    @property
    def cancelled(self) -> bool:
        return self.canceled

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self.canceled = value

    def __lt__(self, other: object) -> bool:
        return id(self) < id(other)

    def __gt__(self, other: object) -> bool:
        return id(self) > id(other)

    def __le__(self, other: object) -> bool:
        return id(self) <= id(other)

    def __ge__(self, other: object) -> bool:
        return id(self) >= id(other)

    def __repr__(self) -> str:
        name = getattr(self.fun, "__name__", repr(self.fun))
        return f"<TimerEntry: {name}(*{self.args!r}, **{self.kwargs!r})>"


#: For annotations inside Timer, where the name ``Entry`` is an attribute.
_Entry = Entry


class Timer:
    """A queue of calls by time. Iterate over it to learn what is due; whoever drives it makes the calls.

    Arguments:
        max_interval: seconds that the driver should sleep at most.
        on_error: called with the exception of a call that fails in :meth:`apply_entry`; else it is logged.
    """

    Entry = Entry

    on_error: Callable[[BaseException], Any] | None = None

    def __init__(
        self,
        max_interval: float | None = None,
        on_error: Callable[[BaseException], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.max_interval = float(max_interval or DEFAULT_MAX_INTERVAL)
        self.on_error = on_error or self.on_error
        self._queue: list[scheduled] = []

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- entering

    def call_at(
        self, eta: Any, fun: Callable[..., Any], args: Any = (), kwargs: Any = None, priority: int = 0
    ) -> _Entry:
        """Call at ``eta``: a datetime, seconds on the monotonic clock, or None for now."""
        return self.enter_at(self.Entry(fun, args, kwargs), eta, priority)

    def call_after(
        self, secs: float, fun: Callable[..., Any], args: Any = (), kwargs: Any = None, priority: int = 0
    ) -> _Entry:
        """Call in ``secs`` seconds."""
        return self.enter_after(secs, self.Entry(fun, args, kwargs), priority)

    def call_repeatedly(
        self, secs: float, fun: Callable[..., Any], args: Any = (), kwargs: Any = None, priority: int = 0
    ) -> _Entry:
        """Call in ``secs`` seconds, and again and again with ``secs`` between the starts, failures included."""
        entry = self.Entry(fun, args, kwargs)

        def again(*args: Any, **kwargs: Any) -> Any:
            started = monotonic()
            entry._last_run = started
            try:
                return fun(*args, **kwargs)
            finally:
                if not entry.canceled:
                    # A call that took longer than the interval is followed by the next at once, not by a burst.
                    self.enter_at(entry, max(started + secs, monotonic()), priority)

        again.__name__ = getattr(fun, "__name__", repr(fun))
        entry.fun = again
        return self.enter_after(secs, entry, priority)

    def enter_at(
        self, entry: _Entry, eta: Any = None, priority: int = 0, time: Callable[[], float] = monotonic
    ) -> _Entry:
        """Queue an entry for ``eta`` (see :meth:`call_at`) on the clock ``time``; it is returned.

        Raises:
            TypeError: ``eta`` is no time.
        """
        when = time() if eta is None else to_timestamp(eta, time=time)
        if not isinstance(when, (int, float)):
            raise TypeError(f"eta must be a datetime or seconds on the monotonic clock, not {eta!r}")
        return self._enter(when, priority, entry)

    def _enter(self, eta: float, priority: int, entry: _Entry, **kwargs: Any) -> _Entry:
        """Queue an entry, and return what cancels it. Celery's timers for gevent and eventlet have their own."""
        heapq.heappush(self._queue, scheduled(eta, priority, entry))
        return entry

    def enter_after(
        self, secs: float, entry: _Entry, priority: int = 0, time: Callable[[], float] = monotonic
    ) -> _Entry:
        """Queue an entry for ``secs`` seconds from now; it is returned."""
        return self.enter_at(entry, time() + float(secs), priority, time)

    # -- running

    def __iter__(
        self, min: Callable[..., float] = min, nowfun: Callable[[], float] = monotonic
    ) -> Iterator[tuple[float | None, _Entry | None]]:
        """Yield without end: ``(None, entry)``, an entry that is due and out of the queue now; or
        ``(seconds, None)``, none is due for so long, at most ``max_interval``; or ``(None, None)``: none at all.
        """
        while True:
            queue = self._queue
            while queue and queue[0].entry.canceled:
                heapq.heappop(queue)
            if not queue:
                yield None, None
                continue
            missing = queue[0].eta - nowfun()
            if missing > 0:
                yield min(missing, self.max_interval), None
            else:
                yield None, cast(_Entry, heapq.heappop(queue).entry)

    def apply_entry(self, entry: _Entry) -> None:
        """Make the call; an error goes to ``on_error``, or to the log."""
        try:
            entry()
        except Exception as exc:
            if not self.handle_error(exc):
                logger.error("Error in timer: %r", exc, exc_info=True)

    def handle_error(self, exc_info: Any) -> bool | None:
        """Give an exception to ``on_error``; True when there is one."""
        if self.on_error is None:
            return None
        self.on_error(exc_info)
        return True

    def cancel(self, tref: _Entry) -> None:
        """Call that entry no more."""
        tref.cancel()

    def clear(self) -> None:
        """Forget every entry."""
        self._queue.clear()

    def stop(self) -> None:
        """Nothing to do here; a timer with a thread of its own ends it."""

    def __len__(self) -> int:
        return len(self._queue)

    def __bool__(self) -> bool:
        return True

    @property
    def queue(self) -> list[scheduled]:
        """A copy of the queue, in order of time."""
        return sorted(self._queue)

    @property
    def schedule(self) -> Timer:
        """The timer itself."""
        return self
