"""Claims that are sent before their messages are needed, so that the server works while the consumers do.

A consumer that has worked through half of what was claimed for it, of a queue that had all it asked for, has more
claimed: the call leaves with its acknowledgements, and the reply is read when it has nothing else left. Never more than
the prefetch limit allows, and never for consumers that settle later than in their callbacks: those have no room. A call
more costs the client 60 us, so only where the server needs longer than that to put the messages together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .store import Store

if TYPE_CHECKING:
    from kombu.transport.virtual.ledger import Subscription

    from .claiming import Claim
    from .holding import Found
    from .transport import Transport

__all__ = ("Ahead", "rooms_of")

#: Characters of bodies that are worth a call of their own: the server needs 2 us for each thousand.
WORTH = 40_000


class Pending(NamedTuple):
    """A claim on its way."""

    #: The consumers it is for, and how many messages each may have.
    wanting: list[tuple[Subscription, int]]
    #: Number of its first tag.
    first: int
    #: Its reply, or an error, when that was read.
    replies: list[Any]
    claim: Claim


class Ahead:
    """At most one claim of a connection on its way; ``transport.lock`` is held wherever that changes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._pending: Pending | None = None
        #: Consumers whose queues had all that was asked for, each with how many messages it has claimed at once.
        self._busy: dict[Subscription, int] = {}
        #: Settlements until it is looked again whether one of them has room.
        self._until = 0

    @property
    def is_pending(self) -> bool:
        """Whether a claim is on its way, or its messages have come and nobody has seen them."""
        return self._pending is not None

    def note(self, messages: list[dict[str, Any]], takers: list[tuple[Subscription, int]]) -> None:
        """A claim has brought these messages for consumers of a queue, who had room for so many each."""
        if len(messages) < sum([room for _, room in takers]):
            for taker, _ in takers:
                self._busy.pop(taker, None)
            return
        transport = self._transport
        if not transport.takes_turns or not isinstance(transport.store, Store):
            return  # (a cluster has no single stream of replies)
        for taker, _ in takers:
            channel = taker.channel
            half = min(taker.limit or channel.fetch_size, channel.fetch_size) // 2
            if half * _size(messages[0]) >= WORTH and not channel.qos.limit:
                self._busy[taker] = half
                self._until = max(1, len(taker.fetched) - half)

    def settled(self) -> None:
        """A message was settled while there are more at hand: time for a claim, perhaps."""
        self._until -= 1
        if self._until <= 0 and self._busy and self._pending is None:
            self.look()

    def look(self) -> None:
        """Claim for the consumers that have room for half of what they may have."""
        transport = self._transport
        with transport.lock:
            if self._pending is not None:
                return
            wanting = [
                (subscription, room)
                for subscription, half in self._busy.items()
                if subscription in transport.consumers and (room := _room(subscription)) >= half
            ]
            if wanting:
                replies: list[Any] = []
                rooms = rooms_of(wanting)
                first = transport.number
                transport.number += sum(rooms.values())
                sources = tuple(transport.source(queue) for queue in rooms)
                transport.pulls.precede(rooms.items())
                claim = transport.store.begin_claim(
                    sources, list(rooms.values()), transport.prefix, first, replies.extend
                )
                self._pending = Pending(wanting, first, replies, claim)

    def tags(self) -> list[str]:
        """Those of the messages it has claimed, which are leased although nobody has seen them yet."""
        pending = self._pending
        if pending is None:
            return []
        if not pending.replies:
            self._transport.server.flush()
        count = len(_read(pending)) - 1
        return [pending.claim.tag(number) for number in range(pending.first, pending.first + count)]

    def collect(self) -> bool:
        """Hand out what was claimed, if anything was; whether there is any."""
        if self._pending is None:
            return False
        transport = self._transport
        with transport.lock:
            pending, self._pending = self._pending, None
            if pending is None:
                return False
            if not pending.replies:
                transport.server.flush()
            # Without a reply the connection was lost meanwhile: what it claimed comes back when its lease ends.
            # An error is met again by who claims now.
            reply = _read(pending)
            if not reply:
                self._busy.clear()
                return False
            found: Found = {source.queue: [] for source in pending.claim.sources}
            try:
                transport.enter(transport.store.claimed(reply, pending.claim, pending.first), found)
            except BaseException:
                transport.lapse(found)
                raise
            any_ = transport.hand_out(found, pending.wanting)
        self.look()
        return any_

    def leave(self, subscription: Subscription) -> bool:
        """A consumer is out: what was claimed for it goes back, and the rest is handed out; whether there is any."""
        self._busy.pop(subscription, None)
        return self.collect()

    def forget(self) -> None:
        """The connection is gone."""
        self._pending = None
        self._busy.clear()


def _read(pending: Pending) -> list[Any]:
    reply = pending.replies[0] if pending.replies else None
    return reply if isinstance(reply, list) else []


def _size(message: dict[str, Any]) -> int:
    body = message["body"]
    return len(body) if isinstance(body, str) else 0


def _room(subscription: Subscription) -> int:
    """How many messages may be claimed for a consumer besides those it has."""
    channel = subscription.channel
    most: int = channel.fetch_size
    budget = channel.qos.budget(subscription)
    return (most if budget is None or budget > most else budget) - len(subscription.fetched)


def rooms_of(wanting: list[tuple[Subscription, int]]) -> dict[str, int]:
    """How many messages of each queue the consumers have room for."""
    rooms: dict[str, int] = {}
    for subscription, room in wanting:
        rooms[subscription.queue] = rooms.get(subscription.queue, 0) + room
    return rooms
