"""Which deliveries are not acknowledged yet, and how many more a consumer may have. Pure: no I/O, no clock.

Rules: AMQP 0-9-1 ``basic.qos`` (0 is no limit), ``basic.ack`` (``multiple``: up to and including the tag; tag 0:
all), and RabbitMQ's reading of ``basic.qos``: with ``global`` the limit is the channel's, without it each
consumer's.
"""

from __future__ import annotations

from typing import Any

__all__ = ("Delivery", "Ledger", "Subscription")


class Subscription:
    """One consumer: a tag that receives from a queue."""

    __slots__ = (
        "callback",
        "cancelled",
        "channel",
        "exclusive",
        "fetched",
        "limit",
        "no_ack",
        "on_cancel",
        "queue",
        "tag",
        "unacked",
    )

    def __init__(
        self,
        tag: str,
        queue: str,
        callback: Any = None,
        *,
        channel: Any = None,
        no_ack: bool = False,
        exclusive: bool = False,
        limit: int = 0,
        on_cancel: Any = None,
    ) -> None:
        self.tag = tag
        self.queue = queue
        self.callback = callback
        self.channel = channel
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.limit = limit
        self.on_cancel = on_cancel
        #: Deliveries to this consumer that are not settled.
        self.unacked = 0
        #: Messages taken from the queue ahead of delivery, the next one last.
        self.fetched: list[Any] = []
        #: The broker cancelled it (its queue was deleted).
        self.cancelled = False

    def cancel(self) -> None:
        """Its queue is gone: whoever drains its connection tells the program so."""
        self.cancelled = True
        self.channel.connection.wake()


#: One message handed to the application: its queue, its envelope, and its consumer (None for ``basic_get``).
Delivery = tuple[str, Any, "Subscription | None"]


class Ledger:
    """The deliveries of one channel that are not settled, in the order of delivery."""

    def __init__(self, limit: int = 0) -> None:
        #: The channel's prefetch limit; 0 is none.
        self.limit = limit
        #: Deliveries to consumers (not by ``basic_get``) that are not settled.
        self.outstanding = 0
        self.unacked: dict[int, Delivery] = {}

    def add(self, tag: int, queue: str, message: Any, subscription: Subscription | None) -> None:
        """A message was delivered and has to be settled."""
        self.unacked[tag] = (queue, message, subscription)
        if subscription is not None:
            subscription.unacked += 1
            self.outstanding += 1

    def settle(self, tag: int) -> Delivery | None:
        """The delivery is settled; None when the tag is unknown or was settled already."""
        delivery = self.unacked.pop(tag, None)
        if delivery is not None:
            subscription = delivery[2]
            if subscription is not None:
                subscription.unacked -= 1
                self.outstanding -= 1
        return delivery

    def tags_up_to(self, tag: int) -> list[int]:
        """The unsettled tags up to and including ``tag``, oldest first; 0 means all of them."""
        return [known for known in list(self.unacked) if tag == 0 or known <= tag]

    def budget(self, subscription: Subscription) -> int | None:
        """How many more deliveries the consumer may have now; None is no limit."""
        if subscription.no_ack:
            return None
        room = subscription.limit - subscription.unacked if subscription.limit else None
        if self.limit:
            left = self.limit - self.outstanding
            room = left if room is None or left < room else room
        return 0 if room is not None and room < 0 else room
