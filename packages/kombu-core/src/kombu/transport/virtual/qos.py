"""The ledger of one channel, with the historic names that transports override or call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import PreconditionFailed

from .ledger import Delivery, Ledger

if TYPE_CHECKING:
    from .channel import Channel

__all__ = ("QoS",)


class QoS(Ledger):
    """Unsettled deliveries of a channel and its prefetch limit.

    A transport that settles in a way of its own subclasses it, names it in ``Channel.QoS`` and overrides ``ack`` or
    ``reject``; the channel settles through these two only.
    """

    #: Whether unsettled messages go back to their queues when the channel closes.
    restore_at_shutdown = True

    def __init__(self, channel: Channel, prefetch_count: int = 0) -> None:
        super().__init__(prefetch_count or 0)
        self.channel = channel

    @property
    def prefetch_count(self) -> int:
        return self.limit

    @prefetch_count.setter
    def prefetch_count(self, count: int) -> None:
        self.limit = count or 0

    def can_consume(self) -> bool:
        """Whether the channel's limit leaves room for one more delivery."""
        return not self.limit or self.outstanding < self.limit

    def can_consume_max_estimate(self) -> int | None:
        """How many more deliveries the channel's limit leaves room for; None is no limit."""
        return max(self.limit - self.outstanding, 0) if self.limit else None

    def append(self, message: Any, delivery_tag: int) -> None:
        """Note a delivery that did not come through the channel's own consumers."""
        queue = (
            (message.delivery_info or {}).get("queue")
            or (message.delivery_info or {}).get("routing_key")
            or ""
        )
        self.add(delivery_tag, queue, message._raw, None)

    def get(self, delivery_tag: int) -> Any:
        """The unsettled message with this tag; :exc:`KeyError` when there is none."""
        return self.channel.Message(self.unacked[delivery_tag][1], channel=self.channel)

    def take(self, delivery_tag: int) -> Delivery:
        """Settle the delivery here, to be settled at the backend next.

        Raises:
            PreconditionFailed: no unsettled delivery has this tag (AMQP 0-9-1: 406).
        """
        delivery = self.settle(delivery_tag)
        if delivery is None:
            text = f"PRECONDITION_FAILED - unknown delivery tag {delivery_tag}"
            raise PreconditionFailed(text, (60, 80), "Basic.ack")
        return delivery

    def ack(self, delivery_tag: int) -> None:
        """The message is done with."""
        queue, message, _ = self.settle(delivery_tag) or self.take(delivery_tag)
        self.channel._ack(queue, message)

    def reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Give the message back to its queue, or hand it to the dead-letter exchange."""
        queue, message, _ = self.take(delivery_tag)
        if requeue:
            self.channel._return(queue, message)
            self.channel._returned(queue)
        else:
            self.channel._discard(queue, message, "rejected")

    def restore_unacked(self) -> None:
        """Give everything unsettled back, so that the oldest comes first again."""
        queues: dict[str, None] = {}
        for tag in reversed(list(self.unacked)):
            delivery = self.settle(tag)
            if delivery is not None:
                self.channel._return(delivery[0], delivery[1])
                queues[delivery[0]] = None
        for queue in queues:
            self.channel._returned(queue)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """As :meth:`restore_unacked`, when the channel closes, unless the channel is told not to."""
        if self.restore_at_shutdown and self.channel.do_restore:
            self.restore_unacked()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Give back what other consumers left behind; for backends with leases."""
