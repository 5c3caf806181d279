"""The event loop that Celery's worker drives."""

from __future__ import annotations

from kombu.asynchronous.hub import Hub, get_event_loop, set_event_loop
from kombu.utils.eventio import ERR, READ, WRITE

__all__ = ("ERR", "READ", "WRITE", "Hub", "get_event_loop", "set_event_loop")
