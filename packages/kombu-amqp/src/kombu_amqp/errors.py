"""The errors of this transport: each is caught as ``kombu.exceptions.X`` and as ``amqp.exceptions.X``.

What the broker answers becomes one of them by its reply code (AMQP 0-9-1 section 1.2, "constants");
what the driver raises by itself is translated where it leaves the driver.
"""

from __future__ import annotations

import builtins
from typing import Any, NoReturn

from amqp import exceptions as driver

from kombu import exceptions as ours

__all__ = (
    "AMQPNotImplementedError",
    "AccessRefused",
    "ChannelError",
    "ChannelInUse",
    "ChannelNotOpen",
    "ConnectionBlocked",
    "ConnectionError",
    "ConnectionForced",
    "ConnectionInUse",
    "ConnectionLost",
    "ConsumerCancelled",
    "ConsumerTimeout",
    "ContentTooLarge",
    "FrameError",
    "FrameSyntaxError",
    "InternalError",
    "InvalidCommand",
    "InvalidPath",
    "MessageNacked",
    "NoConsumers",
    "NoReply",
    "NotAllowed",
    "NotFound",
    "PreconditionFailed",
    "RecoverableChannelError",
    "RecoverableConnectionError",
    "ResourceError",
    "ResourceLocked",
    "UnexpectedFrame",
    "error_for_code",
    "raise_translated",
)


class _Both:
    """Both families have a constructor, with the same arguments; neither calls the other's rightly."""

    code = 0

    def __init__(
        self,
        reply_text: Any = None,
        method_sig: tuple[int, int] | None = None,
        method_name: str | None = None,
        reply_code: Any = None,
    ) -> None:
        if method_sig and not method_name:
            method_name = driver.METHOD_NAME_MAP.get(method_sig)
        self.message = self.reply_text = reply_text
        self.reply_code = reply_code or self.code
        self.method_sig = method_sig
        self.method_name = method_name or ""
        BaseException.__init__(self, reply_code, reply_text, method_sig, self.method_name)  # type: ignore[arg-type]


class ConnectionError(_Both, ours.ConnectionError, driver.ConnectionError):
    """The connection is gone or was never there."""


class ChannelError(_Both, ours.ChannelError, driver.ChannelError):
    """The broker closed the channel, or refused an operation on it."""


class RecoverableConnectionError(
    ours.RecoverableConnectionError, ConnectionError, driver.RecoverableConnectionError
):
    """A connection error that connecting again may cure."""


class RecoverableChannelError(ours.RecoverableChannelError, ChannelError, driver.RecoverableChannelError):
    """A channel error that opening another channel may cure."""


class ConnectionLost(RecoverableConnectionError, builtins.ConnectionResetError):
    """The socket was closed or reset under the connection; also an :class:`OSError`, as the driver has it."""


class NoReply(RecoverableConnectionError, builtins.TimeoutError):
    """The broker did not answer within the option ``reply_timeout``, or take what was written in time."""


class ConsumerCancelled(ours.ConsumerCancelled, RecoverableConnectionError, driver.ConsumerCancelled):
    """The broker cancelled a consumer that has no ``on_cancel``: its queue was deleted, or has moved."""


class ConnectionForced(RecoverableConnectionError, driver.ConnectionForced):
    """320: an operator closed the connection; also raised when the broker's heartbeats are missing."""

    code = 320


class ResourceError(ours.ResourceError, RecoverableConnectionError, driver.ResourceError):
    """506: no channel number is left, or the broker is short of something."""

    code = 506


class ContentTooLarge(RecoverableChannelError, driver.ContentTooLarge):
    """311: the message is larger than the broker takes."""

    code = 311


class NoConsumers(RecoverableChannelError, driver.NoConsumers):
    """313: an ``immediate`` message that nobody waited for."""

    code = 313


class InvalidPath(ConnectionError, driver.InvalidPath):
    """402: no such virtual host."""

    code = 402


class AccessRefused(ours.AccessRefused, ChannelError, driver.AccessRefused):
    """403: wrong credentials or no permission."""


class NotFound(ours.NotFound, ChannelError, driver.NotFound):
    """404: no such queue or exchange."""


class ResourceLocked(ours.ResourceLocked, RecoverableChannelError, driver.ResourceLocked):
    """405: the queue is exclusive to another connection or consumer."""


class PreconditionFailed(ours.PreconditionFailed, ChannelError, driver.PreconditionFailed):
    """406: redeclared with other properties (the message shows both values), or an unknown delivery tag."""


class ConsumerTimeout(PreconditionFailed, RecoverableChannelError):
    """406: a delivery was not acknowledged within the broker's ``consumer_timeout``; a new channel cures it."""


class FrameError(ConnectionError, driver.FrameError):
    """501: a frame that could not be read."""

    code = 501


class FrameSyntaxError(ConnectionError, driver.FrameSyntaxError):
    """502: a frame with illegal values."""

    code = 502


class InvalidCommand(ConnectionError, driver.InvalidCommand):
    """503: a method that was not expected there."""

    code = 503


class ChannelNotOpen(ConnectionError, driver.ChannelNotOpen):
    """504: a channel that is not open."""

    code = 504


class UnexpectedFrame(ConnectionError, driver.UnexpectedFrame):
    """505: frames in an order that the protocol forbids."""

    code = 505


class NotAllowed(ConnectionError, driver.NotAllowed):
    """530: no such virtual host, or no access to it."""

    code = 530


class AMQPNotImplementedError(ConnectionError, driver.AMQPNotImplementedError):
    """540: the broker does not have this feature."""

    code = 540


class InternalError(ConnectionError, driver.InternalError):
    """541: an error inside the broker."""

    code = 541


class MessageNacked(ours.MessageNacked, driver.MessageNacked):
    """The broker refused a message: its queue is full, or it could not store it."""


class ConnectionBlocked(ours.OperationalError):
    """The broker takes no messages on this connection: it is short of memory or disk.

    ``reason`` is what it said. What was published before it said so is stored once the alarm is over.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class ChannelInUse(ours.KombuError, RuntimeError):
    """Two threads used a channel at the same time; each thread needs its own."""


class ConnectionInUse(ours.KombuError, RuntimeError):
    """Two threads waited for the broker on one connection at the same time; each thread needs its own."""


_WITH_CODE: tuple[type[Any], ...] = (
    ContentTooLarge,
    NoConsumers,
    ConnectionForced,
    InvalidPath,
    AccessRefused,
    NotFound,
    ResourceLocked,
    PreconditionFailed,
    FrameError,
    FrameSyntaxError,
    InvalidCommand,
    ChannelNotOpen,
    UnexpectedFrame,
    ResourceError,
    NotAllowed,
    AMQPNotImplementedError,
    InternalError,
)

_BY_CODE: dict[int, type[Any]] = {error.code: error for error in _WITH_CODE}

_ALL: tuple[type[Any], ...] = (
    ConnectionError,
    ChannelError,
    RecoverableConnectionError,
    RecoverableChannelError,
    ConsumerCancelled,
    *_BY_CODE.values(),
)

_BY_DRIVER: dict[type[BaseException], type[Any]] = {
    base: error for error in _ALL for base in error.__bases__ if base.__module__ == driver.__name__
}


def error_for_code(code: int, text: str, method: tuple[int, int], default: type[Any]) -> Any:
    """The error for a reply code of the broker; ``default`` for codes that are not in the specification."""
    kind = _BY_CODE.get(code, default)
    # RabbitMQ: "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: ..."
    if code == 406 and "acknowledgement" in text and "timed out" in text:
        kind = ConsumerTimeout
    return kind(text, method, reply_code=code)


def raise_translated(error: driver.AMQPError) -> NoReturn:
    """Raise what the driver raised as one of ours, unless it is."""
    if isinstance(error, ours.AMQPError):
        raise error
    for kind in type(error).__mro__:
        found = _BY_DRIVER.get(kind)
        if found is not None:
            raise found(
                error.reply_text, error.method_sig, error.method_name, error.reply_code
            ) from error
    raise error
