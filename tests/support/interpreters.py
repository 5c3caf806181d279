"""Programs run by another interpreter, with another kombu."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ("run",)


def run(python: str | None, program: Path, *arguments: str, given: Any = None) -> dict[str, Any]:
    """The JSON that a program prints when an interpreter runs it, with ``given`` as JSON on its standard input.

    Arguments:
        python: None is this interpreter, with this kombu.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if python is None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [python or sys.executable, program, *arguments],
        input=json.dumps(given),
        env=environment,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
