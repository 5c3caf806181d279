"""The threads of a pump: each takes the source that has waited longest, up to so many of them."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count
from math import inf
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kombu.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Crew", "Source")

T = TypeVar("T")

logger = get_logger(__name__)

#: Seconds until the next try after an error that nobody expected.
AFTER_A_MISTAKE = 1.0
#: Seconds without work after which a thread ends.
LINGER = 10.0


class Source(Generic[T]):
    """What is known of one source; changed under the pump's lock only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.wanted = 0
        self.items: deque[T] = deque()
        #: When the oldest of ``items`` came (monotonic clock).
        self.since = 0.0
        #: Errors in a row.
        self.failures = 0
        #: The crew has it: in line, resting or being fetched from.
        self.busy = False
        self.fetching = False
        #: Which of its rests it is in; None: none.
        self.rest: int | None = None
        self.stopping = False
        #: When it was told to stop (monotonic clock).
        self.stopped = 0.0


class Crew(Generic[T]):
    """Serves sources in line, with ``most`` threads at the most; its methods are called under the pump's lock.

    Arguments:
        serve: called in a thread, without the lock; returns the seconds that the source is to rest.
        lock: the pump's, an RLock.
    """

    def __init__(self, serve: Callable[[Source[T]], float], lock: Any, name: str, most: int) -> None:
        self._serve = serve
        self._lock = lock
        self._name = name
        self.most = most
        self.closed = False
        self._work = Condition(lock)
        self._line: deque[Source[T]] = deque()
        #: (end of the rest, its number, source); a number that is not the source's is of a rest that was ended.
        self._resting: list[tuple[float, int, Source[T]]] = []
        self._numbers = count()
        self._threads = 0
        #: Threads that wait for work, or have just been started.
        self._idle = 0
        #: Until when an idle thread sleeps, to look after those that rest.
        self._watched = inf

    def line_up(self, source: Source[T]) -> None:
        """It wants to be fetched from."""
        self._line.append(source)
        try:
            self._call()
        except RuntimeError:  # no more threads to be had; it is tried again when it is wanted again
            self._line.remove(source)
            raise
        source.busy = True

    def withdraw(self, source: Source[T]) -> None:
        """It is to stop: it leaves the line, its rest is over. What is being fetched from it goes on."""
        if source in self._line:
            self._line.remove(source)
        elif source.rest is None:
            return
        source.rest, source.busy = None, False

    def close(self) -> None:
        """Let the threads end."""
        self.closed = True
        self._work.notify_all()

    def _call(self, least: int = 0) -> None:
        """See to it that somebody comes for what is in line (and for ``least`` things at the least)."""
        if max(len(self._line), least) <= self._idle:
            self._work.notify()
        elif self._threads < self.most:
            Thread(target=self._run, name=self._name, daemon=True).start()
            self._threads += 1
            self._idle += 1

    # -- in the threads ------------------------------------------------------------------------------------

    def _run(self) -> None:
        with self._lock:
            self._idle -= 1
        while (source := self._next()) is not None:
            stopped = source.stopped
            try:
                pause = self._serve(source)
            except Exception:  # a mistake, which must not be the end of fetching
                logger.exception("Fetching from %r failed unexpectedly; it goes on", source.name)
                pause = AFTER_A_MISTAKE
            with self._lock:
                source.fetching = False
                # (stopped and wanted again meanwhile: then it does not rest for what was before)
                self._put_back(source, pause if source.stopped == stopped else 0.0)

    def _put_back(self, source: Source[T], pause: float) -> None:
        if not source.wanted or source.stopping or self.closed:
            source.busy = False
        elif pause > 0:
            source.rest = next(self._numbers)
            heappush(self._resting, (monotonic() + pause, source.rest, source))
        else:
            self._line.append(source)  # (this thread looks at the line next)

    def _next(self) -> Source[T] | None:
        """The source that is first in line, waited for; None when the thread is to end."""
        with self._lock:
            while not self.closed:
                self._end_rests(monotonic())
                source = self._first()
                if source is not None:
                    self._have_watched()
                    return source
                if not self._wait() and not self._line and not self._resting:
                    break
            self._threads -= 1
            return None

    def _first(self) -> Source[T] | None:
        while self._line:
            source = self._line.popleft()
            if source.wanted and not source.stopping:
                source.fetching = True
                return source
            source.busy = False
        return None

    def _end_rests(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, number, source = heappop(self._resting)
            if source.rest == number:
                source.rest = None
                self._line.append(source)

    def _wait(self) -> bool:
        """Sleep until there is work; one thread also wakes when the next rest is over. False: there was none."""
        until = self._resting[0][0] if self._resting else inf
        watching = until < self._watched
        if watching:
            self._watched = until
        self._idle += 1
        called = self._work.wait(max(0.0, until - monotonic()) if watching else LINGER)
        self._idle -= 1
        if watching and self._watched == until:
            self._watched = inf
        return called

    def _have_watched(self) -> None:
        """This thread goes to work: another has to take what is left in line, or to look after those that rest."""
        if self._line or (self._resting and self._watched == inf):
            try:
                self._call(least=1)
            except RuntimeError:  # no more threads to be had: this one comes back
                pass
