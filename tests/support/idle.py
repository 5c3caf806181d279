"""What processes use of a processor while they wait."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("IDLE", "least_shares")

#: The part of a processor that a process which waits may use.
IDLE = 0.01


def least_shares(pids: Iterable[int], seconds: float = 2.0, windows: int = 4) -> list[float]:
    """The part of a processor that each process uses in the quietest of some windows of time.

    What others do on the machine makes a window dearer, never cheaper; who works while waiting does so in each. The
    first window in which all are idle is the last.
    """
    pids, least = list(pids), []
    for _ in range(windows):
        began, before = monotonic(), [_spent(pid) for pid in pids]
        sleep(seconds)
        passed = monotonic() - began
        shares = [(_spent(pid) - start) / passed for pid, start in zip(pids, before, strict=True)]
        if not least or max(shares) < max(least):
            least = shares
        if max(least) < IDLE:
            break
    return least


def _spent(pid: int) -> float:
    """Seconds on a processor of all threads of a process, without those that have ended."""
    spent = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # (it has just ended)
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9
