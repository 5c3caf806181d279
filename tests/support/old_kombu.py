"""An environment with kombu 5.7.0, for processes of a mixed fleet.

It is made with pip at its first use, in ``var/old-kombu``, and used again; ``KOMBU_OLD_PYTHON`` names the
interpreter of another one. Where it cannot be made (no package index), tests that need it are skipped; where ``CI``
is set they fail.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

VERSION = "5.7.0"
PLACE = Path(__file__).parents[2] / "var" / "old-kombu"

CHECK = f"import kombu, redis, sys; sys.exit(kombu.__version__ != {VERSION!r})"


class CannotBeMade(Exception):
    """There is no such environment; the text says why."""


def _run(*command: str | Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        last = (done.stderr.strip() or "it does not say why").splitlines()[-1]
        raise CannotBeMade(f"{' '.join(map(str, command))}: {last}")


def environment(sqs: bool = False) -> str:
    """Its interpreter, made when there is none yet; with ``sqs``, boto3 and pycurl are added."""
    check = f"import boto3, pycurl; {CHECK}" if sqs else CHECK
    if named := os.environ.get("KOMBU_OLD_PYTHON"):
        _run(named, "-c", check)
        return named
    python, ready = PLACE / "bin" / "python", PLACE / ("ready-sqs" if sqs else "ready")
    PLACE.parent.mkdir(exist_ok=True)
    with PLACE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not python.exists() or not (PLACE / "ready").exists():
            _run(sys.executable, "-m", "venv", "--clear", PLACE)
            _install(python, "redis", "ready")
        if not ready.exists():
            _install(python, "sqs", "ready-sqs")
            _run(python, "-c", check)
    return str(python)


def _install(python: Path, extra: str, stamp: str) -> None:
    """Put kombu there with an extra."""
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--prefer-binary")
    _run(*pip, f"kombu[{extra}]=={VERSION}")
    _run(python, "-c", CHECK)
    (PLACE / stamp).touch()


@pytest.fixture(scope="session")
def old_kombu() -> str:
    """The interpreter of an environment with kombu 5.7.0 and redis-py."""
    return _made()


@pytest.fixture(scope="session")
def old_kombu_sqs() -> str:
    """The interpreter of an environment with kombu 5.7.0, boto3 and pycurl."""
    return _made(sqs=True)


def _made(sqs: bool = False) -> str:
    try:
        return environment(sqs)
    except CannotBeMade as exc:
        if os.environ.get("CI"):
            pytest.fail(f"no kombu {VERSION}: {exc}")
        pytest.skip(f"no kombu {VERSION}: {exc}")
