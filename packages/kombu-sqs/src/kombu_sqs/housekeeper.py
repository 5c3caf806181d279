"""The thread that extends leases, deletes what waits for a batch, and gives back what nobody may take."""

from __future__ import annotations

from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

from kombu.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Housekeeper",)

logger = get_logger(__name__)

#: A chore: when it is due (monotonic clock; None: not), and what to do then.
Chore = tuple["Callable[[], float | None]", "Callable[[], object]"]


class Housekeeper:
    """Does chores when they are due; its thread starts with the first :meth:`poke`."""

    def __init__(self, chores: list[Chore], name: str) -> None:
        self._chores = chores
        self._name = name
        self._event = Event()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._stopped = False

    def poke(self) -> None:
        """Something may have become due earlier than before."""
        with self._lock:
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
            times = [when for due, _ in self._chores if (when := due()) is not None]
            pause = max(0.02, min(times) - monotonic()) if times else None
            if self._event.wait(pause):
                self._event.clear()
                continue
            now = monotonic()
            for due, work in self._chores:
                when = due()
                if when is not None and when <= now:
                    self._do(work)

    @staticmethod
    def _do(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as exc:
            logger.error("%s", exc)
