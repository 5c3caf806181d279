"""The transport ``memory://``: a broker in this process, for tests and for threads that talk to each other."""

from __future__ import annotations

from .broker import Broker, get_broker, reset
from .channel import Channel
from .transport import Transport

__all__ = ("Broker", "Channel", "Transport", "get_broker", "reset")
