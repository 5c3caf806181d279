"""A thread that does what is due: extend leases; delete what waits for a batch, give back what nobody may take."""

from __future__ import annotations

from math import inf
from threading import Event, RLock, Thread
from time import monotonic
from typing import TYPE_CHECKING

from kombu.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Housekeeper",)

#: Seconds between two looks at the least.
LEAST = 0.02

logger = get_logger(__name__)

#: A chore: when it is due (monotonic clock; None: not), and what to do then.
Chore = tuple["Callable[[], float | None]", "Callable[[], object]"]


class Housekeeper:
    """Does chores when they are due; its thread starts with the first :meth:`poke`."""

    def __init__(self, name: str) -> None:
        self._chores: list[Chore] = []
        self._name = name
        self._event = Event()
        self._lock = RLock()
        self._thread: Thread | None = None
        self._stopped = False
        #: When to look at the chores next (monotonic clock).
        self._next = inf

    def does(self, due: Callable[[], float | None], work: Callable[[], object]) -> None:
        """Add a chore: ``due`` says when (monotonic clock; None: not), ``work`` does it."""
        self._chores.append((due, work))

    def poke(self, when: float) -> None:
        """Something may be due at ``when`` (monotonic clock). Costs nothing when an earlier look is planned."""
        if when >= self._next:
            return
        with self._lock:
            self._next = min(self._next, when)
            if self._thread is None and not self._stopped:
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._event.set()

    def stop(self) -> None:
        """Do no more chores."""
        with self._lock:
            self._stopped = True
        self._event.set()

    def _run(self) -> None:
        while not self._stopped:
            pause = self._next - monotonic()
            if pause > 0:
                self._event.wait(None if pause == inf else pause)
                self._event.clear()
                continue
            self._next = inf  # (before looking, so that a poke meanwhile is not lost)
            for due, work in self._chores:
                try:
                    when = due()
                    if when is not None and when <= monotonic():
                        work()
                except Exception as exc:
                    logger.error("%s", exc)
                when = due()
                if when is not None:
                    self.poke(max(when, monotonic() + LEAST))
