"""Fixtures of the Celery tests: the same tests on each broker, by ``site``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.compat.celery.sites import Site

try:
    import celery  # noqa: F401
except ImportError:
    if os.environ.get("CI"):
        raise
    collect_ignore_glob = ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(name, ...): only on brokers that can do all of it")


#: Restarts, kills and the worker in a thread take half of the time, and one in a hundred fails on a busy machine.
UNSTEADY = ("test_restart.py", "test_shutdown.py", "[memory]")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--celery`` leave out what is slow or unsteady."""
    if config.getoption("--celery"):
        return
    here = os.path.dirname(__file__)
    left_out = [
        item
        for item in items
        if str(item.path).startswith(here) and any(part in item.nodeid for part in UNSTEADY)
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", params=["amqp", "redis", "memory"])
def _site(request: pytest.FixtureRequest) -> Iterator[Site]:
    from tests.compat.celery.sites import Site

    if request.param == "memory":
        site = Site("memory", "memory://", "cache+memory://")
    else:
        redis = request.getfixturevalue("redis_server")
        numbers = request.getfixturevalue("_redis_databases")
        results = redis.url_of(next(numbers))
        broker = redis.url_of(next(numbers)) if request.param == "redis" else request.getfixturevalue("amqp_url")
        site = Site(request.param, broker, results)
    yield site
    site.close()


@pytest.fixture
def site(_site: Site, request: pytest.FixtureRequest) -> Site:
    """A broker with an application, the current one."""
    for mark in request.node.iter_markers("needs"):
        for name in mark.args:
            if name in _site.cannot:
                pytest.skip(f"{_site.kind} cannot: {name}: {_site.cannot[name]}")
    _site.app.set_current()
    return _site


@pytest.fixture
def notes(tmp_path: Path) -> Any:
    """A file that tasks write to: ``notes.path``, ``notes.lines()``, ``notes.await_lines(n)``."""
    from tests.compat.celery.notes import Notes

    return Notes(tmp_path)
