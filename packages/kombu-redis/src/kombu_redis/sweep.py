"""What time brings about on the server, looked after by whoever consumes: ended leases, expired queues and messages.

The server lets one connection look each second, however many there are. Decisions (is it delivered once too often,
where does a dead letter go) are made here in Python, and each is carried out by a script that does nothing when
somebody else was first.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.exceptions import NotFound
from kombu.log import get_logger
from kombu.transport.virtual import policy
from kombu.transport.virtual.policy import PLAIN
from kombu.utils import json

from .envelope import read_envelope, split_entry, write_payload
from .errors import CommandError, OutOfMemory
from .publishing import held
from .replies import ERRORS
from .scripts import load
from .store import Move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu.transport.virtual.policy import QueuePolicy

    from .channel import Channel
    from .store import Due
    from .transport import Transport

__all__ = ("Sweep",)

logger = get_logger(__name__)

#: Seconds between two looks of one connection.
INTERVAL = 0.9
#: Milliseconds in which nobody else looks.
TURN = 800


class Sweep:
    """Looks after everybody's leases and lifetimes, in the thread that drains the connection."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._next = 0.0

    def look(self, channel: Channel) -> None:
        """See to what is due, if nobody has within the last second."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + INTERVAL
        transport = self._transport
        if transport.server.run(load("mark"), [transport.keys.sweeper], [transport.identity, TURN, 1]):
            try:
                self.run(channel)
            except OutOfMemory as exc:  # (a dead letter for a stream; whoever consumes makes room)
                logger.warning("A look after what is due was cut short: %s", exc)

    def run(self, channel: Channel) -> None:
        """See to what is due."""
        store = self._transport.store
        while True:
            due = store.fetch_due()
            self._restore(channel, due)
            if len(due) < 100:
                break
        self._transport.directory.expire_temporary()
        self.expire(channel)

    def expire(self, channel: Channel) -> None:
        """Dead letters of the messages at the front of their queues whose time is over."""
        store, directory = self._transport.store, self._transport.directory
        queues = store.due_to_expire()
        directory.load_queue(*queues)
        for queue in queues:
            self._transport.take_from({queue: 0})  # takes none: what was delayed is ready first
            for leased in store.expire(queue, channel._max_priority(queue))[
                0
            ]:  # (unreadable ones never expire)
                channel._discard(queue, held(leased), "expired")

    # -- ended leases --------------------------------------------------------------------------------------

    def _restore(self, channel: Channel, due: Sequence[Due]) -> None:
        entries = []
        for one in due:
            try:
                entries.append((one, self._destinations(channel, one)))
            except ERRORS as exc:
                entries.append((one, [self._as_taken(one, exc)]))
        if entries:
            self._put_back(entries)
            logger.info("%d messages came back whose consumers are gone", len(entries))

    def _put_back(self, entries: list[tuple[Due, list[Move]]]) -> None:
        store = self._transport.store
        try:
            store.restore(entries)
        except CommandError:  # one of them, it does not say which
            for entry in entries:
                try:
                    store.restore([entry])
                except CommandError as exc:
                    logger.error("Message %s cannot go back, and stays in `unacked`: %s", entry[0].tag, exc)

    def _destinations(self, channel: Channel, due: Due) -> list[Move]:
        """Back to the queue it came from, counted; or to its dead letters, when it came back too often."""
        payload, exchange, routing_key = json.loads(due.value.decode())
        message = read_envelope(payload)
        count = policy.count_delivery(message)
        directory = self._transport.directory
        directory.load_exchange(exchange)
        queues: Sequence[tuple[str, QueuePolicy]] = ()
        try:
            queues, _, channel_name, *_ = directory.route(exchange, routing_key, message["headers"])
            if not queues and channel_name is not None:
                return []  # a broadcast: nobody but who is gone was to have this copy
        except NotFound:
            pass
        if not queues:
            # (an old consumer's, and its exchange or binding is gone: the routing key is the best there is)
            if not routing_key:
                raise LookupError(f"exchange {exchange!r} leads to no queue")
            queues = ((routing_key, PLAIN),)
        moves: list[Move] = []
        for queue, rules in queues:
            limited = channel._limited(rules)
            if policy.exceeds_delivery_limit(count, limited):
                letters = list(channel._dead_letters(queue, message, "delivery_limit", rules))
                moves += letters or [self._aside(queue, message)]
            else:
                moves.append(self._back(queue, rules, message))
        return moves

    def _as_taken(self, due: Due, error: Exception) -> Move:
        """What nobody can read goes back as it was, for the next consumer to say so."""
        keys = self._transport.keys
        try:
            payload, exchange, queue = split_entry(due.value)
        except ValueError:
            exchange = queue = None
        if queue and exchange == "":
            return Move(queue, keys.level(queue, keys.step(0)), payload)
        logger.error(
            "Message %s, whose consumer is gone, cannot be read and is set aside: %s", due.tag, error
        )
        return Move("unacked", keys.undecodable("unacked"), due.value, front=False)

    def _back(self, queue: str, rules: QueuePolicy, message: dict[str, Any]) -> Move:
        keys = self._transport.keys
        properties = message["properties"]
        level = keys.level(queue, keys.step(properties.get("priority"), rules.max_priority))
        return Move(queue, level, write_payload(message), properties.get("expires_at"))

    def _aside(self, queue: str, message: dict[str, Any]) -> Move:
        logger.error("Message of queue %r was delivered too often and is set aside", queue)
        return Move(queue, self._transport.keys.undecodable(queue), write_payload(message), front=False)
