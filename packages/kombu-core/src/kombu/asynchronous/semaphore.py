"""Admission for an event loop: nothing blocks, what has to wait is called later."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("DummyLock", "LaxBoundedSemaphore")


class LaxBoundedSemaphore:
    """Lets ``value`` callbacks in at a time, and calls the others in turn as places get free.

    Lax: releasing more often than was acquired does no harm. Not thread-safe; it belongs to one event loop.
    """

    def __init__(self, value: int) -> None:
        #: How many may be in at a time, and how many more may come in now.
        self.initial_value = self.value = value
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = deque()

    def acquire(self, callback: Callable[..., Any], *partial_args: Any, **partial_kwargs: Any) -> bool:
        """Call ``callback`` with the other arguments now (True), or once a place is free (False)."""
        if self.value <= 0:
            self._waiting.append((callback, partial_args, partial_kwargs))
            return False
        self.value = max(self.value - 1, 0)
        callback(*partial_args, **partial_kwargs)
        return True

    def release(self) -> None:
        """Give a place back: to the one that has waited longest, if any waits."""
        if self._waiting:
            callback, args, kwargs = self._waiting.popleft()
            callback(*args, **kwargs)
        else:
            self.value = min(self.value + 1, self.initial_value)

    def grow(self, n: int = 1) -> None:
        """Make room for ``n`` more."""
        self.initial_value += n
        self.value += n
        while self._waiting and self.value > 0:
            self.value -= 1
            callback, args, kwargs = self._waiting.popleft()
            callback(*args, **kwargs)

    def shrink(self, n: int = 1) -> None:
        """Make room for ``n`` fewer; who is in may stay."""
        self.initial_value = max(self.initial_value - n, 0)
        self.value = max(self.value - n, 0)

    def clear(self) -> None:
        """Forget who waits, and who is in."""
        self._waiting.clear()
        self.value = self.initial_value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} value:{self.value} waiting:{len(self._waiting)}>"


class DummyLock:
    """Looks like a lock to ``with``, and locks nothing."""

    def __enter__(self) -> DummyLock:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None
