"""Wheels of this tree, built once, and fresh environments to install them in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
LEFTOVERS = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")

#: Keeps this process' environment from leaking into those under test.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Standard output of ``command``, which has to succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=CLEAN, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


class Environment:
    """A virtual environment that can install only from ``wheelhouse``, so never asks a package index."""

    def __init__(self, place: Path, wheelhouse: Path) -> None:
        self.place = place
        self.python = place / "bin" / "python"
        self.wheelhouse = wheelhouse
        venv.create(place, symlinks=True, with_pip=False)

    def install(self, *requirements: str | Path) -> None:
        """``pip install``, of names (from the wheelhouse) or of paths; ``-e`` works."""
        only = ("--no-index", "--find-links", self.wheelhouse)
        run(*PIP, "--python", self.python, "install", "-q", *only, *requirements, cwd=self.place)

    def check(self, code: str, *options: str) -> str:
        """What a program prints in this environment; its failure, or a warning without ``options``, fails the test."""
        return run(self.python, *(options or ("-W", "error")), "-c", code, cwd=self.place).strip()

    def error_of(self, code: str) -> str:
        """``ErrorClass: message`` with which a program ends that has to fail."""
        done = subprocess.run(
            [self.python, "-c", code],
            cwd=self.place,
            env=CLEAN,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 1, f"no error from\n{code}\n{done.stdout}{done.stderr}"
        return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def projects() -> dict[str, dict[str, Any]]:
    """The pyproject.toml of every distribution, by its name."""
    found = (tomllib.loads(path.read_text()) for path in sorted(ROOT.glob("packages/*/pyproject.toml")))
    return {project["project"]["name"]: project for project in found}


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of packages/ without what earlier builds left, so that nothing stale gets into a wheel."""
    copy = tmp_path_factory.mktemp("sources") / "packages"
    shutil.copytree(ROOT / "packages", copy, ignore=LEFTOVERS)
    return copy


@pytest.fixture(scope="session")
def wheels(
    sources: Path, projects: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The wheel of every distribution, by its name."""
    place = tmp_path_factory.mktemp("wheels")
    run(
        *PIP,
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        place,
        *(sources / name for name in projects),
    )
    built = {path.name.split("-")[0].replace("_", "-"): path for path in place.glob("*.whl")}
    assert built.keys() == projects.keys()
    return built


@pytest.fixture(scope="session")
def wheelhouse(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with our wheels, what they need, and what builds more: environments need no index."""
    place = tmp_path_factory.mktemp("wheelhouse")
    for wheel in wheels.values():
        shutil.copy(wheel, place)
    others = ("setuptools>=77", "pytest>=8.0", "pytest-timeout>=2.2", "celery>=5.6")
    run(*PIP, "wheel", "-q", "--prefer-binary", "-f", place, "-w", place, *wheels.values(), *others)
    return place


@pytest.fixture(scope="session")
def make_environment(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that makes an :class:`Environment` and installs in it what it is given."""

    def make(*requirements: str | Path) -> Environment:
        environment = Environment(tmp_path_factory.mktemp("environment") / "venv", wheelhouse)
        environment.install(*requirements)
        return environment

    return make


def _requirements(how: str, sources: Path, *names: str) -> list[str | Path]:
    return list(names) if how == "wheels" else [part for name in names for part in ("-e", sources / name)]


@pytest.fixture(scope="session", params=["wheels", "editable"])
def with_memory(request: pytest.FixtureRequest, make_environment: Any, sources: Path) -> Environment:
    """core and the memory transport, from wheels and as editable installs, which have to behave the same."""
    return make_environment(*_requirements(request.param, sources, "kombu-core", "kombu-memory"))


@pytest.fixture(scope="session", params=["wheels", "editable"])
def core_alone(request: pytest.FixtureRequest, make_environment: Any, sources: Path) -> Environment:
    """core and no transport at all."""
    return make_environment(*_requirements(request.param, sources, "kombu-core"))
