"""What an event loop is waiting for, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.utils.eventio import ERR, READ, WRITE
from kombu.utils.functional import reprcall

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("callback_for", "repr_active", "repr_events", "repr_flag", "repr_readers", "repr_writers")


def repr_flag(flag: int) -> str:
    """``R``, ``W`` and ``!`` (error) for what is set."""
    return "".join(sign for bit, sign in ((READ, "R"), (WRITE, "W"), (ERR, "!")) if flag & bit)


def _call(registered: Any) -> str:
    if registered is None:
        return "-"
    if not isinstance(registered, tuple):
        return str(registered)
    callback, args = registered
    return reprcall(getattr(callback, "__name__", repr(callback)), args)


def _each(registered: dict[int, Any], flag: int) -> list[str]:
    return [f"({fd}){_call(call)}->{repr_flag(flag)}" for fd, call in registered.items()]


def repr_readers(h: Any) -> list[str]:
    """One text for each descriptor that is waited for to read."""
    return _each(h.readers, READ | ERR)


def repr_writers(h: Any) -> list[str]:
    """One text for each descriptor that is waited for to write."""
    return _each(h.writers, WRITE)


def repr_active(h: Any) -> str:
    """Everything that is waited for."""
    return ", ".join(repr_readers(h) + repr_writers(h))


def repr_events(h: Any, events: Iterable[tuple[int, int]] | None) -> str:
    """The events that a poll gave, each with the callback it is for, or ``(GONE)``."""
    return ", ".join(
        f"{_call(callback_for(h, fd, flag, '(GONE)'))}({fd})->{repr_flag(flag)}" for fd, flag in events or ()
    )


def callback_for(h: Any, fd: int, flag: int, *default: Any) -> Any:
    """The ``(callback, args)`` that the hub would call for ``flag`` on ``fd``; ``default`` when there is none.

    Raises:
        KeyError: there is none, and no default.
    """
    if flag & READ and fd in h.readers:
        return h.readers[fd]
    if flag & WRITE and fd in h.writers:
        return h.writers[fd]
    if flag & ERR:
        for registered in (h.readers, h.writers):
            if fd in registered:
                return registered[fd]
    if default:
        return default[0]
    raise KeyError(fd)
