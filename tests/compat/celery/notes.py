"""What tasks leave in the file system, which outlives workers and brokers: lines they wrote, gates they wait at."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def eventually(check: Callable[[], object], what: str = "", timeout: float = 40) -> object:
    """What ``check`` returns as soon as it is true."""
    end = monotonic() + timeout
    while True:
        if found := check():
            return found
        assert monotonic() < end, f"still not after {timeout} seconds: {what or check}"
        sleep(0.05)


class Notes:
    """A file of lines, and a gate."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "notes"
        self._gate = directory / "gate"

    @property
    def path(self) -> str:
        return str(self._file)

    @property
    def gate(self) -> str:
        """Tasks wait until :meth:`open`."""
        return str(self._gate)

    def open(self) -> None:
        self._gate.touch()

    def close(self) -> None:
        self._gate.unlink()

    def lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []

    def await_lines(self, number: int, start: str = "") -> list[str]:
        """The lines that start so, as soon as there are that many."""

        def enough() -> list[str]:
            found = [line for line in self.lines() if line.startswith(start)]
            return found if len(found) >= number else []

        eventually(enough, f"{number} lines {start!r}")
        return enough()
