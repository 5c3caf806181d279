"""Fixtures of the oslo.messaging tests: members run :mod:`tests.compat.oslo.program`, in an environment of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.support.environments import needed, with_this_kombu
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def oslo() -> str:
    """The interpreter of an environment with oslo.messaging on this kombu."""
    with needed("oslo.messaging"):
        return with_this_kombu("oslo", HERE / "requirements.txt", "import oslo_messaging")


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid4().hex[:8]}"


@pytest.fixture
def fleet_at(oslo: str) -> Iterator[Callable[[str], Fleet]]:
    """Members on a broker, with an exchange of their own: ``fleet_at(url)``."""
    fleets: list[Fleet] = []

    def make(url: str) -> Fleet:
        if url.startswith("amqp:"):
            url = "rabbit" + url[len("amqp") :].removesuffix("/")
        fleets.append(Fleet(url, HERE / "program.py", oslo, exchange=f"oslo-{uuid4().hex[:8]}"))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()
