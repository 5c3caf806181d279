"""Exchanges, queues and bindings: plain declarations, with operations once they are bound to a channel."""

from __future__ import annotations

from kombu.entity.declaring import Declarations, declare_once, declared_entities
from kombu.entity.exchange import (
    DELIVERY_MODES,
    INTERNAL_EXCHANGE_PREFIX,
    PERSISTENT_DELIVERY_MODE,
    TRANSIENT_DELIVERY_MODE,
    Exchange,
    binding,
    maybe_delivery_mode,
    name_of,
    pretty_bindings,
)
from kombu.entity.queue import Queue

__all__ = (
    "Declarations",
    "DELIVERY_MODES",
    "INTERNAL_EXCHANGE_PREFIX",
    "PERSISTENT_DELIVERY_MODE",
    "TRANSIENT_DELIVERY_MODE",
    "Exchange",
    "Queue",
    "binding",
    "declare_once",
    "declared_entities",
    "maybe_delivery_mode",
    "name_of",
    "pretty_bindings",
)
