"""Fixtures of the tests of Celery's AMQP result backend: the same on each broker, by ``place``.

What is in ``more/`` runs with ``--celery``, as Celery's own suite does.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from kombu.pools import connections, get_limit, set_limit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.compat.celery.sites import Site
    from tests.compat.celery_amqp.places import Place

try:
    import kombu_celery_amqp  # noqa: F401 - it imports Celery, which is installed after everything else
except ImportError:
    if os.environ.get("CI"):
        raise
    collect_ignore_glob = ["**/test_*.py"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without ``--celery`` the tests that take long are not collected."""
    return True if collection_path.name == "more" and not config.getoption("--celery") else None


@pytest.fixture(autouse=True)
def _pools() -> Iterator[None]:
    """Applications leave connections in pools of the process, and set the limit of all of them."""
    from kombu_celery_amqp.backend import reading

    before = get_limit()
    yield
    for pool in (*connections.values(), *reading.values()):
        pool.force_close_all(close_pool=False)
    set_limit(before, ignore_errors=True)
    gc.collect()  # (a socket that was not closed is a failure here, and not in whatever test comes later)


def broker_of(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "memory":
        return f"memory://results-{uuid4().hex[:8]}"
    return str(request.getfixturevalue(f"{kind}_url"))


@pytest.fixture(params=["amqp", "redis", "memory"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A broker for results, without workers."""
    from tests.compat.celery_amqp.places import Place

    with Place(request.param, broker_of(request.param, request)) as place:
        yield place


@pytest.fixture
def rabbit(amqp_url: str) -> Iterator[Place]:
    """The same on RabbitMQ only."""
    from tests.compat.celery_amqp.places import Place

    with Place("amqp", amqp_url) as place:
        yield place


@pytest.fixture(scope="module")
def _worked(amqp_url: str) -> Iterator[Site]:
    from tests.compat.celery.sites import Site

    site = Site("amqp", amqp_url, "amqp://")
    site.shared()
    yield site
    site.close()


@pytest.fixture
def site(_worked: Site) -> Site:
    """An application on RabbitMQ with a worker, a process of its own, whose results are messages."""
    _worked.app.set_current()
    return _worked


@pytest.fixture
def notes(tmp_path: Path) -> Any:
    """What tasks write to a file, and a gate they wait at."""
    from tests.compat.celery.notes import Notes

    return Notes(tmp_path)
