"""What all suites share: the fixtures of kombu.testing, and how hypothesis runs."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "kombu.testing",
    "tests.support.old_kombu",
    "tests.support.rabbit_fixtures",
    "tests.support.redis_fixtures",
    "tests.support.sqs_fixtures",
]

# A shared machine may stall any one example: time is pytest-timeout's matter. The examples are the same in each run, so
# that it says something about the change it is made for; ``--hypothesis-profile explore`` looks for new ones.
_patient: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("explore", **_patient)
settings.register_profile("kombu", derandomize=True, database=None, **_patient)
settings.load_profile("kombu")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--celery", action="store_true", help="Celery's suite, in a run of its own")
    brokers = "amqp,redis,memory"
    parser.addoption("--brokers", default=brokers, help=f"where Celery's suite runs: {brokers}; or all")
    parser.addoption("--green", action="store_true", help="gevent and eventlet with sqs:// too, and a blocked RabbitMQ")
    parser.addoption("--clients", action="store_true", help="all of the suites of Nameko and oslo.messaging")


#: Seconds that threads of the tests have to end when all tests are over.
LAST_CALL = 10.0

_status = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_status] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process though a test that failed has left a thread, for which Python would wait for ever."""
    status, deadline = config.stash.get(_status, 0), monotonic() + LAST_CALL
    if not status:
        return
    left = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for thread in left:
        thread.join(max(0.0, deadline - monotonic()))
    names = [thread.name for thread in left if thread.is_alive()]
    if names:
        print(f"threads that did not end: {names}", file=sys.stderr)
        faulthandler.dump_traceback(sys.__stderr__)
        sys.stdout.flush()
        os._exit(status)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clients: runs with --clients only; others of its suite run with every run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--clients"):
        return
    left_out = [item for item in items if item.get_closest_marker("clients")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
