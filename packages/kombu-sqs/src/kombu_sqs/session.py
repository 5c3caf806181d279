"""All that one connection has at SQS, put together: clients, queues, what it holds, and its threads."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.exceptions import AMQPError, KombuError
from kombu.log import get_logger
from kombu.transport.virtual.pump import Pump

from .broker import get_broker
from .clients import Clients
from .errors import is_missing_queue
from .fanout import Fanout
from .housekeeper import Housekeeper
from .lease import Leases
from .offload import open_store
from .options import LONGEST_WAIT
from .queues import Queues
from .receiving import MARGIN, Receiver
from .redrive import Redrive
from .sending import Sender
from .settling import Settler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .codec import Letter
    from .options import Options
    from .queues import Target

__all__ = ("Session",)

logger = get_logger(__name__)

#: Seconds that fetched messages stay when no consumer has room for them; then others may have them.
PATIENCE = 1.0
#: Answers in a row that a queue is not there, until its consumers are cancelled: a new one takes a moment to be known.
GONE = 5


class Session:
    """The state of one connection.

    Arguments:
        on_gone: called with a queue that is not there any more.
        has_room: says whether a consumer of a queue may have a message.
    """

    def __init__(
        self,
        options: Options,
        connect_timeout: float | None,
        on_gone: Callable[[str], None],
        has_room: Callable[[str], bool],
    ) -> None:
        self.options = options
        self.pid = os.getpid()
        self.broker = get_broker(options)
        self.clients = Clients(options, connect_timeout)
        self.store = open_store(options.offload, self.clients)
        self.queues = Queues(self.clients, options, self.broker)
        # Two threads, so that nothing else can keep leases from being extended.
        self.extender = Housekeeper("kombu-sqs-leases")
        self.tidier = Housekeeper("kombu-sqs-chores")
        self.leases = Leases(self.queues, options.visibility_timeout, self.extender.poke)
        self.receiver = Receiver(self.clients, self.queues, self.leases, options, self.store)
        self.sender = Sender(self.queues, options, self.store)
        self.settler = Settler(self.queues, self.leases, options, self.store, self.tidier.poke)
        self.redrive = Redrive(self.queues, self.broker, options)
        self.fanout = Fanout(self.clients, self.queues, self.sender, options, self.broker, self.tidier.poke)
        self.pump: Pump[Letter] = Pump(
            self._fetch, self._give_back, self._pause, "kombu-sqs", options.receivers
        )
        self.extender.does(self.leases.due_at, self.leases.extend)
        self.tidier.does(self.settler.due_at, self.settler.flush)
        self.tidier.does(self._reclaim_at, self._reclaim)
        self.tidier.does(self.fanout.due_at, self.fanout.look)
        self._on_gone = on_gone
        self._has_room = has_room
        self._warned: set[str] = set()
        #: Queue -> answers in a row that it is not there.
        self._missing: dict[str, int] = {}

    # -- fetching ahead (in the pump's threads) ------------------------------------------------------------

    def _fetch(self, queue: str, limit: int) -> list[Letter]:
        letters = self.receiver.poll(queue, limit, self.options.wait_time(len(self.pump)))
        self._missing.pop(queue, None)
        if letters:
            self.tidier.poke(monotonic() + PATIENCE)
        return letters

    def _give_back(self, queue: str, letters: list[Letter]) -> None:
        self.leases.release(letter.held for letter in letters)

    def _pause(self, queue: str, failures: int, error: Exception | None) -> float:
        """Seconds until the next look; an error is logged, at first and then now and again."""
        if error is None:
            return self.options.idle_pause
        pause = self.clients.pause_after(failures)
        level = logger.warning if failures in (1, 3) or failures % 10 == 0 else logger.debug
        level("Receiving from %r failed %d times, next try in %.1f s: %s", queue, failures, pause, error)
        missing = self._missing[queue] = self._missing.get(queue, 0) + 1 if is_missing_queue(error) else 0
        if missing >= GONE:
            self._on_gone(queue)
        return pause

    def _reclaim_at(self) -> float | None:
        times = [since for queue, since in self.pump.waiting().items() if not self._has_room(queue)]
        return min(times) + PATIENCE if times else None

    def _reclaim(self) -> None:
        now = monotonic()
        for queue, since in self.pump.waiting().items():
            if since + PATIENCE <= now and not self._has_room(queue):
                self.pump.reclaim(queue)

    # -- settling ------------------------------------------------------------------------------------------

    def warn_of_redrive(self, target: Target) -> None:
        """A rejected message is left in a queue of which nobody said whether it has a redrive policy."""
        if target.name not in self._warned:
            self._warned.add(target.name)
            logger.warning(
                "A rejected message is left in the queue %r, for its redrive policy if it has one. Say so, with"
                " 'redrive_policy': True or False in predefined_queues; with False it is deleted.",
                target.name,
            )

    # -- the end -------------------------------------------------------------------------------------------

    def drain(self, timeout: float | None = None) -> bool:
        """After :meth:`close`: wait for the receives that go on; whether there is none any more."""
        return self.pump.drain(LONGEST_WAIT + MARGIN if timeout is None else timeout)

    def begin_stop(self, queues: Iterable[str] | None = None) -> None:
        """Fetch no more, of these queues or at all; what is being fetched is waited for later."""
        self.pump.begin_stop(queues)

    def stop(self, queue: str) -> None:
        """Fetch no more from the queue, and give back what was not delivered; so does a receive that goes on."""
        self.pump.begin_stop([queue])
        try:
            self.pump.reclaim(queue)
        except (AMQPError, KombuError) as exc:
            logger.warning("Messages of %r were not given back: %s", queue, exc)

    def close(self) -> None:
        """Delete what is done with, and give back all else.

        A receive that waits at the server for longer than ``stop_timeout`` goes on, and gives back what it brings.
        """
        if self.pid != os.getpid():
            self.pump.abandon()
            return
        steps: list[Callable[[], Any]] = [
            self.settler.flush,
            lambda: self.pump.close(self.options.stop_timeout),
            self.tidier.stop,
            self.extender.stop,
            lambda: self.leases.release(self.leases.all()),
            self.clients.close,
        ]
        for step in steps:
            try:
                step()
            except (AMQPError, KombuError) as exc:
                logger.warning("While closing: %s", exc)
