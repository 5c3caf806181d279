"""The way of a message from a queue to a consumer of a virtual channel, and back or out (settling)."""

from __future__ import annotations

from queue import Empty
from time import time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import AccessRefused, ChannelError, ConsumerCancelled, PreconditionFailed
from kombu.log import get_logger

from . import policy
from .hooks import channel_verb
from .ledger import Subscription
from .policy import PLAIN
from .publish import PublishVerbs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("ConsumeVerbs",)

logger = get_logger(__name__)


class ConsumeVerbs(PublishVerbs):
    """Subscribe, deliver, settle."""

    #: How many messages may be taken from a queue in one go, ahead of delivery; each counts as delivered for the
    #: prefetch limit only when it is. Above 1 it pays where ``_get_many`` saves round trips.
    fetch_size = 1

    #: This channel's consumers by tag.
    _consumers: dict[str, Subscription]
    #: Prefetch limit for each consumer.
    _consumer_limit = 0
    #: False after ``flow(False)``: nothing is delivered.
    _flowing = True
    _next_tag: Callable[[], int]

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Limit unsettled deliveries: of the channel as a whole with ``apply_global``, else of each consumer.

        ``prefetch_count`` 0 is no limit; ``prefetch_size`` (bytes) is not limited. Unlike RabbitMQ, a consumer's
        limit also changes for consumers that exist already.
        """
        if apply_global:
            self.qos.prefetch_count = prefetch_count
        else:
            self._consumer_limit = prefetch_count or 0
            for subscription in self._consumers.values():
                subscription.limit = self._consumer_limit
        self.connection.wake()

    def flow(self, active: bool = True) -> None:
        """Stop deliveries on this channel, or let them go on."""
        self._flowing = active
        self.connection.wake()

    # -- subscribing ---------------------------------------------------------------------------------------

    @channel_verb
    def basic_consume(
        self,
        queue: str,
        no_ack: bool = False,
        callback: Callable[[Any], Any] | None = None,
        consumer_tag: str | None = None,
        exclusive: bool = False,
        on_cancel: Callable[[str], Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> str:
        """Start a consumer; ``callback`` gets each message, ``on_cancel`` the tag if the queue is deleted.

        Returns: the consumer tag, made up when none is given.

        Raises:
            NotFound: no such queue.
            AccessRefused: the tag is taken on this channel, or another consumer is exclusive.
        """
        self._check_open()
        tag = consumer_tag or f"ctag-{self._unique()}"
        with self.lock:
            self._check_queue(queue, (60, 20), "Basic.consume")
            if tag in self._consumers:
                text = f"NOT_ALLOWED - attempt to reuse consumer tag {tag!r}"
                raise PreconditionFailed(text, (60, 20), "Basic.consume", 530)
            spec = self.state.queues.get(queue)
            if spec is not None and spec.consumers and (exclusive or spec.consumers[0].exclusive):
                text = f"ACCESS_REFUSED - queue {queue!r} in vhost {self.state.vhost!r} in exclusive use"
                raise AccessRefused(text, (60, 20), "Basic.consume")
            subscription = Subscription(
                tag,
                queue,
                callback,
                channel=self,
                no_ack=bool(no_ack),
                exclusive=exclusive,
                limit=self._consumer_limit,
                on_cancel=on_cancel,
            )
            if spec is not None:
                spec.consumers.append(subscription)
            self._consumers[tag] = subscription
            if no_ack:
                self.no_ack_consumers = self.no_ack_consumers or set()
                self.no_ack_consumers.add(tag)
            self._consumer_added(subscription)
        self.connection.subscribe(subscription)
        return tag

    def basic_cancel(self, consumer_tag: str, **kwargs: Any) -> None:
        """Stop a consumer. What it has and did not settle stays its own; an unknown tag is no error."""
        subscription = self._consumers.pop(consumer_tag, None)
        if subscription is None:
            return
        self.connection.unsubscribe(subscription)
        if subscription.no_ack and self.no_ack_consumers:
            self.no_ack_consumers.discard(consumer_tag)
        with self.lock:
            self._unfetch(subscription)
            self._consumer_removed(subscription)
            spec = self.state.queues.get(subscription.queue)
            if spec is not None and subscription in spec.consumers:
                spec.consumers.remove(subscription)
                if spec.auto_delete and not spec.consumers:
                    self._drop_queue(subscription.queue)

    def _unfetch(self, subscription: Subscription) -> None:
        """Give back what was fetched ahead, the newest first: each goes to the front of its queue."""
        fetched, subscription.fetched = subscription.fetched, []
        for message in fetched:
            self._release(subscription.queue, message)

    def cancelled_by_broker(self, subscription: Subscription) -> None:
        """The queue is gone: end the consumer and tell its owner.

        Raises:
            ConsumerCancelled: it gave no ``on_cancel``.
        """
        self.basic_cancel(subscription.tag)
        if subscription.on_cancel is None:
            text = f"consumer {subscription.tag!r} was cancelled: queue {subscription.queue!r} is gone"
            raise ConsumerCancelled(text, (60, 30), "Basic.cancel")
        subscription.on_cancel(subscription.tag)

    def has_room(self, subscription: Subscription) -> bool:
        """Whether the consumer may have a message now."""
        return self._flowing and self.qos.budget(subscription) != 0

    # -- delivering ----------------------------------------------------------------------------------------

    def take(self, subscription: Subscription) -> dict[str, Any] | None:
        """The next message for a consumer, if there is one and the limits allow it."""
        qos = self.qos
        if not self._flowing or (
            not subscription.no_ack
            and (
                (qos.limit and not qos.can_consume())
                or (subscription.limit and subscription.unacked >= subscription.limit)
            )
        ):
            return None
        queue = subscription.queue
        try:
            message = self._get(queue) if self.fetch_size == 1 else self._get_fetched(subscription)
            while "expires_at" in message["properties"] and policy.is_expired(message["properties"], time()):
                self._discard(queue, message, "expired")
                message = self._get(queue) if self.fetch_size == 1 else self._get_fetched(subscription)
        except Empty:
            return None
        return message

    def _get_fetched(self, subscription: Subscription) -> dict[str, Any]:
        """The next message, several of which are fetched in one go as far as the limits allow."""
        fetched = subscription.fetched
        if not fetched:
            room = self.qos.budget(subscription)
            limit = self.fetch_size if room is None else min(room, self.fetch_size)
            fetched.extend(reversed(self._get_many(subscription.queue, limit)))
            if not fetched:
                raise Empty
        message: dict[str, Any] = fetched.pop()
        return message

    def deliver(self, subscription: Subscription, message: dict[str, Any]) -> None:
        """Hand a taken message to its consumer."""
        tag = self._next_tag()
        if subscription.no_ack:
            self._ack(subscription.queue, message)
        else:
            self.qos.add(tag, subscription.queue, message, subscription)
            if self.closed:  # by another thread, since the message was taken
                self.qos.restore_unacked_once()
                return
        # After it is accounted for: making the object fails when the body cannot be decoded.
        subscription.callback(self.Message(message, self, tag, subscription.tag))

    def message_to_python(self, raw_message: Any) -> Any:
        """The message object for an envelope; a message object is returned as it is."""
        return (
            raw_message if isinstance(raw_message, self.Message) else self.Message(raw_message, channel=self)
        )

    @channel_verb
    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """The next message of the queue, or None; without ``no_ack`` it has to be settled."""
        self._check_open()
        self._check_queue(queue, (60, 70), "Basic.get")
        self._settle_due()
        try:
            message = self._get(queue)
            while policy.is_expired(message["properties"], time()):
                self._discard(queue, message, "expired")
                message = self._get(queue)
        except Empty:
            return None
        tag = self._next_tag()
        if no_ack:
            self._ack(queue, message)
        else:
            self.qos.add(tag, queue, message, None)
        made = self.Message(message, self, tag)
        made.delivery_info["message_count"] = self._size(queue)
        return made

    def drain_events(self, timeout: float | None = None, callback: Callable[..., Any] | None = None) -> None:
        """Deliver one message to one of this channel's consumers; :exc:`queue.Empty` when there is none."""
        for subscription in list(self._consumers.values()):
            message = self.take(subscription)
            if message is not None:
                self.deliver(subscription, message)
                return
        raise Empty

    def _settle_due(self) -> None:
        """Let time take its effect: what has expired becomes a dead letter, what was delayed is ready."""
        if not self.connection.schedule:
            return
        for queue, message, reason in self._due(time()):
            self._discard(queue, message, reason)

    # -- settling ------------------------------------------------------------------------------------------

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """The delivery is done with; with ``multiple`` all up to and including it are (tag 0: all).

        Raises:
            PreconditionFailed: no unsettled delivery has this tag.
        """
        if self.closed:
            self._check_open()
        try:
            if multiple:
                for tag in self._tags_up_to(delivery_tag):
                    self.qos.ack(tag)
            else:
                self.qos.ack(delivery_tag)
        except ChannelError:
            self.close()
            raise
        if self.connection.sleeping:
            self.connection.wake()

    @channel_verb
    def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """The delivery was not handled: back to its queue, or out (to the dead-letter exchange, if any)."""
        self._check_open()
        self.qos.reject(delivery_tag, requeue=requeue)
        if self.connection.sleeping:
            self.connection.wake()

    def basic_nack(self, delivery_tag: int, multiple: bool = False, requeue: bool = True) -> None:
        """As :meth:`basic_reject`, for several at once with ``multiple`` (RabbitMQ's extension)."""
        tags = self._tags_up_to(delivery_tag) if multiple else [delivery_tag]
        # Back to the front of a queue the newest goes first, to the dead letters the oldest.
        for tag in reversed(tags) if requeue else tags:
            self.basic_reject(tag, requeue=requeue)

    def _tags_up_to(self, delivery_tag: int) -> list[int]:
        """The unsettled tags that ``multiple`` means; an unknown one stands for itself, for the ledger to refuse."""
        tags = self.qos.tags_up_to(delivery_tag)
        return tags if not delivery_tag or delivery_tag in tags else [delivery_tag]

    def basic_recover(self, requeue: bool = False) -> None:
        """Give everything unsettled on this channel back; without ``requeue`` RabbitMQ refuses, here it is the same."""
        self.qos.restore_unacked()
        if self.connection.sleeping:
            self.connection.wake()

    def _return(self, queue: str, message: dict[str, Any]) -> None:
        """A delivered message comes back: to the place it came from, or out if it came back too often."""
        count = policy.count_delivery(message)
        spec = self.state.queues.get(queue)
        rules = spec.policy if spec is not None else PLAIN
        if policy.exceeds_delivery_limit(count, rules):
            self._discard(queue, message, "delivery_limit")
        else:
            self._requeue(queue, message)

    def _returned(self, queue: str) -> None:
        """Messages have come back to a queue, which may be too many for it."""
        spec = self.state.queues.get(queue)
        if spec is not None and spec.policy.limits_length:
            with self.lock:
                self._drop_head(queue, spec.policy)
