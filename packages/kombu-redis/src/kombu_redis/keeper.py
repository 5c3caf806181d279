"""The thread that keeps what a connection holds: renews leases also while the main thread works."""

from __future__ import annotations

import os
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

from kombu.log import get_logger
from kombu.utils.deadline import grace_scope

if TYPE_CHECKING:
    from .transport import Transport

__all__ = ("Keeper",)

logger = get_logger(__name__)

#: Seconds between two looks at acknowledgements that have not left yet.
TICK = 0.5


class Keeper:
    """Ticks for one connection while that holds messages, consumers or temporary queues.

    It uses the connection's command socket between the requests of other threads, so it costs no socket. Errors are
    logged: the thread that uses the connection meets them as well, and a later tick tries again.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._thread: Thread | None = None
        self._end = Event()
        self._pid = 0
        self._renew_at = 0.0

    def start(self) -> None:
        """Have the thread running; again after a fork."""
        if self._thread is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._end = Event()
            self._renew_at = monotonic() + self._interval
            self._thread = Thread(
                target=self._run,
                args=(self._end,),
                name=f"kombu-redis-keeper-{self._transport.identity}",
                daemon=True,
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread; it may be in the middle of a renewal, which does no harm."""
        self._end.set()
        self._thread = None

    @property
    def _interval(self) -> float:
        return self._transport.options.lease / 3

    def _run(self, end: Event) -> None:
        while not end.wait(min(TICK, self._interval)):
            try:
                with grace_scope(self._transport.patience):
                    self.tick()
            except Exception as exc:
                if not end.is_set():
                    logger.warning("Renewing leases failed, and is tried again: %r", exc)

    def tick(self) -> None:
        """Send acknowledgements that wait, and renew when a third of a lease is over."""
        transport = self._transport
        transport.store.flush()
        if monotonic() < self._renew_at:
            return
        # Not before it worked: a lease may be renewed twice after a failure before it ends.
        transport.renew()
        self._renew_at = monotonic() + self._interval
