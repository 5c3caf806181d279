"""How often to try again, and how long to wait in between.

:class:`RetryPolicy` computes; :func:`pause` waits, never longer than the deadline in force leaves. The loops that
use them are :meth:`kombu.Connection.ensure_connection` and :meth:`kombu.Connection.ensure`.
"""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any

from kombu.utils.deadline import DEFAULT_PUBLISH_TIMEOUT, current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu.exceptions import DeadlineExceeded
    from kombu.utils.deadline import Deadline

__all__ = ("DEFAULT_PUBLISH_TIMEOUT", "RetryPolicy", "pause")

#: A channel error that comes back on one fresh channel after another is a refusal, not an accident: without
#: ``max_retries`` this many retries in a row are made.
CHANNEL_RETRIES = 10


class RetryPolicy:
    """What to do when an operation fails.

    Arguments:
        max_retries: attempts after the first one; None is no limit, 0 is none at all. (A negative number is
            none too, as it has always been: oslo.messaging hands on its -1.)
        interval_start: seconds before the first retry.
        interval_step: seconds added for each further one.
        interval_max: seconds that no pause exceeds; None is no limit.
        jitter: the part of each pause that is left to chance, 0 to 1; 0.5 waits between half and all of it. Keeps a
            fleet from coming back in step.
        timeout: seconds for the whole operation, all attempts and pauses included; None is no limit.
        errback: called as ``errback(exc, interval)`` before each pause.
        on_revive: called as ``on_revive(channel)`` when a new channel is there.
        retry_errors: exceptions of the operation itself that are worth another attempt.

    Raises:
        ValueError: a negative time, or a ``jitter`` outside 0 to 1.
    """

    __slots__ = (
        "errback",
        "interval_max",
        "interval_start",
        "interval_step",
        "jitter",
        "max_retries",
        "on_revive",
        "retry_errors",
        "timeout",
    )

    def __init__(
        self,
        max_retries: int | None = None,
        interval_start: float = 1,
        interval_step: float = 1,
        interval_max: float | None = 1,
        *,
        jitter: float = 0,
        timeout: float | None = None,
        errback: Callable[[BaseException, float], object] | None = None,
        on_revive: Callable[[Any], object] | None = None,
        retry_errors: tuple[type[BaseException], ...] | None = None,
    ) -> None:
        for name, value in (
            ("interval_start", interval_start),
            ("interval_step", interval_step),
            ("interval_max", interval_max),
            ("timeout", timeout),
        ):
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative: {value!r}")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter is a part of the pause, 0 to 1: {jitter!r}")
        self.max_retries = max_retries
        self.interval_start = interval_start or 0
        self.interval_step = interval_step or 0
        self.interval_max = float("inf") if interval_max is None else interval_max
        self.jitter = jitter
        self.timeout = timeout
        self.errback = errback
        self.on_revive = on_revive
        self.retry_errors = tuple(retry_errors or ())

    @classmethod
    def from_options(
        cls, options: Mapping[str, Any] | RetryPolicy | None = None, **defaults: Any
    ) -> RetryPolicy:
        """A policy from a ``retry_policy`` mapping over ``defaults``; the mapping itself is left alone.

        Raises:
            TypeError: the mapping has a key that is no option, for instance a misspelt one.
        """
        if isinstance(options, RetryPolicy):
            return options
        if options:
            unknown = [name for name in options if name not in cls.__slots__]
            if unknown:
                raise TypeError(_unknown_option(unknown[0], cls.__slots__))
            defaults = {**defaults, **options}
        return cls(**defaults)

    def keys(self) -> tuple[str, ...]:
        """The options' names: a policy is a mapping, and can be given as ``retry_policy`` or as ``**policy``."""
        return self.__slots__

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def gives_up(self, retries: int) -> bool:
        """Whether no further attempt follows after ``retries`` retries."""
        return self.max_retries is not None and retries >= self.max_retries

    def interval(self, retry: int, chance: Callable[[], float] | None = None) -> float:
        """Seconds to wait before retry number ``retry``, counted from 0.

        ``chance`` returns a number in [0, 1) and is asked only when there is ``jitter``.
        """
        seconds = self.interval_start + retry * self.interval_step
        if seconds > self.interval_max:
            seconds = self.interval_max
        if not self.jitter:
            return seconds
        if chance is None:
            from random import random

            chance = random
        return seconds * (1 - self.jitter * chance())

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}" for name in ("max_retries", "interval_start", "interval_step")
        )
        return (
            f"<RetryPolicy: {', '.join(shown)}, interval_max={self.interval_max!r}, timeout={self.timeout!r}>"
        )


def _unknown_option(name: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(str(name), known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is not a retry option{meant} (they are {', '.join(sorted(known))})"


def out_of_time(deadline: Deadline, doing: str, last: BaseException | None) -> DeadlineExceeded:
    """The error for a deadline that has passed, with the last failure met on the way as its cause."""
    error = deadline.exceeded(doing)
    error.__cause__ = last
    return error


def pause(
    seconds: float, *, doing: str, last: BaseException, callback: Callable[[], object] | None = None
) -> None:
    """Wait ``seconds`` before the next attempt, or as long as the deadline in force leaves.

    Arguments:
        doing: what is being attempted, for the error.
        last: the failure that makes another attempt necessary.
        callback: called at the start and then once a second; an exception of its own ends the wait.

    Raises:
        DeadlineExceeded: the time is over; ``last`` is its cause.
    """
    deadline = current()
    left = seconds
    if callback is not None and left <= 0:
        callback()
    while True:
        if deadline is not None and deadline.expired:
            raise out_of_time(deadline, doing, last)
        if left <= 0:
            return
        if callback is not None:
            callback()
        nap = min(left, 1.0) if callback is not None else left
        if deadline is not None:
            nap = min(nap, deadline.remaining())
        sleep(nap)
        left -= nap
