"""The main job of the README on SQS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.sqs import Endpoint

EXAMPLE = Path(__file__).parents[3] / "examples" / "linecount.py"


def test_the_totals_are_those_of_a_direct_count(sqs_endpoint: Endpoint) -> None:
    short_polls = ["--option", "wait_time_seconds=0", "--option", "polling_interval=0.02"]
    command = [sys.executable, str(EXAMPLE), sqs_endpoint.url, "--limit", "20", *short_polls]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "20 files over sqs://" in done.stdout
    assert "equal to a direct count" in done.stdout
