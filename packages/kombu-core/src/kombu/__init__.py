"""Messaging library for Python: one API over many brokers.

Names are loaded on first use, so importing :mod:`kombu` costs next to nothing and never imports a driver.
"""

from __future__ import annotations

from collections import namedtuple
from importlib import import_module
from typing import TYPE_CHECKING, Any

version_info_t = namedtuple("version_info_t", ("major", "minor", "micro", "releaselevel", "serial"))

VERSION = version_info_t(6, 0, 0, "", "")
__version__ = "6.0.0"

if TYPE_CHECKING:
    from kombu.common import eventloop
    from kombu.connection import BrokerConnection, Connection
    from kombu.entity import Exchange, Queue, binding
    from kombu.message import Message
    from kombu.messaging import Consumer, Producer
    from kombu.pools import connections, producers
    from kombu.serialization import disable_insecure_serializers, enable_insecure_serializers
    from kombu.utils.url import parse_url
    from kombu.utils.uuid import uuid

__all__ = (
    "BrokerConnection",
    "Connection",
    "Consumer",
    "Exchange",
    "Message",
    "Producer",
    "Queue",
    "binding",
    "connections",
    "disable_insecure_serializers",
    "enable_insecure_serializers",
    "eventloop",
    "parse_url",
    "producers",
    "uuid",
)

_HOMES = {
    "BrokerConnection": "kombu.connection",
    "Connection": "kombu.connection",
    "Consumer": "kombu.consumer",
    "Exchange": "kombu.entity",
    "Message": "kombu.message",
    "Producer": "kombu.producer",
    "Queue": "kombu.entity",
    "binding": "kombu.entity",
    "connections": "kombu.pools",
    "disable_insecure_serializers": "kombu.serialization",
    "enable_insecure_serializers": "kombu.serialization",
    "eventloop": "kombu.common",
    "parse_url": "kombu.utils.url",
    "producers": "kombu.pools",
    "uuid": "kombu.utils.uuid",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
