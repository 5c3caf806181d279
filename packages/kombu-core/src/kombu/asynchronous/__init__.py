"""The event loop that Celery's worker drives."""

from __future__ import annotations

import logging.handlers  # noqa: F401  # celery.contrib.testing.worker uses it and does not import it

from kombu.asynchronous.hub import Hub, get_event_loop, set_event_loop
from kombu.utils.eventio import ERR, READ, WRITE

__all__ = ("ERR", "READ", "WRITE", "Hub", "get_event_loop", "set_event_loop")
