"""RabbitMQ for kombu: the transports ``amqp://`` and ``amqps://``, on the ``amqp`` package.

Also importable by the historic name ``kombu.transport.pyamqp``.
"""

from __future__ import annotations

from kombu_amqp.channel import Channel
from kombu_amqp.connection import Connection
from kombu_amqp.errors import ChannelInUse, ConnectionBlocked, ConnectionInUse
from kombu_amqp.message import Message
from kombu_amqp.transport import DEFAULT_PORT, DEFAULT_SSL_PORT, SSLTransport, Transport

__all__ = (
    "DEFAULT_PORT",
    "DEFAULT_SSL_PORT",
    "Channel",
    "ChannelInUse",
    "Connection",
    "ConnectionBlocked",
    "ConnectionInUse",
    "Message",
    "SSLTransport",
    "Transport",
)
