"""Celery's result backend ``amqp://``: results as messages, one queue a task.

Installing the distribution is enough for Celery to find it: ``result_backend = "amqp://"``.
"""

from __future__ import annotations

from .backend import AMQPBackend
from .latest import BacklogLimitExceeded
from .queues import NoCacheQueue

__all__ = ("AMQPBackend", "BacklogLimitExceeded", "NoCacheQueue")
