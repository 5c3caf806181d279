"""A blocking fetch made into a readable descriptor: for backends that are asked and answer in their own time.

Each source (a queue, as a rule) is fetched from only while something is wanted from it, by a few threads that are
shared. What came waits here; the descriptor is readable when something did, so a plain loop, kombu's event loop and
asyncio can all wait for it.
"""

from __future__ import annotations

from threading import Condition, RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kombu.log import get_logger

from .crew import Crew, Source
from .doorbell import Doorbell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("Pump",)

logger = get_logger(__name__)

T = TypeVar("T")


class Pump(Generic[T]):
    """Fetches from several sources at once.

    Arguments:
        fetch: ``fetch(source, limit)`` returns up to ``limit`` items, or none; it may block, for a bounded time.
        give_back: ``give_back(source, items)`` gets what was fetched and will not be taken.
        pause: ``pause(source, failures, error)`` says how many seconds to wait after nothing was fetched, or
            after ``failures`` errors in a row.
        most: threads at the most. As long as there are no more sources than that each is fetched from all the
            time; beyond it they take turns.
    """

    def __init__(
        self,
        fetch: Callable[[str, int], list[T]],
        give_back: Callable[[str, list[T]], Any],
        pause: Callable[[str, int, Exception | None], float],
        name: str = "kombu-pump",
        most: int = 50,
    ) -> None:
        self._fetch = fetch
        self._give_back = give_back
        self._pause = pause
        self._name = name
        lock = RLock()  # (a signal's handler may stop what it has interrupted)
        self._changed = Condition(lock)
        self._crew: Crew[T] = Crew(self._serve, lock, name, most)
        self._sources: dict[str, Source[T]] = {}
        self._bell = Doorbell()

    # -- the descriptor ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor, readable from :meth:`notify` until :meth:`clear`."""
        return self._bell.fileno()

    def notify(self) -> None:
        """Make the descriptor readable; from any thread."""
        self._bell.ring()

    def clear(self) -> None:
        """The descriptor is no longer readable. Look at what there is to take afterwards, not before."""
        self._bell.clear()

    def wait(self, timeout: float | None) -> bool:
        """Wait until the descriptor is readable, and clear it; False after ``timeout`` seconds (None: no limit).

        Raises:
            ValueError: the pump is closed, or was while waiting.
        """
        return self._bell.wait(timeout)

    # -- taking --------------------------------------------------------------------------------------------

    def take(self, name: str, limit: int, ahead: int = 0) -> T | None:
        """The next item of the source; when there is none, up to ``limit`` are fetched (and None returned).

        With the last one, up to ``ahead`` are fetched already.
        """
        with self._changed:
            source = self._sources.get(name)
            if source is not None and source.items:
                item = source.items.popleft()
                if ahead and not source.items:
                    self._want(name, ahead)
                return item
            self._want(name, limit)
        return None

    def prime(self, name: str, limit: int) -> bool:
        """Whether there is an item to take; if not, up to ``limit`` are fetched."""
        with self._changed:
            source = self._sources.get(name)
            if source is not None and source.items:
                return True
            self._want(name, limit)
        return False

    def _want(self, name: str, limit: int) -> None:
        if self._crew.closed:
            return
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = Source(name)
        source.wanted = limit
        source.stopping = False
        if not source.busy:
            self._crew.line_up(source)

    def __len__(self) -> int:
        """How many sources there are, at the moment."""
        return len(self._sources)

    def waiting(self) -> dict[str, float]:
        """The sources with items that nobody took, and when the oldest came (monotonic clock)."""
        with self._changed:
            return {name: source.since for name, source in self._sources.items() if source.items}

    def reclaim(self, name: str) -> None:
        """Give back what came from the source and was not taken; nothing more is fetched until wanted."""
        with self._changed:
            source = self._sources.get(name)
            if source is None:
                return
            source.wanted = 0
            items = list(source.items)
            source.items.clear()
            if source.stopping and not source.busy:
                del self._sources[name]
        if items:
            self._give_back(name, items)

    # -- stopping ------------------------------------------------------------------------------------------

    def begin_stop(self, names: Iterable[str] | None = None) -> None:
        """Fetch no more from these sources (None: from all), without waiting for what is being fetched."""
        with self._changed:
            for name in list(self._sources) if names is None else names:
                source = self._sources.get(name)
                if source is not None:
                    source.wanted = 0
                    self._crew.withdraw(source)
                    if not source.stopping:
                        source.stopping, source.stopped = True, monotonic()
            self._changed.notify_all()

    def stop(self, name: str, timeout: float) -> bool:
        """Stop fetching from the source and give back what was not taken.

        Returns: whether the fetch in flight ended within ``timeout`` seconds since it was first told to stop. If it did
        not, what it brings is given back by its thread.
        """
        self.begin_stop([name])
        with self._changed:
            source = self._sources.get(name)
            while source is not None and source.fetching and source.stopping:
                left = source.stopped + timeout - monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            drained = source is None or not source.fetching
        self.reclaim(name)
        return drained

    def close(self, timeout: float) -> bool:
        """Stop all sources, within ``timeout`` seconds; whether nothing is being fetched any more."""
        self.begin_stop()
        drained = [self.stop(name, timeout) for name in list(self._sources)]
        with self._changed:
            self._crew.close()
        self._bell.close()
        return all(drained)

    def drain(self, timeout: float) -> bool:
        """After :meth:`close`: wait for what is still being fetched, and for its being given back."""
        deadline = monotonic() + timeout
        with self._changed:
            while any(source.fetching for source in self._sources.values()):
                left = deadline - monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def abandon(self) -> None:
        """In a forked child, where the threads are not: let go of the descriptors only."""
        self._crew.closed = True
        self._bell.abandon()

    # -- in the threads ------------------------------------------------------------------------------------

    def _serve(self, source: Source[T]) -> float:
        """Fetch once; seconds until the source may be fetched from again."""
        error: Exception | None = None
        items: list[T] = []
        try:
            items = self._fetch(source.name, source.wanted or 1)
            source.failures = 0
        except Exception as exc:
            error = exc
            source.failures += 1
        if self._arrived(source, items):
            self._return_late(source, items)
        elif items:
            self.notify()
        elif not source.stopping:
            return self._pause(source.name, source.failures, error)
        return 0.0

    def _arrived(self, source: Source[T], items: list[T]) -> bool:
        """Keep what was fetched; True when it came too late, so that the thread has to give it back."""
        with self._changed:
            late = source.stopping or self._crew.closed
            if late and items:
                return True
            source.fetching = False
            if items:
                if not source.items:
                    source.since = monotonic()
                source.items.extend(items)
                source.wanted = 0
            if late:
                self._done(source)
            return False

    def _return_late(self, source: Source[T], items: list[T]) -> None:
        try:
            self._give_back(source.name, items)
        except Exception as exc:
            logger.warning("%d messages of %r could not be given back: %s", len(items), source.name, exc)
        finally:
            with self._changed:
                source.fetching = False
                self._done(source)

    def _done(self, source: Source[T]) -> None:
        """Nothing is being fetched from a source that is stopped: forget it, and tell who waits for that."""
        if source.stopping and not source.items and self._sources.get(source.name) is source:
            del self._sources[source.name]
        self._changed.notify_all()

    def __repr__(self) -> str:
        with self._changed:
            busy = [name for name, source in self._sources.items() if source.fetching]
        return f"<Pump {self._name}: fetching from {busy}>"
