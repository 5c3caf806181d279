"""The historic path of the virtual transport's classes."""

from __future__ import annotations

from queue import Empty

from . import (
    AbstractChannel,
    Base64,
    BrokerState,
    Channel,
    Management,
    Message,
    NotEquivalentError,
    QoS,
    Transport,
    UndeliverableWarning,
    binding_key_t,
    queue_binding_t,
)

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
