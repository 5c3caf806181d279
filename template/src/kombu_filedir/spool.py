"""Queues as directories of files. Knows nothing of kombu.

::

    ROOT/ready/<queue>/<number>.json             messages, oldest first by name
    ROOT/taken/<process>/<queue>/<number>.json   delivered and not settled yet
    ROOT/new/                                    files being written

A message moves by renaming its file, which the operating system does in one step: whoever is killed, and whenever,
the message is in one place or the other. What a dead process had taken goes back when the next one starts.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from queue import Empty
from shutil import rmtree
from threading import Lock
from time import time_ns
from typing import Any
from urllib.parse import quote

__all__ = ("Spool",)


class Spool:
    """The queues below ``root``. Messages are dictionaries that JSON can carry."""

    def __init__(self, root: Path) -> None:
        self.ready = root / "ready"
        self.taken = root / "taken"
        self.new = root / "new"
        for directory in (self.ready, self.taken, self.new):
            directory.mkdir(parents=True, exist_ok=True)
        self._last = 0
        self._lock = Lock()
        self.recover()

    # -- messages

    def put(self, queue: str, message: dict[str, Any]) -> None:
        """Append."""
        with self._lock:
            self._last = number = max(self._last + 1, time_ns())
        directory = self._directory(queue)
        directory.mkdir(exist_ok=True)
        self._write(directory / f"{number:020}-{os.getpid()}.json", message)

    def take(self, queue: str) -> tuple[str, dict[str, Any]]:
        """The first message and the name by which to :meth:`settle` it; :exc:`queue.Empty` when there is none."""
        aside = self._aside(queue)
        for name in self._names(queue):
            aside.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(self._directory(queue) / name, aside / name)
            except FileNotFoundError:
                continue  # another consumer was faster
            return name, json.loads((aside / name).read_bytes())
        raise Empty

    def first(self, queue: str) -> dict[str, Any] | None:
        """The message that :meth:`take` would take."""
        for name in self._names(queue):
            try:
                message: dict[str, Any] = json.loads((self._directory(queue) / name).read_bytes())
            except FileNotFoundError:
                continue
            return message
        return None

    def settle(self, queue: str, name: str) -> None:
        """The message is done with."""
        (self._aside(queue) / name).unlink(missing_ok=True)

    def give_back(self, queue: str, name: str, message: dict[str, Any]) -> None:
        """Put a taken message, which may have changed, back to its place; nowhere if its queue was deleted."""
        if self.has(queue):
            self._write(self._directory(queue) / name, message)
        self.settle(queue, name)

    def _write(self, path: Path, message: dict[str, Any]) -> None:
        unfinished = self.new / f"{os.getpid()}-{path.name}"
        unfinished.write_text(json.dumps(message))
        os.rename(unfinished, path)

    # -- queues

    def has(self, queue: str) -> bool:
        return self._directory(queue).is_dir()

    def declare(self, queue: str) -> None:
        self._directory(queue).mkdir(exist_ok=True)

    def delete(self, queue: str) -> None:
        rmtree(self._directory(queue), ignore_errors=True)

    def size(self, queue: str) -> int:
        return len(self._names(queue))

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """What is ready, without taking it."""
        return [json.loads((self._directory(queue) / name).read_bytes()) for name in self._names(queue)]

    def purge(self, queue: str) -> int:
        names = self._names(queue)
        for name in names:
            (self._directory(queue) / name).unlink(missing_ok=True)
        return len(names)

    def recover(self) -> None:
        """Give back what processes had taken that live no more."""
        for process in self.taken.iterdir():
            if not _lives(int(process.name)):
                for path in process.glob("*/*.json"):
                    queue = self.ready / path.parent.name
                    if queue.is_dir():  # else it was deleted meanwhile
                        os.rename(path, queue / path.name)
                rmtree(process, ignore_errors=True)

    def _names(self, queue: str) -> list[str]:
        try:
            return sorted(os.listdir(self._directory(queue)))
        except FileNotFoundError:
            return []

    def _directory(self, queue: str) -> Path:
        return self.ready / _file_name(queue)

    def _aside(self, queue: str) -> Path:
        return self.taken / str(os.getpid()) / _file_name(queue)


def _file_name(queue: str) -> str:
    # The prefix keeps queues called "." and ".." where they belong.
    return "=" + quote(queue, safe="")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
