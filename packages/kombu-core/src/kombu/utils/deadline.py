"""One deadline for everything a call does.

A caller's ``timeout`` opens a scope; whatever blocks inside it (connect, declare, publish, confirm, a pause
between retries, a pool) asks :func:`remaining` how long it may. Scopes nest and only ever shorten the time.
The deadline belongs to the running context (``contextvars``): threads and greenlets do not see each other's.
"""

from __future__ import annotations

from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING

from kombu.exceptions import DeadlineExceeded

if TYPE_CHECKING:
    from contextvars import Token

__all__ = ("DEFAULT_PUBLISH_TIMEOUT", "Deadline", "current", "deadline_scope", "grace_scope", "remaining")

#: Seconds that ``Producer.publish(retry=True)`` may take in all when it is given neither ``timeout`` nor
#: ``max_retries``.
DEFAULT_PUBLISH_TIMEOUT = 60.0


class Deadline:
    """A moment on the monotonic clock, made from the ``timeout`` in seconds that a caller gave."""

    __slots__ = ("at", "timeout")

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.at = monotonic() + timeout

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - monotonic())

    @property
    def expired(self) -> bool:
        return monotonic() >= self.at

    def exceeded(self, doing: str = "the operation") -> DeadlineExceeded:
        """The error to raise when the time is over; ``doing`` says what was not finished."""
        return DeadlineExceeded(f"{doing} did not finish within {self.timeout:g} s")


_current: ContextVar[Deadline | None] = ContextVar("kombu_deadline", default=None)


def current() -> Deadline | None:
    """The deadline in force, if any."""
    return _current.get()


def remaining(default: float | None = None) -> float | None:
    """Seconds that a blocking step may take: ``default`` (None: no limit), or less when a deadline is nearer.

    Raises:
        DeadlineExceeded: the deadline in force has passed.
    """
    deadline = _current.get()
    if deadline is None:
        return default
    left = deadline.at - monotonic()
    if left <= 0:
        raise deadline.exceeded()
    return left if default is None else min(default, left)


class deadline_scope:  # noqa: N801 - reads as a statement: with deadline_scope(5): ...
    """``with deadline_scope(timeout) as deadline``: no step inside may go beyond ``timeout`` seconds from now.

    ``None`` (or infinity) opens no scope of its own and yields the deadline already in force, if any.
    """

    __slots__ = ("_timeout", "_token")

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> Deadline | None:
        outer = _current.get()
        if self._timeout is None or self._timeout == float("inf"):
            return outer
        mine = Deadline(self._timeout)
        if outer is not None and outer.at <= mine.at:
            return outer
        self._token = _current.set(mine)
        return mine

    def __exit__(self, *exc_info: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None


class grace_scope:  # noqa: N801
    """``with grace_scope(seconds)``: tidying up may take ``seconds``, whatever the deadline in force says.

    Only for closing what is open: without it, a deadline that has passed would leave sockets behind.
    """

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> Deadline:
        mine = Deadline(self._seconds)
        self._token = _current.set(mine)
        return mine

    def __exit__(self, *exc_info: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None
