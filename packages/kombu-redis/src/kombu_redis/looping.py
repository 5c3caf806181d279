"""A connection in an event loop: the loop watches its descriptors, and each round delivers what there is."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.transport import virtual

from .waiting import LOOK_AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu.transport.virtual.ledger import Subscription

    from .waiting import Waiter

__all__ = ("Looping", "Parts", "share_out")

#: Messages delivered in one round at most.
AT_A_TIME = 100


class Parts(NamedTuple):
    """The classes of what a connection is made of."""

    keys: Any
    store: Any
    directory: Any
    broadcasts: Any
    waiter: Any
    sweep: Any


class Looping(virtual.Transport):
    """What the transport does for a :class:`kombu.asynchronous.Hub`, and how other threads wake it."""

    waiter: Waiter
    #: The last look found nothing, and nothing has changed since: no need to look again before being woken.
    idle = False
    #: A consumer may have something that was claimed, or has lost its queue.
    at_hand = False

    _loop: Any = None
    #: The thread of the loop.
    _ticking = 0
    #: What has the loop wake up now and then.
    _looking: Any = None
    #: Descriptors that the loop watches.
    _watched: frozenset[int] = frozenset()

    def wake(self) -> None:
        """Something changed, such as room for a delivery: end the sleep, from any thread."""
        self.idle = False
        self.at_hand = True
        if self.sleeping and get_ident() != self._ticking:
            self.waiter.wake()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the loop deliver: nobody needs to call ``drain_events`` any more."""
        self._loop = loop
        loop.on_tick.add(self.on_tick)

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Take everything out of the loop again."""
        self._loop, self._ticking, self.sleeping = None, 0, False
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        loop.on_tick.discard(self.on_tick)
        self._watch_nothing(loop)

    def on_tick(self) -> None:
        """Before the loop sleeps: deliver what there is, then have it watch for more.

        After :data:`AT_A_TIME` messages others have their turn.
        """
        loop = self._loop
        if loop is None:
            return  # unregistered in this very round
        self._ticking, self.sleeping = get_ident(), False
        try:
            if not self.idle or self.waiter.overdue:
                left = AT_A_TIME
                while left and self._deliver_next():
                    left -= 1
                if not left:
                    self.idle = False
                    self.waiter.wake()
            if self._loop is not None:  # (a callback may have closed the connection)
                self._watch()
                self.sleeping = True
        except BaseException:
            self._watch_nothing(loop)  # descriptors may have been closed, and be others' next
            raise

    def _watch(self) -> None:
        self.waiter.check()
        self.waiter.ask(self._wanted())
        if self._looking is None and self.waiter.needs_a_clock:
            self._looking = self._loop.call_repeatedly(LOOK_AGAIN / 2, _nothing)
        filenos = frozenset(self.waiter.filenos())
        for fileno in self._watched - filenos:
            self._loop.remove_reader(fileno)
        for fileno in filenos - self._watched:
            self._loop.add_reader(fileno, self.on_readable, fileno)
        self._watched = filenos

    def on_readable(self, fileno: Any, *args: Any) -> None:
        """The loop found a descriptor readable."""
        self.idle = False
        try:
            self.waiter.read([fileno])
            self._note()
        except BaseException:
            self._watch_nothing(self._loop)
            raise

    def _watch_nothing(self, loop: Any) -> None:
        for fileno in self._watched:
            loop.remove_reader(fileno)
        self._watched = frozenset()

    # -- for the transport ---------------------------------------------------------------------------------

    def _wanted(self) -> Iterable[str]:
        raise NotImplementedError

    def _note(self) -> None:
        raise NotImplementedError


def _nothing() -> None:
    """A round of the loop looks for messages when it is time."""


def share_out(messages: list[dict[str, Any]], takers: list[tuple[Subscription, int]]) -> None:
    """Give messages, oldest first, to the consumers of one queue in turn, as far as each has room."""
    if len(takers) == 1:
        takers[0][0].fetched[:0] = reversed(messages)
        return
    shares: list[list[dict[str, Any]]] = [[] for _ in takers]
    turn = 0
    for message in messages:
        while len(shares[turn]) >= takers[turn][1]:
            turn = (turn + 1) % len(takers)
        shares[turn].append(message)
        turn = (turn + 1) % len(takers)
    for (taker, _), share in zip(takers, shares, strict=True):
        taker.fetched[:0] = reversed(share)
