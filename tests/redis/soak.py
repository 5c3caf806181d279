"""Processes of the soak as their parent sees them, and the account of every message by its number."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parents[1] / "support" / "soaker.py"

#: Numbers of one publisher.
SHARE = 10_000_000


class Account:
    """What was said of each message. Whoever says it does so before it tells the server."""

    def __init__(self) -> None:
        self.published: set[int] = set()
        #: Nobody knows whether the server has them: they may arrive.
        self.unknown: set[int] = set()
        self.acked: Counter[int] = Counter()
        #: Reason -> the dead letters.
        self.dead: dict[str, set[int]] = {}
        #: Publishers that came to an end.
        self.ended = 0

    def hear(self, kind: str, number: int) -> None:
        if kind == "p":
            self.published.add(number)
        elif kind == "u":
            self.unknown.add(number)
        elif kind == "a":
            self.acked[number] += 1
        elif kind == "end":
            self.ended += 1
        elif kind != "r":  # (a rejected one is accounted for when it is found among the dead letters)
            self.dead.setdefault(kind, set()).add(number)

    def missing(self, ready: set[int]) -> set[int]:
        """What was published and is nowhere."""
        return self.published.difference(self.acked, *self.dead.values(), ready)

    def __str__(self) -> str:
        acked = self.published & self.acked.keys()
        rest = self.published - acked
        parts = [f"{len(self.published)} published = {len(acked)} acknowledged"]
        for reason, numbers in sorted(self.dead.items()):
            parts.append(f"{len(rest & numbers)} {reason}")
            rest -= numbers
        parts.append(f"{len(rest)} other")
        again = sum(self.acked.values()) - len(self.acked)
        surprise = len((self.acked.keys() | set().union(*self.dead.values())) - self.published)
        return f"{' + '.join(parts)}; {again} acknowledged once more; {surprise} not known to be published arrived"


class Soaker:
    """A process."""

    def __init__(self, role: str, url: str, options: dict[str, Any], **more: Any) -> None:
        start = {"role": role, "url": url, "options": options, **more}
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.role = role
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,

            env=environment,
            cwd="/",
        )
        assert self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def read(self, hear: Callable[[str, int], None]) -> bool:
        """Take in what it has said; whether it may say more."""
        assert self.process.stdout
        try:
            chunk = os.read(self.process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            kind, number = line.decode().split()
            hear(kind, int(number))
        return bool(chunk)

    def signal(self, signum: int) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signum)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


class Crowd:
    """All processes; whoever ends, by itself or killed, is replaced until :meth:`finish`."""

    def __init__(self, urls: list[str], options: dict[str, Any], rate: int) -> None:
        self.urls, self.options, self.rate = urls, options, rate
        self.account = Account()
        self.members: list[Soaker] = []
        #: Exit status -> how many ended with it.
        self.deaths: Counter[int] = Counter()
        self._started = 0
        self._finishing = False
        self._selector = selectors.DefaultSelector()

    def start(self, role: str, brave: bool = False) -> Soaker:
        """One more; the URLs take turns. Who is brave does not die of poison."""
        url = self.urls[self._started % len(self.urls)]
        more = {"first": self._started * SHARE + 1, "rate": self.rate} if role == "publish" else {"brave": brave}
        self._started += 1
        member = Soaker(role, url, self.options, **more)
        self.members.append(member)
        self._selector.register(member.process.stdout, selectors.EVENT_READ, member)
        return member

    def run(self, seconds: float, until: Callable[[], Any] = lambda: False) -> bool:
        """Take in what is said, for so long or until that is true; whether it is."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0 and not until():
            for key, _ in self._selector.select(min(left, 0.1)):
                if not key.data.read(self.account.hear):
                    self._gone(key.data)
        return bool(until())

    def _gone(self, member: Soaker) -> None:
        self._selector.unregister(member.process.stdout)
        self.members.remove(member)
        member.close()
        if not (self._finishing and member.role == "publish"):
            self.deaths[member.process.returncode] += 1
            self.start(member.role)

    def finish(self, seconds: float) -> None:
        """Let the publishers end."""
        self._finishing = True
        publishers = [member for member in self.members if member.role == "publish"]
        for member in publishers:
            member.signal(signal.SIGCONT)
            assert member.process.stdin
            member.process.stdin.write(b"\n")
            member.process.stdin.flush()
        assert self.run(seconds, lambda: not any(one in self.members for one in publishers)), "a publisher hangs"

    def close(self) -> None:
        for member in self.members:
            member.close()
        self._selector.close()
