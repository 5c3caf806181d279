"""A connection of a virtual transport: its channels, and the loop that delivers to their consumers."""

from __future__ import annotations

from itertools import count
from queue import Empty
from threading import RLock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.exceptions import ChannelError, ConnectionError, ResourceError
from kombu.log import get_logger
from kombu.transport import base
from kombu.utils import deadline
from kombu.utils.scheduling import FairCycle

from .channel import Channel as _Channel
from .exchange import BrokerState
from .notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ledger import Subscription

__all__ = ("Management", "Transport")

logger = get_logger(__name__)


class Management(base.Management):
    """Lists the bindings that the transport knows of."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.channel = transport.client.channel()

    def get_bindings(self) -> list[dict[str, Any]]:
        """One dictionary a binding: destination, source, routing_key."""
        return [
            {"destination": queue, "source": exchange, "routing_key": key}
            for queue, exchange, key in self.channel.list_bindings()
        ]

    def close(self) -> None:
        """Close the channel it asks on."""
        self.channel.close()


class Transport(base.Transport):
    """One connection, which is the transport object itself.

    A subclass names its ``Channel``, declares what it ``implements``, and overrides :meth:`wait` if it can wait for a
    message instead of looking again every ``polling_interval`` seconds.
    """

    Channel: ClassVar[type[Any]] = _Channel
    Cycle: ClassVar[type[Any]] = FairCycle
    Management = Management

    #: What two hooks are enough for. The rest takes more of them (``_has_queue``, ``_due``, ``_size_bytes``, a state
    #: that is shared, ...) and is claimed by the transport that has them.
    implements = base.Capabilities(
        alternate_exchange=True,
        confirm=True,
        consumer_prefetch=True,
        delivery_count=True,
        delivery_limit=True,
        exchange_bind=True,
    )
    connection_errors: tuple[type[BaseException], ...] = (ConnectionError,)
    channel_errors: tuple[type[BaseException], ...] = (ChannelError,)

    #: Seconds between two looks at empty queues; None: look again at once.
    polling_interval: float | None = 1.0
    channel_max = 65535
    #: Falsy when there is nothing for ``Channel._due`` to do, as in a transport without a clock of its own.
    schedule: Any = ()
    #: True while :meth:`wait` sleeps and :meth:`wake` can end it.
    sleeping = False

    #: The open channels.
    channels: list[_Channel]

    if not TYPE_CHECKING:  # set by the constructor; named here for who lists the contract
        channels = state = None

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.channels = []
        self._channel_ids = count(1)
        self.lock: Any = RLock()
        self.state: BrokerState = getattr(self, "global_state", None) or BrokerState()
        self._subscriptions: list[Subscription] = []
        self._turn = 0
        #: When to warn that messages for an exchange and a key are dropped.
        self.unroutable = Notices()
        options = getattr(client, "transport_options", None) or {}
        if "polling_interval" in options:
            self.polling_interval = options["polling_interval"]

    # -- connection and channels ---------------------------------------------------------------------------

    def establish_connection(self) -> Transport:
        """Nothing to connect to: the transport is its own connection."""
        return self

    def close_connection(self, connection: Any) -> None:
        """Close all channels; exclusive queues of this connection go away."""
        for channel in list(self.channels):
            channel.close()
        self._drop_exclusive_queues()

    def _drop_exclusive_queues(self) -> None:
        with self.lock:
            mine = [spec.name for spec in list(self.state.queues.values()) if spec.owner is self]
            if mine:
                with self.create_channel(self) as channel:
                    for name in mine:
                        channel._drop_queue(name)

    def create_channel(self, connection: Any) -> _Channel:
        """Open a channel; :exc:`ResourceError` when there are ``channel_max`` already."""
        if len(self.channels) >= self.channel_max:
            raise ResourceError(f"no free channel: {self.channel_max} are open", (20, 10), "Channel.open")
        channel: _Channel = self.Channel(self)
        channel.channel_id = next(self._channel_ids)
        self.channels.append(channel)
        return channel

    def channel(self) -> _Channel:
        """Open a channel; by the name it has on an AMQP connection, which this object stands for."""
        return self.create_channel(self)

    def close_channel(self, channel: Any) -> None:
        """Close the channel."""
        channel.close()

    def forget_channel(self, channel: _Channel) -> None:
        """The channel is closing."""
        if channel in self.channels:
            self.channels.remove(channel)

    # -- delivering ----------------------------------------------------------------------------------------

    def subscribe(self, subscription: Subscription) -> None:
        """The consumer takes its turn from now on."""
        self._subscriptions = [*self._subscriptions, subscription]

    def unsubscribe(self, subscription: Subscription) -> None:
        """The consumer is out."""
        self._subscriptions = [known for known in self._subscriptions if known is not subscription]

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver one message, or one cancellation, to a consumer; they take turns.

        Raises:
            TimeoutError: nothing came within ``timeout`` seconds (None: wait as long as the deadline in force
                allows, or for ever).
        """
        if self._deliver_next():
            return
        end = None if timeout is None else monotonic() + timeout
        while True:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"no message within {timeout:g} s")
            self.wait(deadline.remaining(left))
            if self._deliver_next(waited=True):
                return

    def _deliver_next(self, waited: bool = False) -> bool:
        """Give the consumers their turns until one gets something, as long as there is anything to be had."""
        if self.schedule and self.channels:
            self.channels[0]._settle_due()
        while not self._deliver_one(waited):
            if not self.fetch():
                return False
        return True

    def _deliver_one(self, waited: bool) -> bool:
        """Give each consumer its turn, until one gets something that is at hand."""
        subscriptions = self._subscriptions
        turn = self._turn
        for _ in subscriptions:
            if turn >= len(subscriptions):
                turn = 0
            subscription = subscriptions[turn]
            turn += 1
            channel = subscription.channel
            if subscription.cancelled:
                channel.cancelled_by_broker(subscription)
                return True
            message = channel.take(subscription)
            if message is not None:
                self._turn = turn
                if waited:
                    self.waited()
                channel.deliver(subscription, message)
                return True
        return False

    def fetch(self) -> bool:
        """Bring messages to the consumers' ``fetched`` in one go; whether there are any now.

        Called when no consumer got one. Default: each consumer's ``Channel.take`` asks for itself.
        """
        return False

    def wait(self, timeout: float | None) -> None:
        """Return when there may be a message, after ``timeout`` seconds at the latest (None: no limit).

        Default: sleep ``polling_interval``. Returning early for no reason is allowed.
        """
        pause = self.polling_interval or 0.0
        sleep(pause if timeout is None else min(pause, timeout))

    def waited(self) -> None:
        """A message was taken after a wait, and is about to be delivered: others may be woken for what is left."""

    def wake(self) -> None:
        """End the wait of this connection, from another thread: something changed, such as room for a delivery."""

    def _deliver(self, message: dict[str, Any], queue: str) -> None:
        """Deliver a message that the backend pushed, to the next consumer of the queue; else put it back."""
        for subscription in self._subscriptions:
            if subscription.queue == queue:
                self.unsubscribe(subscription)
                self.subscribe(subscription)
                subscription.channel.deliver(subscription, message)
                return
        self._reject_inbound_message(message, queue)

    def _reject_inbound_message(self, message: dict[str, Any], queue: str) -> None:
        """Nobody consumes from the queue any more: the message goes back."""
        for channel in self.channels:
            logger.warning("Message for queue %r has no consumer here and goes back", queue)
            channel._requeue(queue, message)
            return

    def on_message_ready(self, channel: _Channel, message: dict[str, Any], queue: str) -> None:
        """A backend hands in a message it received for ``queue``."""
        self._deliver(message, queue)

    @property
    def cycle(self) -> Any:
        """The channels in turn, each asked to deliver one message."""
        return self.Cycle(self._drain_channel, self.channels, Empty)

    @staticmethod
    def _drain_channel(channel: _Channel, callback: Callable[..., Any], timeout: float | None = None) -> None:
        channel.drain_events(callback=callback, timeout=timeout)

    # -- facts ---------------------------------------------------------------------------------------------

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """False: as with RabbitMQ, only ``apply_global`` limits a channel as a whole."""
        return False

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {"port": self.default_port, "hostname": "localhost"}
