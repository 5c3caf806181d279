"""A channel of the in-process broker: the hooks of a virtual channel over :class:`.broker.Broker`."""

from __future__ import annotations

from queue import Empty
from time import time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import MessageNacked
from kombu.log import get_logger
from kombu.transport import virtual

from .message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu.transport.virtual.ledger import Subscription

    from .broker import Broker
    from .queues import MemoryQueue

__all__ = ("Channel",)

logger = get_logger(__name__)

#: What counts as using a queue that goes when it is unused (``x-expires``); a passive declaration does.
USES = frozenset(("Queue.declare", "Basic.get", "Basic.consume"))


class Channel(virtual.Channel):
    """Messages stay Python objects: bodies are kept as the serializer made them."""

    Message = Message
    supports_fanout = True
    body_encoding = None

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._broker: Broker = connection.broker
        self._queues: dict[str, MemoryQueue] = self._broker.queues

    @property
    def queues(self) -> dict[str, MemoryQueue]:
        """The broker's queues by name."""
        return self._queues

    # -- messages ------------------------------------------------------------------------------------------

    def basic_publish(
        self,
        message: dict[str, Any] | str | bytes,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        delay: float | None = None,
        **kwargs: Any,
    ) -> None:
        """As for any virtual channel; where there is nothing to decide, in one step."""
        if not isinstance(message, dict):
            message = self._prepared(message)
        route = self.state.routes.get((exchange, routing_key))
        if route is not None and route.only is not None and delay is None and not self.closed:
            queue = self._queues.get(route.only)
            properties = message["properties"]
            if queue is not None and queue.plain and "expiration" not in properties:
                properties["delivery_info"] = route.info
                queue.ready.append(message)
                if queue.waiters:
                    self._broker.wake_one(queue)
                return
        super().basic_publish(message, exchange, routing_key, mandatory, immediate, delay, **kwargs)

    def _seal(self, message: dict[str, Any], info: dict[str, str]) -> None:
        message["properties"]["delivery_info"] = info

    def _put(self, queue: str, message: dict[str, Any]) -> None:
        target = self._target(queue)
        if "expires_at" in message["properties"]:
            self._broker.put_expiring(target, message)
        elif target.plain:
            target.ready.append(message)
        else:
            with self.lock:
                target.put(message)
        if target.waiters:
            self._broker.wake_one(target)

    def _put_delayed(self, queue: str, message: dict[str, Any], due: float) -> None:
        self._broker.put_delayed(self._target(queue), message, due)

    def _target(self, queue: str) -> MemoryQueue:
        found = self._queues.get(queue)
        return found if found is not None else self._broker.declare(queue, time())

    def take(self, subscription: Subscription) -> dict[str, Any] | None:
        """As for any virtual channel; from a queue where there is nothing to decide, in one step."""
        source = self._queues.get(subscription.queue)
        if source is None or source.expiring or not source.plain or self.qos.limit or not self._flowing:
            return super().take(subscription)
        if subscription.limit and subscription.unacked >= subscription.limit and not subscription.no_ack:
            return None
        try:
            return source.take_next()
        except Empty:
            return None

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """As for any virtual channel; one delivery in one step, since the broker has forgotten it already."""
        if multiple or self.closed or not self.qos.settle(delivery_tag):
            super().basic_ack(delivery_tag, multiple)
        elif self.connection.sleeping:
            self.connection.wake()

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        source = self._queues.get(queue)
        if source is None:
            raise Empty
        if source.plain and not source.expiring:
            return source.take_next()
        with self.lock:
            message = source.take()
            self._broker.plan_expiry(source)
            return message

    def _requeue(self, queue: str, message: dict[str, Any]) -> None:
        source = self._queues.get(queue)
        if source is None or not source.gave(message):
            return  # the queue was deleted, and its messages with it
        with self.lock:
            source.give_back(message)
            self._broker.plan_expiry(source)
        if source.waiters:
            self._broker.wake_one(source)

    def _discard(self, queue: str, message: dict[str, Any], reason: str) -> None:
        source = self._queues.get(queue)
        if source is not None and source.gave(message):
            super()._discard(queue, message, reason)

    def _due(self, now: float) -> Iterator[tuple[str, dict[str, Any], str]]:
        for event in self._broker.take_due(now):
            queue = event.queue
            if event.message is not None:
                self._put_ready(queue, event.message)
            elif self._queues.get(queue.name) is not queue:
                continue
            # Only what is planned still.
            elif event.kind == "expire" and event.when == queue.planned:
                yield from self._take_expired(queue, now)
            elif event.kind == "idle" and event.when == queue.idle_at:
                self._drop_idle(queue, now)

    def _put_ready(self, queue: MemoryQueue, message: dict[str, Any]) -> None:
        """A delay is over. Whoever notices did not publish the message, so a refusal is logged."""
        if self._queues.get(queue.name) is not queue:
            logger.warning("Delayed message for queue %r is dropped: the queue is gone", queue.name)
            return
        try:
            self._enqueue(queue.name, message)
        except MessageNacked as exc:
            logger.warning("Delayed message for queue %r is dropped: %s", queue.name, exc)
        finally:
            with self.lock:
                queue.delayed -= 1

    def _take_expired(self, queue: MemoryQueue, now: float) -> Iterator[tuple[str, dict[str, Any], str]]:
        queue.planned = None
        while True:
            with self.lock:
                first = queue.first()
                if first is None or first["properties"].get("expires_at", now + 1) > now:
                    self._broker.plan_expiry(queue)
                    return
                message = queue.take()
            yield queue.name, message, "expired"

    def _drop_idle(self, queue: MemoryQueue, now: float) -> None:
        """``x-expires``: the queue goes unless it has been used since, or is being consumed from."""
        spec = self.state.queues.get(queue.name)
        if spec is not None and spec.consumers:
            queue.touched = now
        expires = queue.touched + (queue.policy.expires or 0.0)
        if expires > now:
            self._broker.plan_idle(queue, expires)
        else:
            self._drop_queue(queue.name)

    # -- queues --------------------------------------------------------------------------------------------

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return queue in self._queues

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._broker.declare(queue, time())

    def _size(self, queue: str) -> int:
        found = self._queues.get(queue)
        return len(found) if found is not None else 0

    def _size_bytes(self, queue: str) -> int:
        found = self._queues.get(queue)
        return found.size_bytes if found is not None else 0

    def _size_delayed(self, queue: str) -> int:
        found = self._queues.get(queue)
        return found.delayed if found is not None else 0

    def _purge(self, queue: str) -> int:
        found = self._queues.get(queue)
        if found is None:
            return 0
        size = len(found)
        found.clear()
        return size

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self._broker.delete(queue)

    # -- use of a queue, for x-expires -------------------------------------------------------------------------

    def _touch(self, queue: str) -> None:
        found = self._queues.get(queue)
        if found is not None:
            found.touched = time()

    def _check_queue(self, queue: str, method_sig: tuple[int, int], method: str) -> None:
        super()._check_queue(queue, method_sig, method)
        if method in USES:
            self._touch(queue)

    def _consumer_removed(self, subscription: Subscription) -> None:
        self._touch(subscription.queue)
