"""Functions about functions, lists and waiting."""

from __future__ import annotations

import random
from collections import OrderedDict, UserDict
from collections.abc import Iterable, Mapping
from functools import wraps
from itertools import count, repeat
from threading import RLock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from kombu.utils.deadline import remaining
from kombu.utils.encoding import safe_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = (
    "ChannelPromise",
    "LRUCache",
    "accepts_argument",
    "dictfilter",
    "fxrange",
    "fxrangemax",
    "is_list",
    "lazy",
    "maybe_evaluate",
    "maybe_list",
    "maybe_promise",
    "memoize",
    "promise",
    "reprcall",
    "reprkwargs",
    "retry_over_time",
    "shufflecycle",
)

KEYWORD_MARK = object()


class ChannelPromise:
    """A channel that is opened when it is first called for; calling it again gives the same one."""

    def __init__(self, contract: Callable[[], Any]) -> None:
        self.__contract__ = contract

    def __call__(self) -> Any:
        try:
            return self.__value__
        except AttributeError:
            value = self.__value__ = self.__contract__()
            return value

    def __repr__(self) -> str:
        try:
            return repr(self.__value__)
        except AttributeError:
            return f"<promise: 0x{id(self.__contract__):x}>"


class LRUCache(UserDict):  # type: ignore[type-arg]
    """A mapping of at most ``limit`` entries (None: any number) that drops the one unused for longest.

    Thread-safe. Iterating goes over a snapshot, oldest first.
    """

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
        def remembered(*args: Any, **kwargs: Any) -> Any:
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

        remembered: Any = remembered  # type: ignore[no-redef]
        remembered.hits = remembered.misses = 0
        remembered.clear = clear
        remembered.original_func = fun
        return remembered

    return decorate


class lazy:  # noqa: N801 - historic name
    """A value worked out anew whenever it is needed: ``fun(*args, **kwargs)``.

    Calling it, :meth:`evaluate`, ``str``, ``repr`` and comparing for equality evaluate it.
    """

    def __init__(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._fun = fun
        self._args = args
        self._kwargs = kwargs

    def __call__(self) -> Any:
        return self.evaluate()

    def evaluate(self) -> Any:
        """The value now."""
        return self._fun(*self._args, **self._kwargs)

    def __str__(self) -> str:
        return str(self())

    def __repr__(self) -> str:
        return repr(self())

    def __eq__(self, rhs: object) -> bool:
        return bool(self() == rhs)

    def __ne__(self, rhs: object) -> bool:
        return bool(self() != rhs)

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> lazy:
        memo[id(self)] = self
        return self

    def __reduce__(self) -> Any:
        return self.__class__, (self._fun, *self._args), {"_kwargs": self._kwargs}


def maybe_evaluate(value: Any) -> Any:
    """``value``, or what it evaluates to when it is :class:`lazy`."""
    return value.evaluate() if isinstance(value, lazy) else value


def is_list(obj: Any, scalars: Any = (Mapping, str), iters: Any = (Iterable,)) -> bool:
    """Is ``obj`` something to go through? Mappings and text are not."""
    return isinstance(obj, iters) and not isinstance(obj, scalars or ())


def maybe_list(obj: Any, scalars: Any = (Mapping, str)) -> Any:
    """``obj`` itself when it is a list of sorts or None, else ``[obj]``."""
    return obj if obj is None or is_list(obj, scalars) else [obj]


def dictfilter(d: Mapping[str, Any] | None = None, **kw: Any) -> dict[str, Any]:
    """A new dict of ``d`` and the keywords, without those that are None."""
    merged = kw if d is None else {**d, **kw}
    return {k: v for k, v in merged.items() if v is not None}


def shufflecycle(it: Any) -> Iterator[Any]:
    """Random items of ``it``, without end."""
    items = list(it)
    for _ in repeat(None):
        random.shuffle(items)
        yield items[0]


def fxrange(
    start: float = 1.0, stop: float | None = None, step: float = 1.0, repeatlast: bool = False
) -> Iterator[float]:
    """``start``, ``start + step`` ... up to and with ``stop``; ``repeatlast`` then repeats the last for ever."""
    cur = start * 1.0
    while 1:
        if stop is None or cur <= stop:
            yield cur
            cur += step
        elif repeatlast:
            yield cur - step
        else:
            break


def fxrangemax(
    start: float = 1.0, stop: float | None = None, step: float = 1.0, max: float = 100.0
) -> Iterator[float]:
    """As :func:`fxrange`, no value above ``stop``, until what has been given adds up to ``max``."""
    total, cur = 0.0, start * 1.0
    while total < max:
        yield cur
        cur = min(cur + step, stop) if stop else cur + step
        total += cur


def retry_over_time(
    fun: Callable[..., Any],
    catch: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    errback: Callable[..., Any] | None = None,
    max_retries: int | None = None,
    interval_start: float = 2,
    interval_step: float = 2,
    interval_max: float = 30,
    callback: Callable[[], Any] | None = None,
    timeout: float | None = None,
) -> Any:
    """``fun(*args, **kwargs)``, called again after a pause each time it raises one of ``catch``.

    Args:
        errback: called as ``errback(exc, intervals, retries)``; returns the seconds to wait, usually
            ``next(intervals)``.
        max_retries: calls after the first one; None for no limit.
        interval_start, interval_step, interval_max: the pauses, in seconds: the first, by how much each is
            longer than the one before, and the longest.
        callback: called before every pause and once a second during it; may raise to give up.
        timeout: seconds after which the last error is raised.

    A deadline in force (:mod:`kombu.utils.deadline`) bounds it too: DeadlineExceeded, with the last error as cause,
    is raised instead of a pause that would go beyond it. DeadlineExceeded from ``fun`` is never retried.
    """
    from kombu.exceptions import DeadlineExceeded

    args, kwargs = args or [], kwargs or {}
    intervals = _pauses(interval_start, interval_step, interval_max)
    end = monotonic() + timeout if timeout is not None else None
    for retries in count():
        try:
            return fun(*args, **kwargs)
        except DeadlineExceeded:
            raise
        except catch as exc:
            if max_retries is not None and retries >= max_retries:
                raise
            if end is not None and monotonic() >= end:
                raise
            if callback is not None:
                callback()
            pause = float(errback(exc, intervals, retries) if errback else next(intervals))
            if end is not None:
                pause = min(pause, max(0.0, end - monotonic()))
            _pause(pause, callback, exc)
    return None


def _pauses(start: float, step: float, longest: float) -> Iterator[float]:
    for pause in fxrange(start, None, step):
        yield min(pause, longest)


def _pause(seconds: float, callback: Callable[[], Any] | None, cause: BaseException) -> None:
    from kombu.exceptions import DeadlineExceeded

    try:
        left = remaining()
        if left is not None and seconds >= left:
            sleep(left)
            remaining()
    except DeadlineExceeded as exc:
        raise exc from cause
    until = monotonic() + seconds
    while seconds > 0:
        sleep(min(seconds, 1.0))
        seconds = until - monotonic()
        if callback is not None and seconds > 0:
            callback()


def reprkwargs(kwargs: Mapping[str, Any], sep: str = ", ", fmt: str = "{0}={1}") -> str:
    """``a=1, b='x'`` for a dict; never raises because of a bad ``__repr__``."""
    return sep.join(fmt.format(k, safe_repr(v)) for k, v in kwargs.items())


def reprcall(name: str, args: Any = (), kwargs: Mapping[str, Any] | None = None, sep: str = ", ") -> str:
    """``name(1, a=2)``: a call as one would write it."""
    parts = [safe_repr(arg) for arg in args or ()]
    if kwargs:
        parts.append(reprkwargs(kwargs, sep))
    return f"{name}({sep.join(parts)})"


def accepts_argument(func: Any, argument_name: str) -> bool:
    """Has ``func`` a parameter called ``argument_name``? (``**kwargs`` alone does not count.)

    Raises:
        TypeError: ``func`` cannot be called or does not show its parameters.
    """
    from inspect import Parameter, signature

    try:
        found = signature(func).parameters.get(argument_name)
    except ValueError as exc:
        raise TypeError(f"{func!r} does not show its parameters") from exc
    return found is not None and found.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)


# Historic names.
promise = lazy
maybe_promise = maybe_evaluate
