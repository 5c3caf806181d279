"""Virtual transports: AMQP's model for backends that are not AMQP brokers.

A backend implements the hooks of :class:`AbstractChannel`, two at the least; :class:`Channel` and :class:`Transport` do
the rest. The decisions are in modules without I/O: :mod:`.routing`, :mod:`.tables`, :mod:`.ledger`, :mod:`.policy`.
"""

from __future__ import annotations

from queue import Empty

from .channel import Channel
from .envelope import Base64, Message
from .exchange import BrokerState, binding_key_t, queue_binding_t
from .hooks import AbstractChannel
from .publish import UndeliverableWarning
from .qos import QoS
from .routing import NotEquivalentError
from .transport import Management, Transport

__all__ = (
    "AbstractChannel",
    "Base64",
    "BrokerState",
    "Channel",
    "Empty",
    "Management",
    "Message",
    "NotEquivalentError",
    "QoS",
    "Transport",
    "UndeliverableWarning",
    "binding_key_t",
    "queue_binding_t",
)
