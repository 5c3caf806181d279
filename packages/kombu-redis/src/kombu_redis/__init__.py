"""Redis and Valkey for kombu: the transports ``redis://``, ``rediss://``, ``redis+socket://``, ``valkey(s)://``.

Also importable by the historic name ``kombu.transport.redis``.
"""

from __future__ import annotations

from kombu_redis.channel import Channel, Message
from kombu_redis.cluster.channel import ClusterChannel
from kombu_redis.cluster.transport import ClusterTransport
from kombu_redis.errors import error_classes_t, get_redis_ConnectionError, get_redis_error_classes
from kombu_redis.sentinel import SentinelChannel, SentinelTransport
from kombu_redis.settling import QoS
from kombu_redis.transport import Transport

__all__ = (
    "Channel",
    "ClusterChannel",
    "ClusterTransport",
    "Message",
    "QoS",
    "SentinelChannel",
    "SentinelTransport",
    "Transport",
    "error_classes_t",
    "get_redis_ConnectionError",
    "get_redis_error_classes",
)
