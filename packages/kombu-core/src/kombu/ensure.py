"""The two loops that keep trying: one until there is a connection, one until an operation is done.

Both are driven by a :class:`~kombu.retry.RetryPolicy` and end when the deadline in force does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import DeadlineExceeded, OperationalError
from kombu.retry import CHANNEL_RETRIES, RetryPolicy, out_of_time, pause
from kombu.utils.deadline import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.connection import Connection
    from kombu.link import Link

__all__ = ("Revival", "as_library_error", "connect", "is_open", "keep_trying")


def as_library_error(exc: BaseException) -> OperationalError:
    """The driver's exception as ours, with the driver's as its cause."""
    error = OperationalError(str(exc) or repr(exc))
    error.__cause__ = exc
    return error


def is_open(channel: Any) -> bool:
    """Whether the channel can still be used; True when it doesn't say."""
    said = getattr(channel, "is_open", None)
    if isinstance(said, bool):
        return said
    closed = getattr(channel, "closed", None)
    return not closed if isinstance(closed, bool) else True


def connect(connection: Link, policy: RetryPolicy, callback: Callable[[], object] | None = None) -> None:
    """Connect to one of the brokers, pausing whenever all of them have been tried in vain.

    Raises:
        DeadlineExceeded: the time is over; the last failure is its cause.
        Exception: the driver's own, when it is not a recoverable one or ``policy.max_retries`` is used up.
    """
    retries = rounds = 0
    last: BaseException | None = None
    while True:
        try:
            connection._attempt(retries)
            return
        except DeadlineExceeded as exc:
            if exc.__cause__ is None:
                exc.__cause__ = last
            raise
        except Exception as exc:
            _raise_if_out_of_time("connecting", exc)
            if policy.gives_up(retries) or not isinstance(exc, connection._worth_connecting_again()):
                raise
            last = exc
        seconds = 0.0
        if connection.completes_cycle(retries):
            seconds = policy.interval(rounds)
            rounds += 1
        _tell(connection, policy, last, seconds)
        connection.maybe_switch_next()
        pause(seconds, doing="connecting", last=last, callback=callback)
        retries += 1


def _raise_if_out_of_time(doing: str, error: BaseException) -> None:
    """A driver's failure at the end of the time is how the deadline shows; its own is passed on as it is."""
    deadline = current()
    if deadline is not None and deadline.expired and not isinstance(error, DeadlineExceeded):
        raise out_of_time(deadline, doing, error)


def _tell(connection: Link, policy: RetryPolicy, error: BaseException, seconds: float) -> None:
    """Let the caller know of a failure, or at least the log."""
    if policy.errback is not None:
        policy.errback(error, seconds)
        return
    from logging import getLogger

    getLogger("kombu.connection").warning("%s: %r, trying again in %g s", connection.as_uri(), error, seconds)


def keep_trying(
    connection: Connection,
    obj: Any,
    call: Callable[[], Any],
    policy: RetryPolicy,
    error: Exception | None = None,
) -> Any:
    """Call ``call()`` until it succeeds, mending the connection or the channel in between.

    Arguments:
        obj: what is revived: ``obj.revive(channel)`` is called with each new channel.
        error: what a first attempt, made by the caller, has raised.

    Raises:
        OperationalError: ``policy.max_retries`` is used up; the last failure is its cause.
        DeadlineExceeded: the time is over; the last failure is its cause.
        Exception: what ``call()`` raised, when trying again would not help, or has not for ``retry_errors``.
    """
    failures = channel_failures = 0
    last: Exception | None = error
    try:
        while True:
            if error is None:
                try:
                    if connection._connection is None:
                        _connect_first(connection, obj, policy)
                    return call()
                except DeadlineExceeded as exc:
                    if exc.__cause__ is None:
                        exc.__cause__ = last
                    raise
                except Exception as exc:
                    error = last = exc
            mend = _mend_for(connection, policy, error)
            if isinstance(error, TimeoutError):
                _raise_if_out_of_time("the operation", error)
            if mend is None:
                raise error
            channel_failures = channel_failures + 1 if mend is _new_channel else 0
            if policy.gives_up(failures) or (
                policy.max_retries is None and channel_failures > CHANNEL_RETRIES
            ):
                raise error if mend is _nothing else as_library_error(error)
            if mend is _new_connection:
                connection.collect()
            seconds = policy.interval(failures - 1) if failures else 0.0
            if mend is not _nothing:
                _tell(connection, policy, error, seconds)
            pause(seconds, doing="the operation", last=error)
            failures += 1
            try:
                mend(connection, obj, policy, failures)
                error = None
            except DeadlineExceeded as exc:
                if exc.__cause__ is None:
                    exc.__cause__ = last
                raise
            except OperationalError:
                raise
            except Exception as exc:
                error = last = exc
    finally:
        # An exception holds this frame by its traceback: without the names there is no cycle.
        del error, last


def _mend_for(connection: Connection, policy: RetryPolicy, error: Exception) -> Callable[..., None] | None:
    """What to do about ``error``; None when another attempt would not help."""
    if isinstance(error, DeadlineExceeded):
        return None
    if policy.retry_errors and isinstance(error, policy.retry_errors):
        return _nothing
    if isinstance(error, connection.recoverable_connection_errors):
        return _new_connection
    if isinstance(error, connection.recoverable_channel_errors):
        return _new_channel
    return None


def _nothing(connection: Connection, obj: Any, policy: RetryPolicy, failures: int) -> None:
    """``retry_errors`` are the operation's own: there is nothing to mend."""


def _connect_first(connection: Connection, obj: Any, policy: RetryPolicy) -> None:
    """Connect by the caller's policy, not that of the default channel; a channel of an earlier life is replaced."""
    connection._ensure_connected(policy, as_ours=True)
    channel = getattr(obj, "channel", None)
    parent = getattr(channel, "connection", connection._connection)
    if channel is None or parent is connection._connection:
        return
    if getattr(parent, "client", None) in (None, connection):
        _revive(obj, connection.default_channel, policy)


def _new_connection(connection: Connection, obj: Any, policy: RetryPolicy, failures: int) -> None:
    connection.maybe_switch_next()
    left = policy
    if policy.max_retries is not None:
        left = RetryPolicy.from_options({**policy, "max_retries": max(policy.max_retries - failures + 1, 1)})
    connection._ensure_connected(left, as_ours=True)
    _revive(obj, connection.default_channel, policy)


def _new_channel(connection: Connection, obj: Any, policy: RetryPolicy, failures: int) -> None:
    # Also one that is still open: whoever set it up is told to do so again, which fails where it is done already.
    channel = getattr(obj, "channel", None)
    was_default = channel is None or channel is connection._default_channel
    if channel is not None:
        connection.maybe_close_channel(channel)
    if was_default:
        connection._default_channel = None
    _revive(obj, connection.default_channel if was_default else connection.channel(), policy)


def _revive(obj: Any, channel: Any, policy: RetryPolicy) -> None:
    obj.revive(channel)
    if policy.on_revive is not None:
        policy.on_revive(channel)


class Revival:
    """Calls ``fun(..., channel=channel)`` and keeps the channel; for :meth:`kombu.Connection.autoretry`."""

    def __init__(self, connection: Connection, fun: Callable[..., Any], channel: Any) -> None:
        self.connection = connection
        self.fun = fun
        self.channel = channel
        self.__name__ = getattr(fun, "__name__", type(fun).__name__)
        self.__doc__ = fun.__doc__

    def revive(self, channel: Any) -> None:
        self.channel = channel

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if self.channel is None:
            self.channel = self.connection.channel()
        return self.fun(*args, channel=self.channel, **kwargs), self.channel
