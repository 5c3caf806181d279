"""Fresh interpreters for the samples."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ("HERE", "Missing", "spawn")

HERE = Path(__file__).resolve().parent


class Missing(Exception):
    """There is no server to measure with."""


def spawn(python: str, *command: str) -> str:
    """What a fresh interpreter prints; bytecode is used as it would be in production."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [python, *command], env=clean, cwd=HERE, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise SystemExit(f"{python} {' '.join(command)} failed:\n{done.stderr}")
    return done.stdout
