"""Celery installed on our wheels: the distribution ``kombu`` is the one that it asks for."""

from __future__ import annotations

from typing import Any

#: A worker runs a task; both are in this process, since memory:// is seen by no other.
RUN_A_TASK = """
from celery import Celery
from celery.contrib.testing.worker import start_worker

app = Celery("fresh", broker="memory://", backend="cache+memory://")

@app.task
def add(x, y):
    return x + y

with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
    assert add.delay(2, 3).get(20) == 5
"""

#: Whose files these are.
OWNERS = """
from importlib.metadata import requires, version

import kombu

assert kombu.__version__ == version("kombu") == version("kombu-core"), (kombu.__version__, version("kombu"))
assert any(wanted.replace(" ", "").startswith("kombu") for wanted in requires("celery")), requires("celery")
"""


def test_celery_runs_a_task_on_our_wheels(make_environment: Any) -> None:
    environment = make_environment("celery")
    environment.check(OWNERS, "-W", "ignore")
    environment.check(RUN_A_TASK, "-W", "ignore")
