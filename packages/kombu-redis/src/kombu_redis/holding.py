"""What a connection claims and holds: messages it has a lease of, renewed until they are settled or given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu.transport.virtual.policy import PLAIN

from .calls import MOST
from .envelope import LEASE, Lease, Places, envelope_of
from .looping import Looping
from .store import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .ahead import Ahead
    from .claiming import Claimed
    from .client import Client
    from .directory import Directory
    from .keeper import Keeper
    from .options import Options
    from .pulling import Pulls
    from .replies import Leased, Unreadable
    from .store import Store

__all__ = ("Found", "Holding")

logger = get_logger(__name__)

#: How often a claim follows queues that are declared anew.
TRIES = 5

#: Envelopes by queue; None for one that is gone.
Found = dict[str, "list[dict[str, Any]] | None"]


class Holding(Looping):
    """Leases, from the claim until the message is settled."""

    options: Options
    server: Client
    store: Store
    directory: Directory
    keeper: Keeper
    ahead: Ahead
    pulls: Pulls
    #: Begins the tags of this connection; and the number of the next one.
    prefix: str
    number: int

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        #: Tags of the messages this connection holds a lease of.
        self.held: dict[str, None] = {}
        self._places: dict[str, Places] = {}

    def take_from(self, wants: dict[str, int], limit: int = MOST, no_ack: bool = False) -> Found:
        """Claim messages of queues, so many of each at most, and ``limit`` in all.

        Arguments:
            no_ack: they are delivered at once, and nobody acknowledges.
        Returns: the envelopes by queue, oldest first; None for a queue that is gone.
        """
        found: Found = {queue: [] for queue in wants}
        try:
            self._take_from(wants, limit, no_ack, found)
        except BaseException:
            self.lapse(found)
            raise
        return found

    def _take_from(self, wants: dict[str, int], limit: int, no_ack: bool, found: Found) -> None:
        for _ in range(TRIES):
            sources = tuple([self.source(queue, no_ack) for queue in wants])
            with self.lock:
                self.pulls.precede(wants.items())
                first = self.number
                # A claim that fails may have been carried out: a tag must never stand for two messages.
                self.number += MOST
                claimed = self.store.claim(sources, [*wants.values()], self.prefix, first, limit=limit)
                self.number = claimed.next
            self.enter(claimed, found)
            nothing = not (claimed.messages or claimed.unreadable or claimed.stale)
            if nothing and self.pulls.again():
                continue
            if not claimed.stale:
                break
            gone = self.directory.revalidate(claimed.stale)
            found.update(dict.fromkeys(gone))
            wants = {queue: wants[queue] for queue in claimed.stale if queue not in gone}
            limit -= len(claimed.messages) + len(claimed.unreadable)
            if not wants or limit <= 0:
                break

    def source(self, queue: str, no_ack: bool = False) -> Source:
        """What a claim says of a queue."""
        spec = self.state.queues.get(queue)
        rules = spec.policy if spec is not None else PLAIN
        counted = rules.max_length_bytes is not None
        return Source(queue, self.directory.declared(queue), rules.max_priority, counted, no_ack)

    def enter(self, claimed: Claimed, found: Found) -> None:
        """Hold what was claimed, and add the envelopes to ``found``."""
        declared = self.directory.declared
        held = self.held
        taken: Sequence[Leased | Unreadable] = claimed.messages
        if claimed.unreadable:
            taken = [*taken, *claimed.unreadable]
        for leased in taken:
            queue, tag = leased.queue, leased.tag
            if tag:
                held[tag] = None
            message = envelope_of(leased)
            message[LEASE] = Lease(tag, leased.level, bool(declared(queue)))
            found[queue].append(message)  # type: ignore[union-attr]
        if claimed.unreadable:
            for messages in found.values():
                (messages or []).sort(key=lambda message: message[LEASE].tag)
        if held:
            self.keeper.start()
        for queue in claimed.promoted:
            self.channels[0]._returned(queue)

    def lapse(self, found: Found) -> None:
        """Nobody gets these, because of an error: they come back."""
        for messages in found.values():
            for message in messages or ():
                self.let_lapse(message)

    def renew(self) -> None:
        """Extend everything this connection holds; what the server has forgotten is declared again."""
        with self.lock:
            held = [*self.held, *self.ahead.tags()]
            lost = self.store.renew(held, self.options.lease) if held else ()
            self.directory.keep_alive()
        for tag in lost:
            if self.held.pop(tag, 0) is None:
                logger.warning(
                    "The lease of message %s ended before it was renewed: it may be delivered twice", tag
                )

    def show_life(self) -> None:
        """Tell others that this connection still owns its exclusive queues."""
        if self.directory.owns_queues:
            with self.lock:
                self.directory.show_life()

    def let_lapse(self, message: dict[str, Any]) -> None:
        """Renew the lease of a message no longer: unless it is settled now, it comes back by itself."""
        lease = message.get(LEASE)
        if lease is not None:
            self.held.pop(lease.tag, None)

    def places(self, queue: str) -> Places:
        """Which of the queue's messages were given back last."""
        if len(self._places) >= MOST:
            self._places.clear()
        return self._places.setdefault(queue, Places())
