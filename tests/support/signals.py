"""Signals whose effect is awaited."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

__all__ = ("freeze",)


def freeze(pid: int) -> None:
    """SIGSTOP; on return no thread of the process runs any more, which on a busy machine takes a moment."""
    os.kill(pid, signal.SIGSTOP)
    deadline = monotonic() + 10
    while not _is_frozen(pid) and monotonic() < deadline:
        sleep(0.001)


def _is_frozen(pid: int) -> bool:
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # (it has just ended)
            state = thread.read_text().rpartition(")")[2].split()[0]
            if state not in "TtZX":
                return False
    return True
