"""How long something took, on a machine that others use as well."""

from __future__ import annotations

from threading import Event, Thread
from time import monotonic

__all__ = ("Stopwatch",)

#: Seconds between two looks at the clock, and what waking up may take without being counted.
TICK, LATE = 0.02, 0.005


class Stopwatch:
    """Counts the seconds while the ``with`` block runs, without those in which this process was not let run.

    A thread looks at the clock at intervals: where a look comes late, so does everything else in this process, which
    says nothing of the code under test. What that does late by itself still counts in full.
    """

    def __init__(self) -> None:
        self._over = Event()
        self._stood_still = 0.0
        self._thread = Thread(target=self._look, name="stopwatch", daemon=True)

    def __enter__(self) -> Stopwatch:
        self._began = monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended = monotonic()
        self._over.set()
        self._thread.join(60)

    @property
    def elapsed(self) -> float:
        """All seconds, when the block is over."""
        return self._ended - self._began

    @property
    def seconds(self) -> float:
        """Those that count."""
        return self.elapsed - self._stood_still

    def _look(self) -> None:
        due, over = self._began, False
        while not over:
            over = self._over.wait(TICK)
            now = self._ended if over else monotonic()
            due += TICK
            if now > due + LATE:
                self._stood_still += now - due
            due = now
