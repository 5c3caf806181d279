"""Programs that tests start, listen to and end: Celery workers, ``celery ...`` commands, Flower."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Condition, Thread
from time import monotonic
from typing import Any

import psutil

ROOT = Path(__file__).parents[3]

#: Seconds that a program may take to start, or to say what is expected.
PATIENCE = 40


class Program:
    """``python -m MODULE ARGUMENTS``; everything it prints is kept, and can be waited for.

    Arguments:
        settings: of the application.
        typed: what is on its standard input.
        environment: more variables.
    """

    def __init__(
        self, settings: dict[str, Any], module: str, *arguments: str, typed: str = "", **environment: str
    ) -> None:
        self.lines: list[str] = []
        self._news = Condition()
        self._told = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "CELERY_COMPAT": json.dumps(settings),
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "C_FORCE_ROOT": "1",
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # (a run of tests in the background of a script ignores it, and so would this)
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdin is not None
        with self.process.stdin as keyboard:
            keyboard.write(typed.encode())
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._news:
                    self.lines.append(line.decode(errors="replace").rstrip())
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def await_line(self, pattern: str, count: int = 1, timeout: float = PATIENCE) -> str:
        """The ``count``-th line that matches, as soon as it is there."""
        deadline = monotonic() + timeout
        with self._news:
            while True:
                found = [line for line in self.lines if re.search(pattern, line)]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - monotonic()
                if left <= 0 or not self._listener.is_alive():
                    raise AssertionError(f"no line {count} like {pattern!r} in:\n{self.output}")
                self._news.wait(min(left, 1))

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def await_end(self, timeout: float = PATIENCE) -> int:
        """Its exit status; a failure with its output when it does not end."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.output}") from None
        self._listener.join(5)
        return status

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.pid).children()]

    def kill(self) -> None:
        """SIGKILL for it and all its children, at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.await_end()

    def begin_to_stop(self) -> None:
        """SIGTERM, and :meth:`stop` later."""
        self._told = True
        if self.process.poll() is None:
            self.send(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM if it was not told before, then SIGKILL when that does not do."""
        if not self._told:
            self.begin_to_stop()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            pass
        self.kill()


class Worker(Program):
    """A worker with a name of its own; ``hostname`` is what it is called remotely."""

    def __init__(self, settings: dict[str, Any], name: str, *arguments: str, pool: str = "prefork") -> None:
        self.hostname = name
        self.pool = pool
        super().__init__(
            settings,
            "celery",
            "-A",
            "tests.compat.celery.application",
            "worker",
            "--loglevel=INFO",
            f"--pool={pool}",
            f"--hostname={name}",
            *arguments,
        )

    def await_ready(self, count: int = 1) -> Worker:
        self.await_line(r"\bready\.$", count)
        return self
