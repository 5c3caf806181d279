"""A stopwatch counts what the code takes, and not what the machine does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from time import sleep

from tests.support.signals import freeze
from tests.support.stopwatch import Stopwatch

#: Waits for a second while it says so, and tells what a stopwatch made of it.
PROGRAM = """
from time import sleep
from tests.support.stopwatch import Stopwatch
with Stopwatch() as watch:
    sleep(0.1)
    print("waits", flush=True)
    sleep(1)
print(watch.seconds)
"""


def test_what_the_code_takes_counts() -> None:
    with Stopwatch() as watch:
        sleep(0.3)
    assert 0.1 < watch.seconds <= watch.elapsed < 10


def test_the_time_in_which_the_process_stood_still_does_not_count() -> None:
    # Given
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"waits\n"
        # When: it stands still for longer than it waits
        freeze(process.pid)
        sleep(2)
        os.kill(process.pid, signal.SIGCONT)
        # Then
        assert float(process.stdout.readline()) < 1.5
