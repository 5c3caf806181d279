"""What all suites share: the fixtures of kombu.testing, and how hypothesis runs."""

from __future__ import annotations

from hypothesis import settings

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
