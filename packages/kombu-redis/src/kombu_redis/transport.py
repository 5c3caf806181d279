"""A connection to Redis: its sockets, what it holds, and the loop that brings messages to its consumers."""

from __future__ import annotations

from os import getpid
from typing import TYPE_CHECKING, Any, ClassVar

import redis

from kombu.log import get_logger
from kombu.transport import virtual
from kombu.utils import json
from kombu.utils.deadline import grace_scope
from kombu.utils.scheduling import cycle_by_name
from kombu.utils.uuid import uuid

from .address import Address
from .ahead import Ahead, rooms_of
from .calls import MOST
from .channel import Channel
from .client import Client
from .directory import Directory
from .enlisting import Roll
from .envelope import read_envelope
from .errors import get_redis_error_classes
from .fanout import Broadcasts
from .holding import Found, Holding
from .keeper import Keeper
from .keys import Keys
from .looping import Parts, share_out
from .lulls import Lulls
from .options import Options
from .pulling import Pulls
from .replies import ERRORS
from .store import Store
from .sweep import Sweep
from .waiting import Waiter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu.transport.virtual.ledger import Subscription

__all__ = ("Transport",)

logger = get_logger(__name__)

#: Seconds that closing may take when the server does not answer.
CLOSING = 2.0


class Transport(Holding):
    """``redis://``, ``rediss://``, ``redis+socket://``, ``valkey://``, ``valkeys://``.

    The object is the connection. Threads may publish and settle on it at the same time; one at a time drains it.
    """

    Channel: ClassVar[type[Channel]] = Channel
    #: What a connection is made of; a cluster has its own.
    parts: ClassVar[Parts] = Parts(Keys, Store, Directory, Broadcasts, Waiter, Sweep)

    driver_type = "redis"
    driver_name = "redis"
    default_port = 6379
    supports_batch_publish = True
    connection_errors, channel_errors = get_redis_error_classes()
    #: There is always something that time may bring about: see :class:`.sweep.Sweep`.
    schedule = (Sweep,)

    #: Whether a connection is entered with its queues when they are many, see :mod:`.enlisting`.
    enlists = True

    implements = virtual.Transport.implements.extend(
        asynchronous=True,
        auto_delete=True,
        batch_publish=True,
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
        super().__init__(client, **kwargs)
        self.options = Options.parse(client.transport_options, client=client)
        self.address = self._address(client)
        #: Seconds after which a silent server counts as gone.
        self.patience = self.options.socket_timeout
        #: Names this connection among all: its consumers, exclusive queues and leases.
        self.identity = uuid()
        parts = self.parts
        self.keys: Keys = parts.keys(self.options, self.address.db)
        self.server = self.open_client()
        self.lock = self.server.lock
        self.store: Store = parts.store(self.server, self.keys, self.options)
        self.directory: Directory = parts.directory(
            self.server, self.keys, self.options, self.state, self.identity
        )
        self.directory.owner = self
        self.prefix = f"{self.identity}."
        self.number = 1
        strategy = self.options.queue_order_strategy
        #: The order of the queues, unless they take turns.
        self._cycle = None if strategy == "round_robin" else cycle_by_name(strategy)()
        self.broadcasts: Broadcasts = parts.broadcasts(self)
        self.pulls = Pulls(self)
        self.lulls = Lulls()
        self.roll = Roll(self)
        self.waiter: Waiter = parts.waiter(self, self.broadcasts)
        self.keeper = Keeper(self)
        self.sweep: Sweep = parts.sweep(self)
        self.ahead = Ahead(self)
        #: The caller does not wait for messages, and does not say when it comes again.
        self._polls = False
        self._pid = getpid()

    def _address(self, client: Any) -> Address:
        return Address.from_client(client)

    def open_client(self, use: str = "") -> Client:
        """One more socket to the same server, not connected yet; ``use`` is added to its ``client_name``."""
        name = self.options.client_name
        return Client(self.address, self.options, f"{name}-{use}" if name and use else name)

    # -- connection ----------------------------------------------------------------------------------------

    def establish_connection(self) -> Transport:
        """Connect: what is wrong with the address or the password is said here."""
        self.server.connect()
        return self

    def close_connection(self, connection: Any) -> None:
        """Close all channels, giving back what they hold, and the sockets.

        A connection that was lost is made again for that, if that can be done soon.
        """
        if self.is_inherited:
            return
        with grace_scope(CLOSING):
            try:
                if self.server.connected or self.held or self.directory.occupies:
                    super().close_connection(connection)
                    self.store.flush()
            except self.connection_errors as exc:
                logger.warning("Closing without giving everything back: %s. It comes back by itself.", exc)
            finally:
                self.let_go()

    def let_go(self) -> None:
        """Close the sockets and stop renewing; what is held comes back when its lease ends."""
        if self._loop is not None:
            self.unregister_from_event_loop(self, self._loop)
        self.keeper.stop()
        self.ahead.forget()
        self.held.clear()
        for channel in list(self.channels):
            channel.closed = True
        self.channels.clear()
        self.roll.close()
        self.waiter.close()
        self.broadcasts.close()
        self.server.close()
        self.server.end()

    def verify_connection(self, connection: Any) -> bool:
        """Whether the connection is open, as far as is known."""
        return bool(self.server.connected)

    def driver_version(self) -> str:
        return str(redis.__version__)

    @property
    def consumers(self) -> list[Subscription]:
        """This connection's consumers."""
        return self._subscriptions

    # -- messages to consumers -----------------------------------------------------------------------------

    def decode(self, payload: bytes | str) -> dict[str, Any]:
        """The envelope that a payload is; :exc:`ValueError` when it is none."""
        try:
            return read_envelope(json.loads(payload))
        except ERRORS as exc:
            raise ValueError(str(exc)) from exc

    def subscribe(self, subscription: Subscription) -> None:
        """The consumer has its turn from now on."""
        with self.lock:
            super().subscribe(subscription)
            self._consumers_changed()
            self.lulls.over(subscription.queue)
        self.wake()

    def unsubscribe(self, subscription: Subscription) -> None:
        """The consumer is out."""
        with self.lock:
            super().unsubscribe(subscription)
            self._consumers_changed()
            if self.ahead.leave(subscription):
                self.wake()

    @property
    def takes_turns(self) -> bool:
        """Whether the queues do; else it has to be seen for each message which one comes next."""
        return self._cycle is None

    def _consumers_changed(self) -> None:
        if self._cycle is not None:
            self._cycle.update(dict.fromkeys(known.queue for known in self._subscriptions))

    def _deliver_next(self, waited: bool = False) -> bool:
        if self._cycle is not None:
            with self.lock:
                self._put_in_order(self._cycle)
        return super()._deliver_next(waited)

    def _deliver_one(self, waited: bool) -> bool:
        return self._seek() and super()._deliver_one(waited)

    def _seek(self) -> bool:
        """Give the turn to the next consumer that something is at hand for; whether there is one."""
        broadcasts, known = self.broadcasts.waiting, self._subscriptions
        if not (self.at_hand or (broadcasts and any(broadcasts.values()))):
            return False
        self.at_hand = False  # before it is looked at: another thread may bring something
        found = [
            at
            for at, each in enumerate(known)
            if each.fetched or each.cancelled or (broadcasts and broadcasts.get(each.queue))
        ]
        if not found:
            return False
        self.at_hand = True
        self._turn = next((at for at in found if at >= self._turn), found[0])
        return True

    def _put_in_order(self, cycle: Any) -> None:
        known = self._subscriptions
        if 0 < self._turn <= len(known):
            cycle.rotate(known[self._turn - 1].queue)
        order = {queue: place for place, queue in enumerate(cycle.consume(len(known)))}
        self._subscriptions = sorted(known, key=lambda subscription: order[subscription.queue])
        self._turn = 0

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """As on any virtual transport. Who does not wait at all (0 seconds) has all queues looked at."""
        self._polls = timeout is not None and timeout <= 0
        if self._polls:
            self.lulls.clear()
        super().drain_events(connection, timeout, **kwargs)

    def fetch(self) -> bool:
        """Claim messages for all consumers that have room, in one round trip; read broadcasts now and then."""
        heard = self.broadcasts.look()
        self.idle = True  # until something is found, or another thread calls wake()
        self.roll.prepare()
        self._see_to_tokens()
        self.lulls.begin(self.waiter.is_listening)
        found = self.ahead.collect() or self._look()
        if not found and self.roll.expects:
            self.roll.expects = False
            found = self._look()
        if found:
            self.idle = False
        self.roll.looked(found)
        return heard or found

    def _look(self) -> bool:
        """Claim what there is room for, of queues that may have something."""
        everybody: list[tuple[Subscription, int]] = []
        limited: dict[Any, list[tuple[Subscription, int]]] = {}
        found, roll = False, self.roll
        enters = roll.is_used and not roll.expects
        if enters:
            self.lulls.empty -= roll.missing
        known, turn, empty = self._subscriptions, self._turn, self.lulls.empty
        for each in (*known[turn:], *known[:turn]):
            channel = each.channel
            if each.queue not in empty and (room := channel.room(each)) > 0:
                wanting = limited.setdefault(channel, []) if channel.qos.limit else everybody
                wanting.append((each, room))
        if enters and (everybody or limited):
            roll.enter(each.queue for wanting in (everybody, *limited.values()) for each, _ in wanting)
            if not self._polls:
                roll.sleep(along=True)
        for wanting in limited.values():
            # (its consumers share the room, so it cannot be given to each before it is known who has messages)
            found |= self._claim(wanting, wanting[0][1])
        if everybody:
            found |= self._claim(everybody, alone=not found)
        return found

    def _claim(
        self, wanting: list[tuple[Subscription, int]], limit: int = MOST, alone: bool = False
    ) -> bool:
        rooms = rooms_of(wanting)
        if self._cycle is not None:
            limit = 1  # the next one is of the first queue that has any by then
        # Only when its message is not going to wait behind others.
        no_ack = alone and len(rooms) == 1 and all(taker.no_ack for taker, _ in wanting)
        found = self.take_from(rooms, limit, no_ack)
        if self.takes_turns:
            self.lulls.note(found, limit)
        if self.lulls.whole:
            self.roll.doubt(queue for queue, messages in found.items() if messages)
        return self.hand_out(found, wanting)

    def hand_out(self, found: Found, wanting: list[tuple[Subscription, int]]) -> bool:
        """Messages by queue (None: it is gone) to the consumers that they were claimed for; whether there are any."""
        any_ = False
        for queue, messages in found.items():
            if messages == []:
                continue
            any_ = True
            takers = [(taker, room) for taker, room in wanting if taker.queue == queue]
            if messages is None:
                for taker, _ in takers:
                    taker.cancel()
            else:
                share_out(messages, takers)
                self.ahead.note(messages, takers)
                for taker, _ in takers:
                    if taker not in self._subscriptions:  # cancelled meanwhile by another thread
                        taker.channel._unfetch(taker)
        if any_:
            self.at_hand = True
        return any_

    def wait(self, timeout: float | None) -> None:
        """Sleep until a message, a broadcast or :meth:`wake` comes; see :mod:`.waiting`."""
        self.sleeping = True
        try:
            self.waiter.ask(self._wanted())
            self.waiter.read(self.waiter.sleep(timeout))
            self._note()
        finally:
            self.sleeping = False

    def _wanted(self) -> Iterator[str]:
        """The queues that a consumer with room reads."""
        free = {channel for channel in self.channels if channel._flowing and not channel.qos.limit}
        for each in self._subscriptions:
            idle = not (each.unacked or each.fetched or each.channel not in free)
            if idle or each.channel.room(each) > 0:
                yield each.queue

    def _note(self) -> None:
        """All tokens until now were listened for."""
        self.lulls.heard()
        self._see_to_tokens()

    def _see_to_tokens(self) -> None:
        """Tokens were taken: when nobody here has room for such a queue, somebody else gets it."""
        for queue in self.waiter.tokens():
            self.lulls.over(queue)
            if not any(each.queue == queue and each.channel.room(each) > 0 for each in self._subscriptions):
                self.store.pass_on(self.keys.wake(queue))

    # -- fork ------------------------------------------------------------------------------------------------

    def inherited_fds(self, *objects: Any) -> list[int]:
        """The descriptors that a forked child must not use: sockets, and the pipe that wakes the parent."""
        clients = [self.server, *self.broadcasts.clients(), *self.waiter.clients()]
        sockets = [client.fileno() for client in clients if client.connected]
        return [*sockets, *self.waiter.pipe]

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a child of the one that made the connection: what it holds is the parent's."""
        return getpid() != self._pid
