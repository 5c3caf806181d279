"""The transport ``sqs://``."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from kombu import exceptions
from kombu.log import get_logger
from kombu.transport import virtual
from kombu.utils.deadline import grace_scope

from .channel import Channel
from .options import read
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.transport.virtual.ledger import Subscription

__all__ = ("Transport",)

logger = get_logger(__name__)

#: Seconds that closing a connection may take at the end of the program.
CLOSE_TIMEOUT = 5.0
#: Messages that are delivered before the event loop has a turn again.
TURN = 100


class Transport(virtual.Transport):
    """One connection to SQS. The capability ``fanout`` comes with the option ``supports_fanout``."""

    Channel = Channel

    driver_type = "sqs"
    driver_name = "sqs"
    default_port = None
    wait_time_seconds = 1

    connection_errors = (exceptions.ConnectionError, BotoCoreError, OSError)
    channel_errors = (exceptions.ChannelError, ClientError)

    implements = virtual.Transport.implements.extend(
        asynchronous=True,
        auto_delete=True,
        batch_publish=True,
        consumer_cancel_notify=True,
        dead_letter=True,
        delay=True,
        exchange_type=frozenset({"direct", "topic", "headers"}),
        exclusive=True,
        mandatory=True,
        message_ttl=True,
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        options = read(client)
        timeout = getattr(client, "connect_timeout", None)
        self.session = Session(options, timeout, self._queue_gone, self._has_room)
        super().__init__(client, **kwargs)
        self.lock = self.session.broker.lock
        self.polling_interval = options.idle_pause
        self._evented = False
        #: The event loop, and the descriptor it watches.
        self._watched: tuple[Any, int] | None = None
        #: Queues that cannot be deleted any more are left.
        self.closing = False
        if options.supports_fanout:
            self.implements = self.implements.extend(
                exchange_type=frozenset({"direct", "fanout", "headers", "topic"})
            )

    @property
    def global_state(self) -> virtual.BrokerState:
        """The topology, shared by the connections of this process to the same account and region."""
        return self.session.broker.state

    def driver_version(self) -> str:
        """The version of boto3."""
        return str(boto3.__version__)

    @property
    def recoverable_channel_errors(self) -> tuple[type[BaseException], ...]:
        """Throttling and refused credentials may pass."""
        return (exceptions.RecoverableChannelError,)

    @property
    def recoverable_connection_errors(self) -> tuple[type[BaseException], ...]:
        """The errors that trying again may cure."""
        return (exceptions.RecoverableConnectionError, BotoCoreError, OSError)

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {"port": self.default_port}

    # -- connecting ----------------------------------------------------------------------------------------

    def establish_connection(self) -> Transport:
        """Make the client; the first request says whether AWS is there."""
        self.session.clients.get("sqs", None, self.session.options.request_timeout)
        _open.add(self)
        return self

    def close_connection(self, connection: Any) -> None:
        """Close all channels: what is done with is deleted, all else goes back to its queue."""
        _open.discard(self)
        self.closing = True
        self.unregister_from_event_loop(connection, None)
        self.session.begin_stop()
        try:
            super().close_connection(connection)
        finally:
            self.session.close()
            _draining[:] = [session for session in (*_draining, self.session) if not session.drain(0)]

    def inherited_fds(self, *objects: Any) -> list[int]:
        """The descriptor that a forked child must not use."""
        return [self.session.pump.fileno()]

    def verify_connection(self, connection: Any) -> bool:
        """Whether it is open; each request is one by itself."""
        return not self.session.clients.closing.is_set()

    # -- delivering ----------------------------------------------------------------------------------------

    def consumes_from(self, queue: str) -> bool:
        """Whether the queue has a consumer on this connection."""
        return any(subscription.queue == queue for subscription in self._subscriptions)

    def _has_room(self, queue: str) -> bool:
        """Whether a consumer of the queue may have a message."""
        return any(
            subscription.queue == queue and subscription.channel.has_room(subscription)
            for subscription in self._subscriptions
        )

    def _ready(self) -> bool:
        """Whether there is something to deliver; where there is room and nothing to deliver, it is fetched."""
        ready = False
        for subscription in self._subscriptions:
            channel = subscription.channel
            if subscription.cancelled:
                ready = True
            elif channel.has_room(subscription):
                room = channel.qos.budget(subscription)
                limit = channel.fetch_size if room is None else min(room, channel.fetch_size)
                ready = self.session.pump.prime(subscription.queue, limit) or ready
        return ready

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """Deliver one message; an event loop that has this connection delivers the rest."""
        try:
            super().drain_events(connection, timeout, **kwargs)
        finally:
            if self._evented and self._ready():
                self.wake()

    def wait(self, timeout: float | None) -> None:
        """Sleep until a message comes, or another thread calls :meth:`wake`."""
        if self.session.clients.closing.is_set():
            raise exceptions.RecoverableConnectionError("the connection is closed: connect again")
        self.sleeping = True
        try:
            # (looked at after saying so, since another thread may just have made room)
            if not self._ready():
                self.session.pump.wait(timeout)
        except ValueError as exc:  # another thread closes it
            raise exceptions.RecoverableConnectionError("the connection was closed: connect again") from exc
        finally:
            self.sleeping = self._evented

    def wake(self) -> None:
        self.session.pump.notify()

    def subscribe(self, subscription: Subscription) -> None:
        """The consumer takes its turn from now on."""
        super().subscribe(subscription)
        self.wake()

    def _queue_gone(self, queue: str) -> None:
        """SQS has the queue no more: its consumers are told."""
        for subscription in self._subscriptions:
            if subscription.queue == queue:
                subscription.cancelled = True
        self.wake()

    # -- in an event loop ----------------------------------------------------------------------------------

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the loop watch the descriptor of the fetching threads, until the connection closes."""
        self._watched = loop, self.session.pump.fileno()
        loop.add_reader(self._watched[1], self.on_readable, connection, loop)
        self._evented = self.sleeping = True
        self.wake()

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Take it out again; nothing happens when it is not there."""
        self._evented = self.sleeping = False
        if self._watched is not None:
            watcher, descriptor = self._watched
            self._watched = None
            watcher.remove_reader(descriptor)

    def _make_reader(self, connection: Any) -> Callable[[Any], None]:
        def read(loop: Any) -> None:
            self.session.pump.clear()
            self.sleeping = False
            try:
                for _ in range(TURN):
                    if not self._deliver_next():
                        break
            finally:
                self.sleeping = self._evented
            if self._ready():
                self.wake()

        return read


#: Connections that are open: what they hold goes back when the program ends without closing them.
_open: WeakSet[Transport] = WeakSet()


#: What is left of closed ones: receives that still wait at the server.
_draining: list[Session] = []


@atexit.register
def _close_all() -> None:
    for transport in list(_open):
        if transport.session.pid == os.getpid():
            try:
                with grace_scope(CLOSE_TIMEOUT):
                    transport.close_connection(transport)
            except Exception as exc:
                logger.warning("While closing at the end of the program: %s", exc)
    for session in _draining:
        if session.pid == os.getpid():
            session.drain()
