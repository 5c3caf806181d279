"""Processes of a fleet, each running :mod:`tests.support.member`, with this kombu or with another one's interpreter."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Fleet", "Process", "Speaker", "bare")

PROGRAM = Path(__file__).with_name("member.py")

#: Seconds in which a member has to do what it was told. (A busy machine may take long to start one.)
PATIENCE = 60.0


def bare() -> dict[str, str]:
    """The environment variables without those that change what Python imports."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Speaker:
    """A process that writes what happens as lines of JSON; ``events`` are what it said, in order.

    Its standard input ends when this process does, and so should it.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str] | None = None, cwd: str | Path = "/"
    ) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment or bare(), cwd=cwd
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._out.fileno()

    def all(self, kind: str) -> list[Any]:
        """The values of all events of that kind: ``all("got")`` are the bodies received."""
        return [event[kind] for event in self.events if kind in event]

    # -- hearing from it

    def read(self) -> None:
        """Take in what it has said until now."""
        while True:
            try:
                chunk = os.read(self.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not chunk:
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self.events.extend(map(json.loads, lines))

    def wait(self, happened: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Read until ``happened``; fail when it does not, or when the process ends."""
        deadline = monotonic() + seconds
        self.read()
        while not happened():
            left = deadline - monotonic()
            assert left > 0, f"not within {seconds:g} s: {what}; it said {self.events[-5:]}"
            assert self._process.poll() is None or self._pending(), f"it ended before: {what}; {self.events[-5:]}"
            select.select([self], [], [], min(left, 0.2))
            self.read()
        return self

    def wait_for(self, kind: str, count: int = 1, seconds: float = PATIENCE) -> list[Any]:
        """Wait until there are so many events of the kind; their values."""
        self.wait(lambda: len(self.all(kind)) >= count, f"{count} times {kind!r}", seconds)
        return self.all(kind)

    def _pending(self) -> bool:
        known = len(self.events)
        self.read()
        return len(self.events) > known

    # -- the end

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> Any:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.ended()
        self.read()
        return self

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait until it has ended; its status."""
        return self._process.wait(seconds)

    def signal(self, signum: int) -> None:
        if self.alive():
            os.kill(self.pid, signum)

    def close(self) -> None:
        self.kill()
        self._in.close()
        self._out.close()

    # -- what it costs

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def sockets(self) -> int:
        """How many sockets it has open."""
        links = (os.readlink(path) for path in Path(f"/proc/{self.pid}/fd").iterdir())
        return sum(link.startswith("socket:") for link in links)


class Process(Speaker):
    """A member as seen from outside: it does what it is told.

    Arguments:
        python: the interpreter of another environment.
        program: another program than :mod:`tests.support.member` that takes its commands in the same way.
    """

    def __init__(
        self, url: str, options: dict[str, Any], python: str | None = None, program: Path = PROGRAM
    ) -> None:
        environment = bare()
        if python is None:  # (this kombu may be there by sys.path alone)
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        start = json.dumps({"url": url, "options": options})
        super().__init__([python or sys.executable, str(program), start], environment)

    def tell(self, do: str, **arguments: Any) -> Process:
        """Let it do something for ever (or until it is killed): nothing can be asked of it afterwards."""
        return self._write({"do": do, "last": True, **arguments})

    def ask(self, do: str, patience: float = PATIENCE, **arguments: Any) -> list[dict[str, Any]]:
        """Let it do something, and wait for it; the events meanwhile."""
        self._write({"do": do, **arguments})
        known, before = len(self.events), len(self.all("done"))
        self.wait(lambda: len(self.all("done")) > before, f"{do} is done", patience)
        return self.events[known:]

    def consume(self, *queues: str | dict[str, Any], **options: Any) -> Process:
        """Consume for ever, of queues by name or as :func:`tests.support.member.entity` takes them."""
        specs = [queue if isinstance(queue, dict) else {"name": queue} for queue in queues]
        self.tell("consume", queues=specs, **options)
        return self.wait(lambda: self.all("consuming"), "it consumes")

    def _write(self, command: dict[str, Any]) -> Process:
        self._in.write(json.dumps(command).encode() + b"\n")
        self._in.flush()
        return self


class Fleet:
    """Starts members, and ends them all.

    Arguments:
        url: the broker that members use unless told otherwise.
        program: what members run, and ``python`` the interpreter unless told otherwise.
        options: ``transport_options`` of every member.
    """

    def __init__(self, url: str, program: Path = PROGRAM, python: str | None = None, **options: Any) -> None:
        self.url, self.program, self.python, self.options = url, program, python, options
        self.members: list[Process] = []

    def start(self, python: str | None = None, url: str | None = None, **options: Any) -> Process:
        """Start a member and wait until it listens; ``python`` is the interpreter of another kombu."""
        member = self.launch(python, url, **options)
        member.wait(lambda: member.all("started"), "it starts")
        return member

    def launch(self, python: str | None = None, url: str | None = None, **options: Any) -> Process:
        """The same without waiting."""
        self.members.append(Process(url or self.url, self.options | options, python or self.python, self.program))
        return self.members[-1]

    def read(self) -> None:
        for member in self.members:
            member.read()

    def wait(self, happened: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
        """Read what all say until ``happened``."""
        deadline = monotonic() + seconds
        self.read()
        while not happened():
            assert monotonic() < deadline, f"not within {seconds:g} s: {what}"
            select.select([member for member in self.members if member.alive()], [], [], 0.05)
            self.read()

    def close(self) -> None:
        for member in self.members:
            member.signal(signal.SIGKILL)
        for member in self.members:
            member.close()
