"""Remembering results, the last ones only."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from functools import wraps
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("LRUCache", "memoize")

KEYWORD_MARK = object()


class LRUCache(UserDict):  # type: ignore[type-arg]
    """A mapping of at most ``limit`` entries (None: any number) that drops the one unused for longest.

    Thread-safe. Iterating goes over a snapshot, oldest first.
    """

    __module__ = "kombu.utils.functional"  # where pickles look for it

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.mutex = RLock()
        self.data: OrderedDict[Any, Any] = OrderedDict()

    def __getitem__(self, key: Any) -> Any:
        with self.mutex:
            value = self.data[key]
            self.data.move_to_end(key)
            return value

    def __setitem__(self, key: Any, value: Any) -> None:
        with self.mutex:
            data = self.data
            data[key] = value
            data.move_to_end(key)
            if self.limit and len(data) > self.limit:
                data.popitem(last=False)

    def __delitem__(self, key: Any) -> None:
        with self.mutex:
            del self.data[key]

    def get(self, key: Any, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As ``dict.update``, then the oldest entries go until the limit is kept."""
        with self.mutex:
            data = self.data
            data.update(*args, **kwargs)
            if self.limit:
                while len(data) > self.limit:
                    data.popitem(last=False)

    def popitem(self, last: bool = True) -> tuple[Any, Any]:
        """Remove and return the newest pair, or the oldest with ``last=False``."""
        with self.mutex:
            return self.data.popitem(last)

    def incr(self, key: Any, delta: int = 1) -> int:
        """Add ``delta`` to the number under ``key`` and return the sum; kept as text, as memcached does."""
        with self.mutex:
            value = int(self.data[key]) + delta
            self[key] = str(value)
            return value

    def keys(self) -> Any:
        """The keys at this moment, oldest first."""
        with self.mutex:
            return list(self.data)

    def values(self) -> Any:
        """The values at this moment, oldest first."""
        with self.mutex:
            return list(self.data.values())

    def items(self) -> Any:
        """The pairs at this moment, oldest first."""
        with self.mutex:
            return list(self.data.items())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def iterkeys(self) -> Iterator[Any]:
        """Historic name of iterating over :meth:`keys`."""
        return iter(self.keys())

    def itervalues(self) -> Iterator[Any]:
        """Historic name of iterating over :meth:`values`."""
        return iter(self.values())

    def iteritems(self) -> Iterator[tuple[Any, Any]]:
        """Historic name of iterating over :meth:`items`."""
        return iter(self.items())

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["mutex"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.mutex = RLock()


def memoize(maxsize: int | None = None, keyfun: Any = None, Cache: Any = LRUCache) -> Any:
    """Decorate a function to remember its results, the last ``maxsize`` of them.

    ``keyfun(args, kwargs)`` makes the key from the call. The function gets ``hits``, ``misses``, ``clear()`` and
    ``original_func``.
    """

    def decorate(fun: Any) -> Any:
        mutex = RLock()
        cache = Cache(limit=maxsize)

        @wraps(fun)
        def call(*args: Any, **kwargs: Any) -> Any:
            if keyfun is not None:
                key = keyfun(args, kwargs)
            else:
                key = (*args, KEYWORD_MARK, *sorted(kwargs.items()))
            try:
                with mutex:
                    value = cache[key]
            except KeyError:
                value = fun(*args, **kwargs)
                remembered.misses += 1
                with mutex:
                    cache[key] = value
            else:
                remembered.hits += 1
            return value

        def clear() -> None:
            """Forget all results and counts."""
            cache.clear()
            remembered.hits = remembered.misses = 0

        remembered: Any = call
        remembered.hits = remembered.misses = 0
        remembered.clear = clear
        remembered.original_func = fun
        return remembered

    return decorate
