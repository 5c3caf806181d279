"""Historic import path (``kombu.transport.SQS.exceptions``) of what is in :mod:`.errors`."""

from __future__ import annotations

from kombu_sqs.errors import (
    AccessDeniedQueueException,
    DoesNotExistQueueException,
    InvalidQueueException,
    UnableToSubscribeQueueToTopicException,
    UnableToUnsubscribeQueueFromTopicException,
    UndefinedExchangeException,
    UndefinedQueueException,
)

__all__ = (
    "AccessDeniedQueueException",
    "DoesNotExistQueueException",
    "InvalidQueueException",
    "UnableToSubscribeQueueToTopicException",
    "UnableToUnsubscribeQueueFromTopicException",
    "UndefinedExchangeException",
    "UndefinedQueueException",
)
