"""What all suites share: the fixtures of kombu.testing, and how hypothesis runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

pytest_plugins = [
    "kombu.testing",
    "tests.support.old_kombu",
    "tests.support.rabbit_fixtures",
    "tests.support.redis_fixtures",
    "tests.support.sqs_fixtures",
]

# A shared machine may stall any one example: time is pytest-timeout's matter.
settings.register_profile("kombu", deadline=None)
settings.load_profile("kombu")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--celery", action="store_true", help="all of Celery's suite, also what is slow or unsteady")
    parser.addoption("--green", action="store_true", help="gevent and eventlet with sqs:// too, and a blocked RabbitMQ")
