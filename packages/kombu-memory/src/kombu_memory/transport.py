"""The transport ``memory://``: a connection to a broker in this process."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from kombu.transport import virtual

from .broker import Broker, Waiter, get_broker
from .channel import Channel

if TYPE_CHECKING:
    from kombu.transport.virtual.ledger import Subscription

__all__ = ("Transport",)


class Transport(virtual.Transport):
    """One connection to the broker that its URL names: ``memory://``, ``memory://name``, ``memory://name/vhost``."""

    Channel = Channel

    driver_type = "memory"
    driver_name = "memory"
    implements = virtual.Transport.implements.extend(
        auto_delete=True,
        consumer_cancel_notify=True,
        dead_letter=True,
        delay=True,
        exclusive=True,
        mandatory=True,
        max_length=True,
        message_ttl=True,
        priority=True,
        queue_expires=True,
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.broker: Broker = get_broker(_broker_name(client))
        super().__init__(client, **kwargs)
        self.lock = self.broker.lock
        self.schedule = self.broker.schedule
        self._waiter: Waiter | None = None
        self._woken = False

    @property
    def global_state(self) -> virtual.BrokerState:
        """The topology, shared by the connections to this broker."""
        return self.broker.state

    def driver_version(self) -> str:
        return "N/A"

    def wait(self, timeout: float | None) -> None:
        """Sleep until a message comes for one of this connection's consumers, or something is due."""
        broker = self.broker
        # From here on a settlement in another thread wakes this one; the room it made before is seen below.
        self._woken, self.sleeping = False, True
        queues = [
            broker.queues[subscription.queue]
            for subscription in self._subscriptions
            if subscription.queue in broker.queues and subscription.channel.has_room(subscription)
        ]
        waiter = self._waiter = Waiter()
        try:
            if broker.enter(waiter, queues) or self._woken or self._cancelled():
                return
            schedule = broker.schedule
            if schedule:
                until_due = max(0.0, schedule[0].when - time())
                timeout = until_due if timeout is None else min(timeout, until_due)
            waiter.lock.acquire(timeout=-1 if timeout is None else timeout)
        finally:
            self.sleeping = False
            self._waiter = None
            broker.leave(waiter, queues)

    def _cancelled(self) -> bool:
        return any(subscription.cancelled for subscription in self._subscriptions)

    def waited(self) -> None:
        """Several messages may have come while one connection was woken: wake another for what is left."""
        for subscription in self._subscriptions:
            queue = self.broker.queues.get(subscription.queue)
            if queue is not None and queue.waiters and len(queue):
                self.broker.wake_one(queue)

    def unsubscribe(self, subscription: Subscription) -> None:
        """The consumer is out; a message that woke this connection for it goes to another one."""
        super().unsubscribe(subscription)
        self.wake()
        queue = self.broker.queues.get(subscription.queue)
        if queue is not None and queue.waiters and len(queue):
            self.broker.wake_one(queue)

    def wake(self) -> None:
        self._woken = True
        waiter = self._waiter
        if waiter is not None:
            self.broker.release(waiter)


def _broker_name(client: Any) -> str:
    """The name of the broker a connection means: host, port and virtual host, where they are not the defaults."""
    host = getattr(client, "hostname", None) or "localhost"
    port = getattr(client, "port", None)
    vhost = (getattr(client, "virtual_host", None) or "/").strip("/")
    return "".join((host, f":{port}" if port else "", f"/{vhost}" if vhost else ""))
