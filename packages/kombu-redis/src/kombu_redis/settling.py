"""What becomes of a message that this connection holds: done with, given back, or sent on as a dead letter.

Each of these names the lease, and does nothing when that has ended: the message is somebody else's then.
"""

from __future__ import annotations

from operator import attrgetter
from time import time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import MessageNacked, NotFound
from kombu.log import get_logger
from kombu.transport import virtual
from kombu.transport.virtual import envelope as wire
from kombu.transport.virtual import policy
from kombu.transport.virtual.policy import PLAIN
from kombu.utils import json

from .envelope import LEASE, RAW, payload_of, write_payload
from .outlet import Streams
from .store import Move

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu.transport.virtual.ledger import Subscription
    from kombu.transport.virtual.policy import QueuePolicy

    from .outlet import Stream
    from .transport import Transport

__all__ = ("QoS", "SettleVerbs")

logger = get_logger(__name__)


def properties_last(message: dict[str, Any]) -> dict[str, Any]:
    """The same envelope so that its payload ends with the properties, as ``lua/pull.lua`` stamps them."""
    rest = {name: value for name, value in message.items() if name != "properties"}
    return {**rest, "properties": message["properties"]}


class QoS(virtual.QoS):
    """The ledger of a channel; what it gives back goes in one round trip a queue."""

    channel: SettleVerbs

    # To be read by the names of kombu 5.
    unacked_index_key = property(attrgetter("channel.unacked_index_key"))
    unacked_key = property(attrgetter("channel.unacked_key"))
    unacked_mutex_expire = property(attrgetter("channel.unacked_mutex_expire"))
    unacked_mutex_key = property(attrgetter("channel.unacked_mutex_key"))
    visibility_timeout = property(attrgetter("channel.visibility_timeout"))

    def restore_unacked(self, client: Any = None) -> None:
        """Give everything unsettled back, so that the oldest comes first again; ``client`` is not needed."""
        by_queue: dict[str, list[dict[str, Any]]] = {}
        for tag in list(self.unacked):
            delivery = self.settle(tag)
            if delivery is not None:
                self.channel.connection.let_lapse(delivery[1])
                by_queue.setdefault(delivery[0], []).append(delivery[1])
        for queue, messages in by_queue.items():
            self.channel.give_back(queue, messages)
            self.channel._returned(queue)


class SettleVerbs(virtual.Channel):
    """The hooks by which the virtual layer settles."""

    connection: Transport

    # -- done with -----------------------------------------------------------------------------------------

    def _ack(self, queue: str, message: dict[str, Any], soon: bool = False) -> None:
        """Done with: at once, or ``soon``, that is with the next request or half a second later."""
        lease = message.get(LEASE)
        if lease is None or not lease.tag:
            return  # a broadcast, or taken: nobody else has this copy
        transport = self.connection
        transport.held.pop(lease.tag, None)
        soon = soon or transport.ahead.is_pending
        # Not at once when the consumer is about to get, and settle, more that was claimed with it, or after it.
        for consumer in () if soon else transport.consumers:
            if consumer.fetched:
                soon = True
        transport.store.ack(lease.tag, now=not soon)
        if soon:
            transport.ahead.settled()

    def _taken(self, queue: str, message: dict[str, Any]) -> None:
        """With ``ack_emulation=False`` the server forgets a message when it is delivered, settled or not."""
        if not self.connection.options.ack_emulation and LEASE in message:
            self._ack(queue, message)
            message[LEASE] = message[LEASE]._replace(tag="")

    # -- back ----------------------------------------------------------------------------------------------

    def _requeue(self, queue: str, message: dict[str, Any]) -> None:
        if LEASE in message:
            self._move_back(queue, [(message, None if RAW in message else write_payload(message))])
        else:
            self.connection.broadcasts.give_back(queue, message)

    def give_back(self, queue: str, messages: Iterable[dict[str, Any]]) -> None:
        """Return delivered messages, oldest first, to the front of their queue; out, if they came back too often."""
        spec = self.state.queues.get(queue)
        rules = spec.policy if spec is not None else PLAIN
        returned: list[tuple[dict[str, Any], bytes | None]] = []
        for message in messages:
            if LEASE not in message:
                self.connection.broadcasts.give_back(queue, message)
            elif RAW in message:
                returned.append((message, None))  # (as it came: its deliveries cannot be counted)
            elif policy.exceeds_delivery_limit(policy.count_delivery(message), self._limited(rules)):
                self._discard(queue, message, "delivery_limit")
            else:
                returned.append((message, write_payload(message)))
        self._move_back(queue, returned)

    def _return(self, queue: str, message: dict[str, Any]) -> None:
        self.give_back(queue, [message])

    def _unfetch(self, subscription: Subscription) -> None:
        fetched, messages = subscription.fetched, []
        while fetched:  # one by one: the thread that drains may take some meanwhile
            try:
                messages.append(fetched.pop())
            except IndexError:
                break
        self._move_back(subscription.queue, [(message, None) for message in messages])

    def _move_back(self, queue: str, messages: Sequence[tuple[dict[str, Any], bytes | None]]) -> None:
        """To the front of the list each came from, in their order; with a new payload or as it was."""
        self._put_back(queue, [one for one in messages if not one[0][LEASE].tag])
        messages = [one for one in messages if one[0][LEASE].tag]
        if not messages:
            return
        entries = []
        places = self.connection.places(queue)
        for message, payload in messages:
            lease = message[LEASE]
            self.connection.let_lapse(message)
            expires_at = message["properties"].get("expires_at")
            behind = places.behind(lease.number)
            entries.append(
                (lease.tag, Move(queue, lease.level, payload, expires_at, True, lease.declared, behind))
            )
        for message, payload in messages:
            if payload is not None:
                places.note(message[LEASE].number, payload)
        self._report_lost(self.connection.store.give_back(queue, entries))

    def _put_back(self, queue: str, messages: Sequence[tuple[dict[str, Any], bytes | None]]) -> None:
        """As :meth:`_move_back`, for messages that the server has forgotten."""
        transport = self.connection
        for message, payload in reversed(messages):
            transport.server.call("RPUSH", message[LEASE].level, payload or payload_of(message))
        if messages:
            transport.store.pass_on(transport.keys.wake(queue))

    @staticmethod
    def _report_lost(tags: Iterable[str]) -> None:
        for tag in tags:
            logger.warning(
                "Lease %s had ended: the message was given to somebody else, and is left to them", tag
            )

    # -- out -----------------------------------------------------------------------------------------------

    def _limited(self, rules: QueuePolicy) -> QueuePolicy:
        """The queue's rules, with the transport's ``max_deliveries`` where it sets no limit of its own."""
        most = self.connection.options.max_deliveries
        if most is None or rules.delivery_limit is not None:
            return rules
        return policy.QueuePolicy(delivery_limit=max(0, most - 1))

    def _discard(self, queue: str, message: dict[str, Any], reason: str) -> None:
        """Out of the queue: as a dead letter where that is asked for, else gone; in one step either way."""
        spec = self.state.queues.get(queue)
        rules = spec.policy if spec is not None else PLAIN
        if rules.dead_letter_exchange is None:
            if reason == "delivery_limit":
                self._set_aside(queue, message)
                return
            if reason != "rejected":
                logger.info("Message in queue %r dropped: %s", queue, reason)
            self._ack(queue, message)
            return
        if LEASE not in message or not message[LEASE].tag:
            self._bury(queue, {**message, LEASE: None}, reason, rules)
            return
        self.connection.let_lapse(message)  # if what follows fails, it comes back
        moves = list(self._dead_letters(queue, message, reason, rules))
        if not moves:
            self._ack(queue, message)
            return
        self._report_lost(self.connection.store.move(queue, [(message[LEASE].tag, "", moves)]))
        for move in moves:
            self._returned(move.queue)

    def _bury(self, queue: str, message: dict[str, Any], reason: str, rules: QueuePolicy) -> None:
        """A dead letter of a message that was never in the queue, or is in none: published."""
        dead = policy.dead_letter(message, queue, reason, rules, time())
        if dead is None:
            return
        exchange, routing_key, letter = dead
        names, *_ = self._route_letter(exchange, routing_key, letter)
        if any(policy.goes_in_circles(letter, name) for name in names):
            logger.warning("Dead letter (%s) of queue %r is dropped: it would go in circles", reason, queue)
            return
        try:
            self._publish(letter, exchange, routing_key, False, None)
        except (NotFound, MessageNacked) as exc:
            logger.warning("Dead letter (%s) of queue %r is dropped: %s", reason, queue, exc)

    def _dead_letters(
        self, queue: str, message: dict[str, Any], reason: str, rules: QueuePolicy
    ) -> Iterator[Move]:
        """Where a message goes when it leaves its queue, and as what."""
        now = time()
        bare = {name: value for name, value in message.items() if name not in (LEASE, RAW)}
        dead = policy.dead_letter(bare, queue, reason, rules, now)
        if dead is None:
            return
        exchange, routing_key, letter = dead
        names, channels, streams = self._route_letter(exchange, routing_key, letter)
        names = [name for name in names if reason == "rejected" or not policy.goes_in_circles(letter, name)]
        if not names and not channels:
            logger.warning(
                "Dead letter (%s) of queue %r is dropped: exchange %r with key %r leads to no queue",
                reason,
                queue,
                exchange,
                routing_key,
            )
            return
        self._seal(letter, {"exchange": exchange, "routing_key": routing_key})
        for channel in channels:
            self.connection.store.broadcast(channel, write_payload(letter))
        if reason != "rejected":
            streams = tuple(self._not_in_circles(stream, routing_key, letter) for stream in streams)
        if streams:
            store, priority = self.connection.store, letter["properties"].get("priority")
            outlet = store.outlet((), streams=self._streams(streams, routing_key, priority))
            store.push(outlet, (write_payload(properties_last(letter)),))
        for name in names:
            yield self._letter_to(name, wire.another(letter), now)

    def _not_in_circles(self, stream: Stream, routing_key: str, letter: dict[str, Any]) -> Stream:
        """The stream, not to be read by queues that the letter comes from."""
        readers = self.connection.directory.readers(stream.exchange, routing_key)
        others = [name for name in sorted(readers) if policy.goes_in_circles(letter, name)]
        known = json.loads(stream.others) if stream.others else []
        return stream._replace(others=json.dumps([*known, *others]) if known or others else "")

    def _letter_to(self, queue: str, letter: dict[str, Any], now: float) -> Move:
        spec = self.state.queues.get(queue)
        rules = spec.policy if spec is not None else PLAIN
        properties = letter["properties"]
        properties["delivery_tag"] = self._unique()
        expires_at = policy.expires_at(properties.get("expiration"), rules, now)
        if expires_at is not None:
            properties["expires_at"] = expires_at
        keys = self.connection.keys
        level = keys.level(queue, keys.step(properties.get("priority"), rules.max_priority))
        return Move(queue, level, write_payload(letter), expires_at, front=False, declared=spec is not None)

    def _route_letter(
        self, exchange: str, routing_key: str, letter: dict[str, Any]
    ) -> tuple[list[str], list[str], tuple[Stream, ...]]:
        """The queues for a dead letter, pub/sub channels and streams; asked of the server: nothing checks it later."""
        directory = self.connection.directory
        try:
            directory.load_exchange(exchange)
            route = directory.route(exchange, routing_key, letter["headers"])
        except NotFound:
            return [], [], ()
        names = [name for name, _ in route.queues]
        directory.load_queue(*names)
        channels = [] if route.fanout_channel is None else [route.fanout_channel, *route.more_channels]
        return names, channels, route.streams

    def _streams(self, streams: tuple[Stream, ...], routing_key: str, priority: int | None) -> Streams | None:
        """What the server is to know of these streams."""
        options = self.connection.options
        if not streams:
            return None
        step = self.connection.keys.step(priority)
        return Streams(streams, routing_key, step, options.fanout_length, int(1000 * options.fanout_age))

    def _set_aside(self, queue: str, message: dict[str, Any]) -> None:
        """Keep what nobody can make use of, byte by byte, where a person finds it."""
        if LEASE not in message:
            return
        tag, aside = message[LEASE].tag, self.connection.keys.undecodable(queue)
        if tag:
            self.connection.let_lapse(message)
            self.connection.store.set_aside(queue, [tag])
        else:
            self.connection.server.call("LPUSH", aside, payload_of(message))
        logger.error(
            "Message of queue %r is set aside: it is the last element of the list %r",
            queue,
            aside,
        )
