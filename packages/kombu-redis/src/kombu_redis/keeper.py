"""The thread that keeps what a connection holds: renews leases also while the main thread works."""

from __future__ import annotations

import os
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING
from weakref import ref

from kombu.log import get_logger
from kombu.utils.deadline import grace_scope

from .lifetimes import SIGN_OF_LIFE

if TYPE_CHECKING:
    from .transport import Transport

__all__ = ("Keeper",)

logger = get_logger(__name__)

#: Seconds between two looks at acknowledgements that have not left yet.
TICK = 0.5


class Keeper:
    """Ticks for one connection while that holds messages, consumers or temporary queues.

    It uses the connection's command socket between the requests of other threads, so it costs no socket. Errors are
    logged: the thread that uses the connection meets them as well, and a later tick tries again. A connection that
    nobody refers to any more is not kept alive: its thread ends, and so do its leases.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = ref(transport)
        self._name = f"kombu-redis-keeper-{transport.identity}"
        self._interval = transport.options.lease / 3
        self._patience = transport.patience
        self._starting = Lock()
        self._stopped = False
        self._thread: Thread | None = None
        self._end = Event()
        self._pid = 0
        self._renew_at = 0.0
        self._show_at = 0.0
        #: It has been said that something is wrong.
        self._failing = False

    def start(self) -> None:
        """Have the thread running; again after a fork, but not after :meth:`stop`."""
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._starting:
            if self._stopped or (self._thread is not None and self._pid == os.getpid()):
                return
            self._pid = os.getpid()
            self._end = Event()
            self._renew_at = monotonic() + self._interval
            arguments = ref(self), self._end, min(TICK, self._interval)
            self._thread = Thread(target=_run, args=arguments, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread, for good; it may be in the middle of a renewal, which does no harm."""
        with self._starting:
            self._stopped = True
            self._end.set()
            self._thread = None

    def work(self, end: Event) -> None:
        """One :meth:`tick`, whose errors are logged."""
        try:
            with grace_scope(self._patience):
                self.tick()
        except Exception as exc:
            if not end.is_set() and not self._failing:
                logger.warning("Keeping what is held failed, and is tried again and again: %r", exc)
            self._failing = True
        else:
            self._failing = False

    def tick(self) -> None:
        """See to acknowledgements that wait to be sent or answered, and renew when a third of a lease is over."""
        transport = self._transport()
        if transport is None:
            return
        transport.store.flush()
        transport.store.confirm()
        if monotonic() >= self._show_at:
            self._show_at = monotonic() + SIGN_OF_LIFE / 3 - TICK / 2
            transport.show_life()
        if monotonic() < self._renew_at:
            return
        # Not before it worked: a lease may be renewed twice after a failure before it ends.
        transport.renew()
        self._renew_at = monotonic() + self._interval


def _run(reference: ref[Keeper], end: Event, pause: float) -> None:
    pid = os.getpid()
    while not end.wait(pause):
        keeper = reference()
        if keeper is None or os.getpid() != pid:  # (greenlets live on in a forked child)
            return
        keeper.work(end)
        del keeper
