"""What differs between the environments that we run in."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from io import UnsupportedOperation
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = (
    "coro",
    "detect_environment",
    "entrypoints",
    "fileno",
    "get_gevent_concurrent_error",
    "maybe_fileno",
    "nested",
    "register_after_fork",
)

FILENO_ERRORS = (AttributeError, ValueError, UnsupportedOperation)

_environment: str | None = None


def coro(gen: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a generator function so that its generators are already at their first ``yield``."""

    @wraps(gen)
    def started(*args: Any, **kwargs: Any) -> Any:
        it = gen(*args, **kwargs)
        next(it)
        return it

    return started


def _detect_environment() -> str:
    # Only a library that is loaded *and* has replaced the sockets counts: being installed is nothing.
    if "eventlet" in sys.modules:
        try:
            if import_module("eventlet.patcher").is_monkey_patched("socket"):
                return "eventlet"
        except ImportError:
            pass
    if "gevent" in sys.modules:
        import socket

        try:
            if socket.socket is import_module("gevent.socket").socket:
                return "gevent"
        except ImportError:
            pass
    return "default"


def detect_environment() -> str:
    """``default``, ``eventlet`` or ``gevent``: who does the waiting here. Found out once."""
    global _environment
    if _environment is None:
        _environment = _detect_environment()
    return _environment


def get_gevent_concurrent_error() -> type[BaseException] | None:
    """gevent's error for a socket that another greenlet waits on, or None outside gevent."""
    if detect_environment() != "gevent":
        return None
    try:
        error: type[BaseException] = import_module("gevent.exceptions").ConcurrentObjectUseError
    except ImportError:
        return None
    return error


def entrypoints(namespace: str) -> Iterator[tuple[Any, Any]]:
    """Pairs (entry point, loaded object) of every installed entry point in the group ``namespace``."""
    from kombu._plugins import entry_points

    return ((ep, ep.load()) for ep in entry_points(namespace))


def fileno(f: Any) -> int:
    """The file descriptor of ``f``: a number, or an object with ``fileno()``."""
    if isinstance(f, int):
        return f
    return int(f.fileno())


def maybe_fileno(f: Any) -> int | None:
    """The file descriptor of ``f``, or None when it has none (any more)."""
    try:
        return fileno(f)
    except FILENO_ERRORS:
        return None


@contextmanager
def nested(*managers: Any) -> Iterator[list[Any]]:
    """Enter all ``managers`` and yield the list of what they gave; they exit in the opposite order."""
    with ExitStack() as stack:
        yield [stack.enter_context(manager) for manager in managers]


_after_fork: WeakValueDictionary[tuple[int, Callable[[Any], Any]], Any] = WeakValueDictionary()
_after_fork_numbers = count()
_after_fork_hooked = False


def register_after_fork(obj: Any, func: Callable[[Any], Any]) -> None:
    """Call ``func(obj)`` in every process forked from this one, in the order of registration.

    ``obj`` is held weakly: what is gone is not called. So let ``func`` be a function that takes the object, and
    not a method of it. An error in ``func`` is logged, the others are called all the same.
    """
    global _after_fork_hooked
    if not _after_fork_hooked and hasattr(os, "register_at_fork"):
        _after_fork_hooked = True
        os.register_at_fork(after_in_child=_run_after_fork)
    _after_fork[next(_after_fork_numbers), func] = obj


def _run_after_fork() -> None:
    for (_, func), obj in sorted(_after_fork.items(), key=lambda item: item[0][0]):
        try:
            func(obj)
        except Exception:
            import logging

            logging.getLogger("kombu").exception("after fork: %r failed for %r", func, type(obj))
