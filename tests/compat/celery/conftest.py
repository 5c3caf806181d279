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


#: ``--brokers all``.
BROKERS = ("amqp", "redis", "redis cluster", "redis streams", "sqs", "memory")

#: Those that one worker's broker is restarted on; ``tests/redis`` has the nodes of a cluster that go and come back.
RESTARTED = ("amqp", "redis", "sqs")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without ``--celery`` nothing of it is collected: workers in this process change its logging for other tests."""
    return None if config.getoption("--celery") else True


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(name, ...): only on brokers that can do all of it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            # Celery's Redis result backend leaves sockets to the garbage collector.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--brokers")
    brokers = BROKERS if chosen == "all" else chosen.split(",")
    if "_site" in metafunc.fixturenames:
        metafunc.parametrize("_site", brokers, indirect=True, scope="session")
    if "fragile" in metafunc.fixturenames:
        metafunc.parametrize("fragile", [name for name in RESTARTED if name in brokers], indirect=True)


@pytest.fixture(scope="session")
def _site(request: pytest.FixtureRequest) -> Iterator[Site]:
    from tests.compat.celery.sites import Site

    if request.param == "memory":
        site = Site("memory", "memory://", "cache+memory://")
    else:
        redis = request.getfixturevalue("redis_server")
        numbers = request.getfixturevalue("_redis_databases")
        results = redis.url_of(next(numbers))
        settings: dict[str, Any] = {}
        if request.param.startswith("redis"):
            broker = redis.url_of(next(numbers))
            if request.param == "redis cluster":
                broker = request.getfixturevalue("redis_cluster").url
                settings["broker_transport_options"] = {"global_keyprefix": "celery:"}
            if request.param == "redis streams":
                settings["broker_transport_options"] = {"fanout": "stream"}
        elif request.param == "amqp":
            broker = request.getfixturevalue("amqp_url")
        else:
            broker = request.getfixturevalue("sqs_endpoint").url
            settings["broker_transport_options"] = {"supports_fanout": True, "is_secure": False}
        site = Site(request.param.partition(" ")[0], broker, results, **settings)
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
