"""Fixtures with a real RabbitMQ: the one that ``scripts/services`` left running, or one of their own.

Without rabbitmq-server on the machine the tests are skipped; where ``CI`` is set they fail.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.missing import missing
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitMQ, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

#: Where scripts/services keeps its broker.
SHARED = ROOT / "var" / "rabbitmq"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults", type=int, default=12, help="how many faults the fault test injects (default %(default)s)"
    )


def require_rabbitmq() -> None:
    if not installed():
        missing("rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)")


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker that tests share: nobody stops, pauses or blocks it."""
    require_rabbitmq()
    shared = RabbitMQ(SHARED)
    if shared.alive():
        yield shared
        return
    own = RabbitMQ(tmp_path_factory.mktemp("rabbitmq")).start()
    yield own
    own.remove()


@pytest.fixture(scope="session")
def amqp_url(rabbitmq: RabbitMQ) -> str:
    return rabbitmq.url


@pytest.fixture(scope="session")
def _victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    require_rabbitmq()
    broker = RabbitMQ(tmp_path_factory.mktemp("victim")).start()
    yield broker
    broker.remove()


@pytest.fixture
def victim(_victim: RabbitMQ) -> Iterator[RabbitMQ]:
    """A broker to be stopped, paused and blocked; it runs again before the next test."""
    if not _victim.alive():
        _victim.start()
    yield _victim
    _victim.resume()
    if not _victim.alive():
        _victim.start()


@pytest.fixture
def proxy(rabbitmq: RabbitMQ) -> Iterator[Proxy]:
    """A TCP proxy in front of the shared broker, which can be cut, paused and blackholed."""
    with Proxy(("127.0.0.1", rabbitmq.port)) as proxy:
        yield proxy
