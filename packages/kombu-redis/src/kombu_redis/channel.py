"""A channel on Redis: the AMQP verbs over the scripts of :class:`.store.Store` and the topology at the server."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

import redis

from kombu.exceptions import DecodeError, NotFound
from kombu.log import get_logger
from kombu.transport import virtual
from kombu.transport.virtual import policy
from kombu.transport.virtual.hooks import channel_verb

from .declaring import DeclareVerbs
from .envelope import LEASE, RAW
from .historic import HistoricNames
from .publishing import PublishVerbs
from .settling import QoS

if TYPE_CHECKING:
    from kombu.transport.virtual.ledger import Subscription

    from .transport import Transport

__all__ = ("Channel", "Message")

logger = get_logger(__name__)


class Message(virtual.Message):
    """A message from Redis; one whose payload could not be read raises that error when it is decoded."""

    __slots__ = ()

    def __init__(
        self,
        payload: dict[str, Any],
        channel: Any = None,
        delivery_tag: Any = None,
        consumer_tag: str | None = None,
    ) -> None:
        super().__init__(payload, channel, delivery_tag, consumer_tag)
        if RAW in payload:
            error = DecodeError(str(payload[RAW]))
            self.errors = [(DecodeError, error, None)]


class Channel(HistoricNames, PublishVerbs, DeclareVerbs, virtual.Channel):
    """Messages are leased, not removed, until they are settled; see :mod:`.store` for what each step promises."""

    Message = Message
    QoS = QoS
    supports_fanout = True

    #: Messages claimed in one round trip at most, as far as the prefetch limits allow.
    fetch_size = 100

    connection: Transport

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._ways = {}
        self._client: Any = None

    def close(self) -> None:
        """Cancel the consumers and give back what they did not settle; in a forked child nothing of that."""
        client, self._client = self._client, None
        if client is not None:
            client.connection_pool.disconnect()
        if self.connection.is_inherited:
            self.closed = True
            return
        try:
            super().close()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """Closing failed half way: what is held comes back by itself, when its lease ends."""
        self.closed = True
        for subscription in self._consumers.values():
            self.connection.unsubscribe(subscription)
            for message in subscription.fetched:
                self.connection.let_lapse(message)
        self._consumers.clear()
        for tag in list(self.qos.unacked):
            delivery = self.qos.settle(tag)
            if delivery is not None:
                self.connection.let_lapse(delivery[1])

    @property
    def client(self) -> Any:
        """A :class:`redis.Redis` for the program's own commands, such as ``channel.client.llen("queue")``.

        It connects at its first command, with sockets of its own, and is closed with the channel. Keys are those of
        docs/redis.md, ``global_keyprefix`` included; values are bytes. It raises the driver's errors.
        """
        if self._client is None:
            kind, arguments = self.connection.server.arguments
            most = self.connection.options.max_connections
            pool = redis.ConnectionPool(kind, max_connections=most, **arguments)
            self._client = redis.Redis(connection_pool=pool)
        return self._client

    # -- messages to consumers -----------------------------------------------------------------------------

    def room(self, subscription: Subscription) -> int:
        """How many messages may be claimed for the consumer now."""
        if not self._flowing or subscription.fetched:
            return 0
        budget = self.qos.budget(subscription)
        if budget is None:
            return self.fetch_size
        if self.qos.limit:
            budget -= sum(len(other.fetched) for other in self._consumers.values())
        return max(0, min(budget, self.fetch_size))

    def take(self, subscription: Subscription) -> dict[str, Any] | None:
        """The next message that was claimed or broadcast for the consumer, as far as the limits allow."""
        fetched = subscription.fetched
        broadcasts = self.connection.broadcasts.waiting.get(subscription.queue)
        if not (fetched or broadcasts) or not self.has_room(subscription):
            return None
        while fetched or broadcasts:
            try:
                message: dict[str, Any] = fetched.pop() if fetched else broadcasts.popleft()  # type: ignore[union-attr]
            except IndexError:  # given back by another thread, which cancels the consumer
                break
            lease = message.get(LEASE)
            if lease is not None and lease.tag and lease.tag not in self.connection.held:
                continue  # it has ended: somebody else has the message
            properties = message["properties"]
            if "expires_at" not in properties or not policy.is_expired(properties, time()):
                return message
            self._discard(subscription.queue, message, "expired")
        return None

    def deliver(self, subscription: Subscription, message: dict[str, Any]) -> None:
        """Hand a message to its consumer; one that it cannot decode, and does not handle, is kept aside."""
        tag = self._next_tag()
        if subscription.no_ack:
            self._ack(subscription.queue, message, soon=True)
        else:
            self._taken(subscription.queue, message)
            self.qos.add(tag, subscription.queue, message, subscription)
            if self.closed:  # by another thread, since the message was claimed
                self.qos.restore_unacked_once()
                return
        made = None
        try:
            made = self.Message(message, self, tag, subscription.tag)
            subscription.callback(made)
        except (DecodeError, ValueError) as exc:
            decoded = made is not None and (made.acknowledged or made._decoded_cache is not None)
            ours = made is None or isinstance(exc, DecodeError)
            if decoded or not ours or subscription.no_ack or self.qos.settle(tag) is None:
                raise
            self._keep_undecodable(subscription.queue, message, exc)

    def _keep_undecodable(self, queue: str, message: dict[str, Any], error: Exception) -> None:
        """Nobody can read it: to the dead-letter exchange, or else into the queue's list of such payloads."""
        logger.error("Message of queue %r cannot be decoded: %s", queue, error)
        spec = self.state.queues.get(queue)
        if spec is not None and spec.policy.dead_letter_exchange is not None:
            self._discard(queue, message, "rejected")
        else:
            self._set_aside(queue, message)

    @channel_verb
    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """The next message of the queue, or None; without ``no_ack`` it has to be settled."""
        self._check_open()
        self._settle_due()
        spec = self.state.queues.get(queue)
        if spec is None:
            self._check_queue(queue, (60, 70), "Basic.get")
        else:
            self._check_owner(spec, (60, 70), "Basic.get")
        self.directory.touch([queue])  # (nothing to do unless it has x-expires)
        while True:
            found = self.connection.take_from({queue: 1}, 1)[queue]
            if found is None:
                text = f"NOT_FOUND - no queue {queue!r} in vhost {self.state.vhost!r}"
                raise NotFound(text, (60, 70), "Basic.get")
            if not found:
                return None
            (message,) = found
            if policy.is_expired(message["properties"], time()):
                self._discard(queue, message, "expired")
                continue
            tag = self._next_tag()
            try:
                made = self.Message(message, self, tag)
            except (DecodeError, ValueError) as exc:
                self._keep_undecodable(queue, message, exc)
                continue
            break
        try:
            left = self._size(queue)
        except BaseException:
            self.connection.let_lapse(message)  # nobody was given it
            raise
        if no_ack:
            self._ack(queue, message)
        else:
            self._taken(queue, message)
            self.qos.add(tag, queue, message, None)
        made.delivery_info["message_count"] = left
        return made

    def _settle_due(self) -> None:
        self.connection.sweep.look(self)

    # -- consumers -----------------------------------------------------------------------------------------

    def _consumer_added(self, subscription: Subscription) -> None:
        super()._consumer_added(subscription)
        queue, directory, keys = subscription.queue, self.connection.directory, self.connection.keys
        found = [pattern for to in directory.broadcasts_to(queue) for pattern in keys.patterns(*to)]
        if found:
            self.connection.broadcasts.listen(queue, found)
        self.connection.pulls.attend(queue)

    def _consumer_removed(self, subscription: Subscription) -> None:
        if not any(other.queue == subscription.queue for other in self.connection.consumers):
            self.connection.broadcasts.ignore(subscription.queue)
            self.connection.pulls.forget(subscription.queue)
        super()._consumer_removed(subscription)

    # -- queues --------------------------------------------------------------------------------------------

    def _max_priority(self, queue: str) -> int | None:
        spec = self.state.queues.get(queue)
        return spec.policy.max_priority if spec is not None else None

    def _size(self, queue: str) -> int:
        return self.connection.store.size(queue, self._max_priority(queue)) + self.connection.pulls.backlog(
            queue
        )

    def _size_bytes(self, queue: str) -> int:
        return self.connection.store.size_bytes(queue, self._max_priority(queue))

    def _purge(self, queue: str) -> int:
        skipped = self.connection.pulls.backlog(queue, skip=True)
        return skipped + self.connection.store.purge(queue, self._max_priority(queue))

    # -- hooks that only other transports need -------------------------------------------------------------

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        from queue import Empty

        found = self.connection.take_from({queue: 1}, 1)[queue]
        if not found:
            raise Empty
        return found[0]

    def _put(self, queue: str, message: dict[str, Any]) -> None:
        self._publish(message, "", queue, False, None)
