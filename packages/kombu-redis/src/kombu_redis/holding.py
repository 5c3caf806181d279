"""What a connection holds: the messages it has a lease of, renewed until they are settled or given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.log import get_logger

from .calls import MOST
from .envelope import LEASE, Lease, Places, envelope_of
from .looping import Looping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .ahead import Ahead
    from .claiming import Claimed
    from .client import Client
    from .directory import Directory
    from .keeper import Keeper
    from .options import Options
    from .replies import Leased, Unreadable
    from .store import Store

__all__ = ("Found", "Holding")

logger = get_logger(__name__)

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

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        #: Tags of the messages this connection holds a lease of.
        self.held: dict[str, None] = {}
        self._places: dict[str, Places] = {}

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
