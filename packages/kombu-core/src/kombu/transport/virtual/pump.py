"""A blocking fetch made into a readable descriptor: for backends that are asked and answer in their own time.

Each source (a queue, as a rule) has a thread, which fetches only while something is wanted from it. What it brought
waits here; the descriptor is readable when something came, so a plain loop, kombu's event loop and asyncio can all
wait for it.
"""

from __future__ import annotations

import socket
from collections import deque
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kombu.log import get_logger
from kombu.utils.eventio import READ, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu.utils.eventio import Poller

__all__ = ("Pump",)

logger = get_logger(__name__)

T = TypeVar("T")


class _Source(Generic[T]):
    """What is known of one source; changed under the pump's lock only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.wanted = 0
        self.items: deque[T] = deque()
        #: When the oldest of ``items`` came (monotonic clock).
        self.since = 0.0
        self.fetching = False
        self.stopping = False
        #: When it was told to stop (monotonic clock).
        self.stopped = 0.0
        self.thread: Thread | None = None


class Pump(Generic[T]):
    """Fetches from several sources, a thread each.

    Arguments:
        fetch: ``fetch(source, limit)`` returns up to ``limit`` items, or none; it may block, for a bounded time.
        give_back: ``give_back(source, items)`` gets what was fetched and will not be taken.
        pause: ``pause(source, failures, error)`` says how many seconds to wait after nothing was fetched, or
            after ``failures`` errors in a row.
    """

    def __init__(
        self,
        fetch: Callable[[str, int], list[T]],
        give_back: Callable[[str, list[T]], Any],
        pause: Callable[[str, int, Exception | None], float],
        name: str = "kombu-pump",
    ) -> None:
        self._fetch = fetch
        self._give_back = give_back
        self._pause = pause
        self._name = name
        self._changed = Condition()
        self._sources: dict[str, _Source[T]] = {}
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._poller: Poller | None = None
        self._signalled = False
        self._closed = False

    # -- the descriptor ------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor, readable from :meth:`notify` until :meth:`clear`."""
        with self._changed:
            return self._open()[0].fileno()

    def _open(self) -> tuple[socket.socket, socket.socket]:
        if self._closed:
            raise ValueError("the pump is closed: nothing comes from it any more")
        if self._pair is None:
            self._pair = socket.socketpair()
            for end in self._pair:
                end.setblocking(False)
            self._poller = poll()
            self._poller.register(self._pair[0].fileno(), READ)
            if self._signalled:
                self._pair[1].send(b"\0")
        return self._pair

    def notify(self) -> None:
        """Make the descriptor readable; from any thread."""
        with self._changed:
            if not self._signalled and not self._closed:
                self._signalled = True
                if self._pair is not None:
                    self._pair[1].send(b"\0")

    def clear(self) -> None:
        """The descriptor is no longer readable. Look at what there is to take afterwards, not before."""
        with self._changed:
            if self._signalled:
                self._signalled = False
                if self._pair is not None:
                    self._pair[0].recv(16)

    def wait(self, timeout: float | None) -> bool:
        """Wait until the descriptor is readable, and clear it; False after ``timeout`` seconds (None: no limit).

        Raises:
            ValueError: the pump is closed.
        """
        if self._poller is None:
            with self._changed:
                self._open()
        ready = self._poller is not None and bool(self._poller.poll(timeout))
        if ready:
            self.clear()
        return ready

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
        if self._closed:
            return
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source(name)
        source.wanted = limit
        source.stopping = False
        if source.thread is None:
            source.thread = Thread(target=self._run, args=(source,), name=f"{self._name}-{name}", daemon=True)
            source.thread.start()
        elif not source.fetching:
            self._changed.notify_all()

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
            items, source.items = list(source.items), deque()
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
            if not self._closed:
                self._closed = True
                self._changed.notify_all()
                self._let_go()
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
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        if self._poller is not None:
            self._poller.close()
        for end in self._pair or ():
            end.close()
        self._poller = self._pair = None

    # -- the threads ---------------------------------------------------------------------------------------

    def _run(self, source: _Source[T]) -> None:
        failures = 0
        while self._await_demand(source):
            error: Exception | None = None
            items: list[T] = []
            try:
                items = self._fetch(source.name, source.wanted or 1)
                failures = 0
            except Exception as exc:
                error = exc
                failures += 1
            if self._arrived(source, items):
                self._return_late(source, items)
            elif items:
                self.notify()
            else:
                self._rest(source, self._pause(source.name, failures, error))

    def _await_demand(self, source: _Source[T]) -> bool:
        """Wait until something is wanted; False when the thread is to end."""
        with self._changed:
            while not source.wanted:
                if source.stopping or self._closed:
                    source.thread = None
                    if not source.items and self._sources.get(source.name) is source:
                        del self._sources[source.name]
                    return False
                self._changed.wait()
            source.fetching = True
            return True

    def _arrived(self, source: _Source[T], items: list[T]) -> bool:
        """Keep what was fetched; True when it came too late, so that the thread has to give it back."""
        with self._changed:
            late = source.stopping or self._closed
            if late and items:
                return True
            source.fetching = False
            if items:
                if not source.items:
                    source.since = monotonic()
                source.items.extend(items)
                source.wanted = 0
            if late:
                self._changed.notify_all()
            return False

    def _return_late(self, source: _Source[T], items: list[T]) -> None:
        try:
            self._give_back(source.name, items)
        except Exception as exc:
            logger.warning("%d messages of %r could not be given back: %s", len(items), source.name, exc)
        finally:
            with self._changed:
                source.fetching = False
                self._changed.notify_all()

    def _rest(self, source: _Source[T], seconds: float) -> None:
        """Pause, unless the source is stopped meanwhile."""
        deadline = monotonic() + seconds
        with self._changed:
            while source.wanted and not source.stopping and not self._closed:
                left = deadline - monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def __repr__(self) -> str:
        with self._changed:
            busy = [name for name, source in self._sources.items() if source.fetching]
        return f"<Pump {self._name}: fetching from {busy}>"
