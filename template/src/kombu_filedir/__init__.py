"""The transport ``filedir://``: queues are directories, messages are files."""

from __future__ import annotations

from .transport import Channel, Transport

__all__ = ("Channel", "Transport")
