"""Fixtures of the Nameko tests: services run by ``nameko run``, and a client, in an environment of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.support.environments import needed, with_this_kombu
from tests.support.fleet import Fleet, Process, Speaker, bare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


class Services(Speaker):
    """The services of :mod:`tests.compat.nameko.service` in a process."""

    def __init__(self, python: str, url: str, prefix: str) -> None:
        command = [str(Path(python).with_name("nameko")), "run", "service", "--broker", url]
        super().__init__(command, {**bare(), "TEST_PREFIX": prefix}, HERE)
        self.prefix = prefix


@pytest.fixture(scope="module", params=["2", pytest.param("3", marks=pytest.mark.clients)])
def nameko(request: pytest.FixtureRequest) -> str:
    """The interpreter of an environment with Nameko on this kombu."""
    with needed(name := f"nameko-{request.param}"):
        return with_this_kombu(name, HERE / f"{name}.txt", "import nameko.cli.run")


@pytest.fixture(scope="module")
def run(nameko: str) -> Iterator[Callable[..., Services]]:
    """Start services: ``run(url, prefix)``."""
    running: list[Services] = []

    def start(url: str, prefix: str = "") -> Services:
        running.append(Services(nameko, url, prefix or f"nameko{uuid4().hex[:8]}"))
        return running[-1]

    yield start
    for each in running:
        each.close()


@pytest.fixture(scope="module")
def client_of(nameko: str) -> Iterator[Callable[[str], Process]]:
    """A client on a broker: ``client_of(url)``."""
    fleets: list[Fleet] = []

    def make(url: str) -> Process:
        fleets.append(Fleet(url, HERE / "client.py", nameko))
        return fleets[-1].start()

    yield make
    for each in fleets:
        each.close()
