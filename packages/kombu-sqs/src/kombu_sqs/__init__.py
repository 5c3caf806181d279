"""Amazon SQS for kombu: the transport ``sqs://``, on boto3.

Also importable by the historic name ``kombu.transport.SQS``.
"""

from __future__ import annotations

from kombu_sqs.broker import reset
from kombu_sqs.channel import Channel
from kombu_sqs.errors import (
    AccessDeniedQueueException,
    DoesNotExistQueueException,
    InvalidQueueException,
    MessageTooLarge,
    SettleError,
    UnableToSubscribeQueueToTopicException,
    UnableToUnsubscribeQueueFromTopicException,
    UndefinedExchangeException,
    UndefinedQueueException,
)
from kombu_sqs.offload import S3Store, Store
from kombu_sqs.qos import QoS
from kombu_sqs.transport import Transport

__all__ = (
    "AccessDeniedQueueException",
    "Channel",
    "DoesNotExistQueueException",
    "InvalidQueueException",
    "MessageTooLarge",
    "QoS",
    "S3Store",
    "SettleError",
    "Store",
    "Transport",
    "UnableToSubscribeQueueToTopicException",
    "UnableToUnsubscribeQueueFromTopicException",
    "UndefinedExchangeException",
    "UndefinedQueueException",
    "reset",
)
