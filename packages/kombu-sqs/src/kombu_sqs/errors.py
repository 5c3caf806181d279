"""boto3's exceptions as kombu's: each is both, so either can be caught. Also the historic exception names."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected
from botocore.parsers import ResponseParserError

from kombu import exceptions

__all__ = (
    "RAISED",
    "AccessDeniedQueueException",
    "DoesNotExistQueueException",
    "InvalidQueueException",
    "MessageTooLarge",
    "SettleError",
    "UndefinedExchangeException",
    "UndefinedQueueException",
    "code_of",
    "is_credential_trouble",
    "is_lost_receipt",
    "is_missing_queue",
    "is_too_long",
    "is_transient",
    "translate",
    "was_deleted_recently",
)

#: The queue is not there (the second is the code of the query protocol, which older endpoints speak).
_MISSING = frozenset(("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue"))

#: The receipt handle is of no use any more: the message is visible again, or gone.
_LOST = frozenset(
    ("ReceiptHandleIsInvalid", "MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight")
)

_THROTTLED = frozenset(
    (
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "OverLimit",
        "SlowDown",
        "KmsThrottled",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "InternalError",
        "InternalFailure",
    )
)

_NO_CREDENTIALS = frozenset(
    (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "MetadataRetrievalError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "SSOTokenLoadError",
        "RefreshWithMFAUnsupportedError",
    )
)


class DoesNotExistQueueException(exceptions.NotFound):
    """404: the queue is not there."""


class UndefinedQueueException(exceptions.NotFound):
    """404: ``predefined_queues`` is set and does not name the queue."""


class UndefinedExchangeException(exceptions.NotFound):
    """404: ``predefined_exchanges`` is set and does not name the fanout exchange."""


class InvalidQueueException(exceptions.PreconditionFailed):
    """406: SQS does not take the name or the attributes of the queue."""


class AccessDeniedQueueException(exceptions.AccessRefused, exceptions.RecoverableChannelError):
    """403: the credentials were refused, also after they were renewed. Trying again may help."""


class UnableToSubscribeQueueToTopicException(exceptions.ChannelError):
    """The queue was not subscribed to the topic of its exchange."""


class UnableToUnsubscribeQueueFromTopicException(exceptions.ChannelError):
    """The subscription of a queue was not removed."""


class MessageTooLarge(exceptions.OperationalError, ValueError):
    """The message is over the size limit, and there is no offload store. Nothing was sent."""


class SettleError(exceptions.RecoverableConnectionError, exceptions.OperationalError):
    """Messages that could not be deleted; ``failed`` lists (message id, code, text) of each. They may come again.

    A connection error, because that is what those who acknowledge are prepared for.
    """

    def __init__(self, text: str, failed: tuple[tuple[str, str, str], ...] = ()) -> None:
        super().__init__(text)
        self.failed = failed


class _Unreachable(exceptions.RecoverableConnectionError):
    """No answer from AWS, or none that is of use; trying again later may help."""


def code_of(error: BaseException) -> str:
    """The error code in AWS's answer; the name of the exception when there was none."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def is_missing_queue(error: BaseException) -> bool:
    """Whether the queue is not there."""
    return code_of(error) in _MISSING


def is_lost_receipt(code: str) -> bool:
    """Whether this error code says that the delivery is not ours any more."""
    return code in _LOST


def was_deleted_recently(error: BaseException) -> bool:
    """Whether a queue cannot be made because one of that name was deleted less than a minute ago."""
    return code_of(error) in ("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently")


def is_too_long(error: BaseException) -> bool:
    """Whether the messages of a batch were too much for one request."""
    return code_of(error) in ("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong")


def is_credential_trouble(error: BaseException) -> bool:
    """Whether new credentials may help: refused, expired, or none to be had at the moment."""
    if isinstance(error, ClientError):
        return _status_of(error) in (401, 403) or code_of(error) in (
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "RequestExpired",
            "AccessDenied",
            "AccessDeniedException",
        )
    return type(error).__name__ in _NO_CREDENTIALS


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, ClientError):
        return _status_of(error) >= 500 or _status_of(error) == 429 or code_of(error) in _THROTTLED
    return isinstance(error, (HTTPClientError, NotConnected, ResponseParserError, OSError))


#: What a request raises; anything else is a mistake of a program, to be told as it is.
RAISED = (BotoCoreError, ClientError, ResponseParserError, OSError)


@cache
def _both(ours: type[Exception], theirs: type[Exception]) -> type[Exception]:
    """An exception class that is both."""

    def __str__(self: Any) -> str:
        return str(self.reply_text)

    return type(ours.__name__.lstrip("_"), (ours, theirs), {"__str__": __str__, "__module__": __name__})


def _kind(error: BaseException) -> type[exceptions.AMQPError]:
    if is_missing_queue(error):
        return DoesNotExistQueueException
    if is_credential_trouble(error):
        return AccessDeniedQueueException
    if is_transient(error) or not isinstance(error, ClientError):
        return _Unreachable
    return InvalidQueueException


def translate(error: Exception, doing: str) -> Any:
    """The exception as kombu's and boto3's at once; ``doing`` names the API action and the queue."""
    kind = _kind(error)
    both: Any = _both(kind, type(error))  # type: ignore[arg-type]  # (classes can be hashed)
    made: Any = both.__new__(both)
    made.__dict__.update(error.__dict__)
    # (the next class in line is boto3's, which wants other arguments)
    made.message = made.reply_text = f"{doing}: {error}"
    made.reply_code, made.method_sig, made.method_name = kind.code, None, ""
    BaseException.__init__(made, made.reply_text)
    return made
