"""What the connections of this process to one account and region share: the topology, and the URLs of queues."""

from __future__ import annotations

import os
from threading import RLock, local
from typing import TYPE_CHECKING, Any

from kombu.transport.virtual import BrokerState

from .naming import TOPIC_LIMIT, Names

if TYPE_CHECKING:
    from .options import Options
    from .queues import Target

__all__ = ("Broker", "get_broker", "reset")


class Broker:
    """Exchanges, queues and bindings as this process declared them, and what is known of the queues at AWS."""

    def __init__(self, prefix: str = "") -> None:
        self.lock = RLock()
        self.state = BrokerState()
        self.names = Names(prefix)
        self.topic_names = Names(prefix, TOPIC_LIMIT)
        #: Queue -> what is known of it.
        self.targets: dict[str, Target] = {}
        #: How many queues this process has deleted.
        self.deletions = 0
        #: Fanout exchange -> ARN of its topic.
        self.topics: dict[str, str] = {}
        #: (topic's ARN, queue) -> ARN of the subscription.
        self.subscriptions: dict[tuple[str, str], str] = {}
        #: Queue -> (its dead-letter queue, maxReceiveCount), as this process set it.
        self.redrives: dict[str, tuple[str, int]] = {}
        #: Whether there is a FIFO queue, so that messages need an identity.
        self.has_fifo = False
        self._failed = local()

    # A message that is published again after an error keeps its MessageDeduplicationId, so that SQS takes it once even
    # if only the answer was lost. Who retries makes a new message of the same objects: by those it is recognised.

    def note_failure(self, message: dict[str, Any]) -> None:
        """This thread did not get an answer for the message."""
        origin = getattr(message, "origin", None)
        if origin is not None:
            self._failed.last = (origin, message["properties"].get("MessageDeduplicationId"))

    def earlier_id(self, message: dict[str, Any]) -> str | None:
        """The id of the last failure of this thread, when it was of this message."""
        origin, last = getattr(message, "origin", None), getattr(self._failed, "last", None)
        if (
            origin is None
            or last is None
            or any(new is not old for new, old in zip(origin, last[0], strict=True))
        ):
            return None
        found: str | None = last[1]
        return found


_brokers: dict[Any, Broker] = {}
_registry_lock = RLock()


def _after_fork() -> None:
    """In a forked child: other threads of the parent may have held the locks."""
    global _registry_lock
    _registry_lock = RLock()
    for broker in _brokers.values():
        broker.lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def get_broker(options: Options) -> Broker:
    """The broker these options lead to; made when it is new."""
    key = (
        options.endpoint_url,
        options.region,
        options.access_key_id,
        options.sts_role_arn,
        options.queue_name_prefix,
    )
    with _registry_lock:
        if key not in _brokers:
            _brokers[key] = Broker(options.queue_name_prefix)
        return _brokers[key]


def reset() -> None:
    """Forget all that this process declared; what is at AWS stays."""
    with _registry_lock:
        _brokers.clear()
