"""A pool of things that are costly to make: lent to one user at a time, by any thread, in any process.

The most recently returned one is lent first, so that a quiet pool keeps few of them busy.
"""

from __future__ import annotations

from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.exceptions import LimitExceeded
from kombu.utils.compat import register_after_fork
from kombu.utils.deadline import current

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ("Resource",)


class Resource:
    """A pool of at most ``limit`` resources.

    Subclasses say how to make one (:meth:`new`), make it fit for use (:meth:`prepare`) and get rid of it
    (:meth:`close_resource`). All methods may be called from any thread.

    Arguments:
        limit: how many may be lent at a time; None or 0 is no limit, and then nothing is kept after use.
        preload: how many to make at once instead of when needed.
        close_after_fork: a forked child starts with an empty pool. What the parent has lent stays the parent's;
            nothing is closed in its name.
    """

    #: Raised when no resource is to be had.
    LimitExceeded: type[LimitExceeded] = LimitExceeded
    close_after_fork = False

    def __init__(
        self, limit: int | None = None, preload: int | None = None, close_after_fork: bool | None = None
    ) -> None:
        self._limit = limit
        self.preload = preload or 0
        if close_after_fork is not None:
            self.close_after_fork = close_after_fork
        self._closed = False
        self._forget()
        if self.close_after_fork:
            register_after_fork(self, Resource._forget)
        self.setup()

    def _forget(self) -> None:
        """Start empty, with a lock that no thread of another process holds."""
        self._changed = Condition()
        self._idle: list[Any] = []
        self._dirty: set[Any] = set()
        self._in_making = 0

    # what subclasses fill in

    def setup(self) -> None:
        """Make the ``preload`` resources; called by the constructor and after a reset."""
        wanted = min(self.preload, self._limit or self.preload)
        while len(self._idle) < wanted:
            self._idle.append(self.new())

    def new(self) -> Any:
        """Make one resource."""
        raise NotImplementedError(f"{type(self).__name__} must define new()")

    def prepare(self, resource: Any) -> Any:
        """Make a resource fit for its next user; what is returned is what is lent."""
        return resource

    def close_resource(self, resource: Any) -> None:
        """Close one for good."""
        resource.close()

    def collect_resource(self, resource: Any) -> None:
        """Drop one whose peer may be gone already; the default closes it."""
        self.close_resource(resource)

    def release_resource(self, resource: Any) -> None:
        """Called with what comes back, before anybody else can have it."""

    # lending

    def acquire(self, block: bool = False, timeout: float | None = None) -> Any:
        """Lend a resource; give it back with its own ``release()``, with :meth:`release`, or by leaving ``with``.

        Arguments:
            block: wait for one when all are lent.
            timeout: seconds to wait at most; None waits for as long as it takes, or until the deadline in force.

        Raises:
            LimitExceeded: all are lent (and stayed so for ``timeout`` seconds); of the type ``self.LimitExceeded``.
            DeadlineExceeded: the deadline in force came first.
            RuntimeError: the pool is closed.
        """
        until = None if timeout is None else monotonic() + timeout
        resource = self._take(block, until)
        try:
            if resource is None:
                resource = self.new()
            lent = self._make_ready(resource, block, until)
        except BaseException:
            with self._changed:
                self._in_making -= 1
                self._changed.notify()
            if resource is not None:
                self._discard(resource)
            raise
        with self._changed:
            self._in_making -= 1
            self._dirty.add(lent)
        self._lend(lent)
        return lent

    def _take(self, block: bool, until: float | None) -> Any:
        """An idle resource, or None for leave to make one; either way a place is taken in ``_in_making``."""
        with self._changed:
            while True:
                if self._closed:
                    raise RuntimeError("Acquire on closed pool")
                if self._idle:
                    self._in_making += 1
                    return self._idle.pop()
                if not self._limit or len(self._dirty) + self._in_making < self._limit:
                    self._in_making += 1
                    return None
                if not block:
                    raise self.LimitExceeded(self._limit)
                self._wait(until)

    def _wait(self, until: float | None) -> None:
        deadline = current()
        seconds = None if until is None else until - monotonic()
        if seconds is not None and seconds <= 0:
            raise self.LimitExceeded(self._limit)
        if deadline is not None:
            if deadline.expired:
                raise deadline.exceeded("waiting for the pool") from self.LimitExceeded(self._limit)
            left = deadline.remaining()
            seconds = left if seconds is None else min(seconds, left)
        self._changed.wait(seconds)

    def _make_ready(self, resource: Any, block: bool, until: float | None) -> Any:
        return self.prepare(resource)

    def _lend(self, resource: Any) -> None:
        def release() -> None:
            """Give the resource back to its pool; do not use it afterwards."""
            self.release(resource)

        resource.release = release

    def release(self, resource: Any) -> None:
        """Take a resource back. One that is not lent (given back before, or of an earlier life) is left alone."""
        with self._changed:
            if resource not in self._dirty:
                return
        fit = False
        try:
            self.release_resource(resource)
            fit = True
        finally:
            with self._changed:
                ours = resource in self._dirty  # nobody has closed it or given it back in the meantime
                keep = ours and fit and bool(self._limit) and not self._closed and not self._surplus()
                self._dirty.discard(resource)
                if keep:
                    self._idle.append(resource)
                self._changed.notify()
        if ours and not keep:
            self._discard(resource)

    def _surplus(self) -> int:
        """How many more there are than the limit allows, after it was lowered."""
        there = len(self._dirty) + len(self._idle) + self._in_making
        return max(0, there - self._limit) if self._limit else 0

    def replace(self, resource: Any) -> None:
        """Take a broken resource back and close it; another is made when one is needed."""
        with self._changed:
            self._dirty.discard(resource)
            self._changed.notify()
        self._discard(resource)

    def _discard(self, resource: Any) -> None:
        self.close_resource(resource)

    # the whole pool

    def force_close_all(self, close_pool: bool = True) -> None:
        """Close everything, also what is lent at the moment.

        Arguments:
            close_pool: lend nothing any more (the default); otherwise the pool goes on with fresh resources.
        """
        with self._changed:
            self._closed = self._closed or close_pool
            doomed = [*self._dirty, *self._idle]
            self._dirty.clear()
            self._idle.clear()
            self._changed.notify_all()
        for resource in doomed:
            try:
                self.collect_resource(resource)
            except AttributeError:
                pass  # made only in part

    def resize(
        self, limit: int | None, force: bool = False, ignore_errors: bool = False, reset: bool = False
    ) -> None:
        """Change how many may be lent at a time.

        Arguments:
            force: shrink although some are lent; they are closed.
            ignore_errors: shrink although some are lent; they go on until they come back.
            reset: close everything first.

        Raises:
            RuntimeError: the pool would shrink while in use, and none of the above was given.
        """
        before = self._limit
        shrinks = bool(limit) and (not before or limit < before)  # type: ignore[operator]
        if shrinks and self._dirty and not ignore_errors:
            if not force:
                raise RuntimeError(f"Can't shrink pool when in use: was={before} now={limit}")
            reset = True
        self._limit = limit
        if reset:
            self.force_close_all(close_pool=False)
        self.setup()
        with self._changed:
            many = self._surplus()
            surplus = self._idle[:many]
            del self._idle[:many]
            self._changed.notify_all()
        for resource in surplus:
            self.collect_resource(resource)

    @property
    def limit(self) -> int | None:
        """How many may be lent at a time; setting it is :meth:`resize`."""
        return self._limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        self.resize(limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.force_close_all()
