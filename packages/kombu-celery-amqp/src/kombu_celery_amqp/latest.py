"""What is known of tasks from the messages that were received, and which of those are still held."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection

    from kombu.message import Message

__all__ = ("BacklogLimitExceeded", "Latest", "Meta")

#: What a result message says: ``task_id``, ``status``, ``result``, ``traceback``, ``children`` and so on.
Meta = dict[str, Any]

logger = get_logger(__name__)


class BacklogLimitExceeded(Exception):
    """Too much state history to fast-forward."""


class Latest:
    """The newest message of each task, unacknowledged; the one before is acknowledged when a newer comes.

    Whatever becomes of this process, the newest state is still the broker's.
    """

    def __init__(self, task_ids: Collection[str]) -> None:
        self._task_ids = task_ids
        #: The newest message by task.
        self.held: dict[str, Message] = {}
        #: What each message said, in the order they came.
        self.news: deque[Meta] = deque()

    def __call__(self, message: Message) -> None:
        """Take a message; one that is no result of these tasks is neither used nor acknowledged.

        Raises:
            ContentDisallowed, DecodeError: it cannot be read; it stays unacknowledged.
        """
        meta = message.payload
        task_id = str(meta.get("task_id")) if isinstance(meta, dict) else ""
        if task_id not in self._task_ids:
            logger.warning("Message in a result queue is left there: it is of task %r", task_id)
            return
        before = self.held.get(task_id)
        self.held[task_id] = message
        self.news.append(meta)
        if before is not None:
            before.ack()
