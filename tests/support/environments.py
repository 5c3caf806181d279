"""Environments of their own, for what cannot be installed beside these packages, or would change what is there.

Each is made with pip at its first use, in ``var/NAME``, and used again until what decides on it changes. Where one
cannot be made (no package index), tests that need it are skipped; where ``CI`` is set they fail.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.missing import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CannotBeMade", "environment", "needed", "run", "with_this_kombu")

ROOT = Path(__file__).parents[2]

#: What the umbrella distribution `kombu` stands for, in an order in which each finds what it asks for.
PACKAGES = tuple(ROOT / "packages" / name for name in ("kombu-core", "kombu-amqp", "kombu-memory", "kombu"))


class CannotBeMade(Exception):
    """There is no such environment; the text says why."""


def run(*command: str | Path) -> None:
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=outside, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        last = (done.stderr.strip() or "it does not say why").splitlines()[-1]
        raise CannotBeMade(f"{' '.join(map(str, command))}: {last}")


def environment(name: str, *steps: list[str | Path], check: str, decides: str = "") -> str:
    """The interpreter of ``var/NAME``, made when there is none yet that was made in the same way.

    Arguments:
        steps: arguments of ``pip install``, one step after the other.
        check: a Python program that ends well where all is as it should be.
        decides: what else makes the environment another one.
    """
    place = ROOT / "var" / name
    python, ready = place / "bin" / "python", place / "ready"
    made = hashlib.sha256(repr((sys.version, str(ROOT), steps, check, decides)).encode()).hexdigest()
    place.parent.mkdir(exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (python.exists() and ready.exists() and ready.read_text() == made):
            run(sys.executable, "-m", "venv", "--clear", place)
            for step in steps:
                run(python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--prefer-binary", *step)
            run(python, "-c", check)
            ready.write_text(made)
    return str(python)


def with_this_kombu(name: str, requirements: Path, check: str) -> str:
    """An environment with these packages, editable, and with what the file ``requirements`` asks for."""
    ours: list[str | Path] = ["--no-build-isolation"]
    for package in PACKAGES[:-1]:
        ours += ["-e", package]
    texts = [path.read_text() for path in (requirements, *(package / "pyproject.toml" for package in PACKAGES))]
    return environment(
        name,
        ["setuptools>=77"],
        ours,
        ["--no-build-isolation", PACKAGES[-1]],
        ["-r", requirements],
        check=f"import kombu, sys; assert kombu.VERSION >= (6,), kombu; {check}",
        decides="\n".join(texts),
    )


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Skip the test, or fail it where ``CI`` is set, when its environment cannot be made."""
    try:
        yield
    except CannotBeMade as exc:
        missing(f"no {what}: {exc}")
