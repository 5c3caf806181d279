"""Failovers under a real worker: it connects to the new master, and every task is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import Site
from tests.support.redis_sentinel import NAME, Sentinels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT = 60

#: Tasks that are sent while there is no master.
TASKS = 50


@pytest.fixture
def sentinels(tmp_path: Path, redis_server: Any) -> Iterator[Sentinels]:
    made = Sentinels(tmp_path, replicas=2)
    try:
        yield made.start()
    finally:
        made.stop()


def test_no_task_is_lost_in_failovers(sentinels: Sentinels, notes: Any, request: pytest.FixtureRequest) -> None:
    results = request.getfixturevalue("redis_server").url_of(next(request.getfixturevalue("_redis_databases")))
    options = {
        "master_name": NAME,
        "socket_timeout": 1.5,
        "socket_connect_timeout": 1.5,
        "lease": 2,
        "wait_replicas": 1,
    }
    site = Site("redis", sentinels.url, results, broker_transport_options=options, control_queue_exclusive=False)
    policy = {"max_retries": 600, "interval_start": 0.1, "interval_step": 0, "timeout": WAIT}
    try:
        site.app.set_current()
        late = site.task("late")
        with site.worker() as worker:
            sent = []
            for how in ("kill", "pause", "kill"):
                # Given
                old = sentinels.until(sentinels.settled, "all replicas are complete", WAIT)
                # When
                getattr(old, how)()
                for _ in range(TASKS):
                    number = len(sent)
                    sent.append(late.apply_async((notes.path, number), retry=True, retry_policy=policy))
                # Then
                assert {result.get(WAIT) for result in sent} == {f"end {n}" for n in range(len(sent))}
                eventually(lambda: site.app.control.ping([worker.hostname], timeout=2), "a pong", WAIT)
                old.resume() if how == "pause" else sentinels.bring_back(old)
    finally:
        site.close()
