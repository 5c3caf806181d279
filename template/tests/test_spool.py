"""Nothing is lost when a process is killed."""

import subprocess
import sys
from queue import Empty

import pytest
from kombu_filedir.spool import Spool

TAKE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from kombu_filedir.spool import Spool
spool = Spool(Path(sys.argv[1]))
print(spool.take("jobs")[1]["n"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_held_comes_back_to_its_place(tmp_path):
    # Given
    spool = Spool(tmp_path)
    for number in range(3):
        spool.put("jobs", {"n": number})
    # When: another process is killed while it has the first
    killed = subprocess.run([sys.executable, "-c", TAKE_AND_DIE, str(tmp_path)], stdout=subprocess.PIPE)
    assert (killed.returncode, killed.stdout.strip()) == (-9, b"0")
    assert spool.size("jobs") == 2
    # Then: the next that starts puts it back
    spool = Spool(tmp_path)
    assert [spool.take("jobs")[1]["n"] for _ in range(3)] == [0, 1, 2]


def test_what_a_living_process_holds_stays_with_it(tmp_path):
    # Given
    spool = Spool(tmp_path)
    spool.put("jobs", {"n": 0})
    name, _ = spool.take("jobs")
    # When
    other = Spool(tmp_path)
    # Then
    with pytest.raises(Empty):
        other.take("jobs")
    spool.settle("jobs", name)
    assert not list(tmp_path.glob("*/*/*/*.json"))
