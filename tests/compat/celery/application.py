"""The application of the Celery tests: run by real workers, and by the tests themselves.

A worker is told its settings as JSON in the environment variable ``CELERY_COMPAT``: ``celery -A
tests.compat.celery.application worker``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import sleep, time
from typing import Any

from celery import Celery, shared_task
from celery.exceptions import Ignore


def make_app(settings: dict[str, Any]) -> Celery:
    """The application with these settings."""
    app = Celery("compat", set_as_current=False)
    app.conf.update(
        accept_content=["json", "pickle"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=4,
        result_accept_content=["json"],
        result_expires=300,
        task_track_started=True,
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_enable_remote_control=True,
        worker_log_color=False,
    )
    app.conf.update(settings)
    return app


@shared_task(name="add")
def add(x: Any, y: Any) -> Any:
    return x + y


@shared_task(name="echo", bind=True)
def echo(self: Any, value: Any = None) -> dict[str, Any]:
    """What the worker sees of a task."""
    info = self.request.delivery_info
    return {
        "value": value,
        "pid": os.getpid(),
        "hostname": self.request.hostname,
        "routing_key": info["routing_key"],
        "exchange": info["exchange"],
        "redelivered": info["redelivered"],
        "priority": info["priority"],
        "headers": self.request.get("headers"),
        "time": time(),
    }


@shared_task(name="total")
def total(numbers: list[Any]) -> Any:
    return sum(numbers)


@shared_task(name="fail")
def fail(text: str = "as asked") -> None:
    raise ValueError(text)


@shared_task(name="flaky", bind=True, max_retries=5)
def flaky(self: Any, failures: int, countdown: float = 0) -> int:
    """Fails so many times, and is tried again; says how often it was."""
    if self.request.retries < failures:
        raise self.retry(exc=ValueError("again"), countdown=countdown)
    return int(self.request.retries)


@shared_task(name="hopeless", autoretry_for=(KeyError,), max_retries=2, default_retry_delay=0)
def hopeless() -> None:
    raise KeyError("never")


@shared_task(name="note")
def note(path: str, text: Any) -> Any:
    """Write a line to a file that tests read: it survives whatever happens to the worker."""
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)
    return text


@shared_task(name="late", acks_late=True, acks_on_failure_or_timeout=False, reject_on_worker_lost=True)
def late(path: str, text: Any, gate: str = "") -> Any:
    """Begin, wait until a file is there, end; acknowledged at the end only."""
    note(path, f"begin {text}")
    wait_for(gate)
    return note(path, f"end {text}")


@shared_task(name="early")
def early(path: str, text: Any, gate: str = "") -> Any:
    """The same, acknowledged at the beginning."""
    note(path, f"begin {text}")
    wait_for(gate)
    return note(path, f"end {text}")


@shared_task(name="limited", rate_limit=None)
def limited() -> float:
    return time()


@shared_task(name="ignored", ignore_result=True)
def ignored() -> None:
    raise Ignore


def wait_for(gate: str) -> None:
    """Wait until the file is there; for ever is 60 seconds."""
    end = time() + 60
    while gate and not Path(gate).exists() and time() < end:
        sleep(0.02)


if "CELERY_COMPAT" in os.environ:
    app = make_app(json.loads(os.environ["CELERY_COMPAT"]))
