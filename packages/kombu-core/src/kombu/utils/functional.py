"""Functions about functions, lists and waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import remaining
from kombu.utils.encoding import safe_repr
from kombu.utils.lru import KEYWORD_MARK, LRUCache, memoize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = (
    "KEYWORD_MARK",
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


class ChannelPromise:
    """A channel that is opened when it is first called for; calling it again gives the same one."""

    __value__: Any

    def __init__(self, contract: Callable[[], Any]) -> None:
        self.__contract__ = contract

    def __call__(self) -> Any:
        try:
            return self.__value__
        except AttributeError:
            pass
        # Outside the handler: an AttributeError of the contract's own is nobody else's.
        value = self.__value__ = self.__contract__()
        return value

    def __repr__(self) -> str:
        try:
            return repr(self.__value__)
        except AttributeError:
            return f"<promise: 0x{id(self.__contract__):x}>"


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
    from random import choice

    items = list(it)
    while True:
        yield choice(items)


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

    A deadline in force (:mod:`kombu.utils.deadline`) bounds it too: a pause ends there with DeadlineExceeded, whose
    cause is the last error. DeadlineExceeded from ``fun`` is never retried.
    """
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
    """Sleep, at most a second at a time so that ``callback`` is called, and not beyond the deadline in force."""
    while seconds > 0:
        try:
            left = remaining(1.0)
        except DeadlineExceeded as exc:
            raise exc from cause
        nap = min(seconds, 1.0 if left is None else left)
        sleep(nap)
        seconds -= nap
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
