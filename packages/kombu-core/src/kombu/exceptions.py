"""Every error that kombu raises, in one tree.

``KombuError`` is what the library itself complains about; ``AMQPError`` is what a broker (or a virtual
transport acting as one) answered, with the reply codes of AMQP 0-9-1 section 1.1. A transport maps its
driver's exceptions to these at its own boundary and keeps them catchable as the driver's.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

__all__ = (
    "AMQPError",
    "AccessRefused",
    "BatchPublishError",
    "ChannelError",
    "ChannelLimitExceeded",
    "ConnectionError",
    "ConnectionLimitExceeded",
    "ConsumerCancelled",
    "ContentDisallowed",
    "DeadlineExceeded",
    "DecodeError",
    "EncodeError",
    "HttpError",
    "InconsistencyError",
    "KombuError",
    "LimitExceeded",
    "MessageNacked",
    "MessageStateError",
    "NotBoundError",
    "NotFound",
    "OperationalError",
    "PreconditionFailed",
    "RecoverableChannelError",
    "RecoverableConnectionError",
    "ResourceError",
    "ResourceLocked",
    "SerializationError",
    "SerializerNotInstalled",
    "TimeoutError",
    "TransportNotFound",
    "UnsupportedCapability",
    "VersionMismatch",
    "reraise",
)

TimeoutError = builtins.TimeoutError


def reraise(tp: type[BaseException], value: BaseException, tb: TracebackType | None = None) -> NoReturn:
    """Raise ``value`` with the traceback ``tb``; ``tp`` is accepted for old callers and ignored."""
    raise value.with_traceback(tb if tb is not None else value.__traceback__)


class KombuError(Exception):
    """Anything the library itself reports."""


class OperationalError(KombuError):
    """The broker could not be reached or did not carry out the operation; trying again later may help."""


class DeadlineExceeded(OperationalError, builtins.TimeoutError):
    """The time the caller allowed has run out, over connect, declare, publish, confirm and retries together.

    ``__cause__`` is the last error met on the way, when there was one.
    """


class MessageNacked(OperationalError):
    """The broker refused a published message (``basic.nack``), for instance a full ``reject-publish`` queue."""


class BatchPublishError(KombuError):
    """Some messages of a batch may not have been published.

    ``outcomes`` lists what became of each, in the order of the calls: None where the broker took the message,
    the exception where it did not. It is empty when nothing is known.
    """

    def __init__(self, *args: object, outcomes: tuple[BaseException | None, ...] = ()) -> None:
        super().__init__(*args)
        self.outcomes = outcomes


class SerializationError(KombuError):
    """A body could not be turned into bytes, or back."""


class EncodeError(SerializationError):
    """The object cannot be encoded by the chosen serializer."""


class DecodeError(SerializationError):
    """The body cannot be decoded (wrong format, broken compression, over the size limit)."""


class NotBoundError(KombuError):
    """An exchange, queue or binding was asked to talk to a broker before it was bound to a channel."""


class MessageStateError(KombuError):
    """The message was acknowledged, rejected or requeued already."""


class LimitExceeded(KombuError):
    """A pool has no resource left."""


class ConnectionLimitExceeded(LimitExceeded):
    """The connection pool has no connection left."""


class ChannelLimitExceeded(LimitExceeded):
    """No channel is left on this connection."""


class VersionMismatch(KombuError):
    """An installed dependency is of a version that cannot work."""


class SerializerNotInstalled(KombuError):
    """No such serializer is registered, or its library is missing."""


class ContentDisallowed(SerializerNotInstalled):
    """The consumer does not accept this content type."""


class TransportNotFound(KombuError, KeyError):
    """No installed distribution provides the transport; the message says which one to install."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class UnsupportedCapability(KombuError, NotImplementedError):
    """The transport does not claim what was asked of it (see its ``implements``)."""


class AMQPError(Exception):
    """What a broker answered: ``reply_code`` and ``reply_text`` of AMQP 0-9-1, and the method concerned."""

    code = 0

    def __init__(
        self,
        reply_text: Any = None,
        method_sig: tuple[int, int] | None = None,
        method_name: str | None = None,
        reply_code: Any = None,
    ) -> None:
        self.message = reply_text
        self.reply_code = reply_code or self.code
        self.reply_text = reply_text
        self.method_sig = method_sig
        self.method_name = method_name or ""
        super().__init__(reply_code, reply_text, method_sig, self.method_name)

    def __reduce__(self) -> Any:
        return type(self), (self.reply_text, self.method_sig, self.method_name, self.reply_code), self.__dict__

    def __str__(self) -> str:
        where = f"{self.method_name}: " if self.method_name else ""
        text = self.reply_text if self.reply_text is not None else f"<{type(self).__name__}: unknown error>"
        return f"{where}({self.reply_code}) {text}" if self.reply_code else f"{where}{text}"

    @property
    def method(self) -> str:
        """The AMQP method the broker complained about."""
        return self.method_name


class ConnectionError(AMQPError):
    """The connection is gone or was never there."""


class ChannelError(AMQPError):
    """The broker closed the channel, or refused an operation on it."""


class RecoverableConnectionError(ConnectionError):
    """A connection error that connecting again may cure."""


class RecoverableChannelError(ChannelError):
    """A channel error that opening another channel may cure."""


class ResourceError(RecoverableConnectionError):
    """A resource that was needed is not there at the moment."""


class InconsistencyError(ConnectionError):
    """Data that should be in the broker is missing, as when keys were evicted."""


class ConsumerCancelled(RecoverableConnectionError):
    """The broker cancelled a consumer (its queue was deleted) and no ``on_cancel`` was given."""


class AccessRefused(ChannelError):
    """403: no permission."""

    code = 403


class NotFound(ChannelError):
    """404: no such queue or exchange."""

    code = 404


class ResourceLocked(RecoverableChannelError):
    """405: the queue is exclusive to another connection or consumer."""

    code = 405


class PreconditionFailed(ChannelError):
    """406: redeclared with other properties, unknown delivery tag, or not empty/unused on delete."""

    code = 406


class HttpError(Exception):
    """An HTTP answer that is not a success: ``code`` (status), ``message`` (body or text) and ``response``."""

    def __init__(self, code: int, message: str | None = None, response: Any = None) -> None:
        self.code = code
        self.message = message
        self.response = response
        super().__init__(code, message, response)

    def __str__(self) -> str:
        return f"HTTP {self.code}: {self.message}"
