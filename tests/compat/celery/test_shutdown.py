"""Workers that end, as asked or not: no task that was not acknowledged is lost."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import needs

if TYPE_CHECKING:
    from tests.compat.celery.sites import Site

WAIT = 40


@needs("processes")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_warm_shutdown_ends_what_runs_and_gives_the_rest_back(site: Site, notes: Any, pool: str) -> None:
    queue = f"{site.queue}.warm.{pool}"
    with site.worker("--queues", queue, pool=pool) as worker:
        # Given two tasks that run, and more that the worker has taken
        sent = [site.task("early").apply_async((notes.path, n, notes.gate), queue=queue) for n in range(6)]
        notes.await_lines(2, "begin")
        # When
        worker.send(signal.SIGTERM)
        worker.await_line("Warm shutdown")
        notes.open()
        # Then: those end, and are answered
        assert worker.await_end() == 0
        ended = [line for line in notes.lines() if line.startswith("end")]
        assert len(ended) == len([line for line in notes.lines() if line.startswith("begin")])
    # and the rest is another's
    with site.worker("--queues", queue, pool="solo"):
        assert [result.get(WAIT) for result in sent] == [f"end {n}" for n in range(6)]
    assert sorted(notes.lines()) == sorted([f"begin {n}" for n in range(6)] + [f"end {n}" for n in range(6)])


@needs("processes")
def test_cold_shutdown_gives_back_what_is_not_acknowledged(site: Site, notes: Any) -> None:
    queue = f"{site.queue}.cold"
    with site.worker("--queues", queue) as worker:
        sent = [site.task("late").apply_async((notes.path, n, notes.gate), queue=queue) for n in range(4)]
        notes.await_lines(2, "begin")
        worker.send(signal.SIGQUIT)
        worker.await_end()
        assert not [line for line in notes.lines() if line.startswith("end")]
    notes.open()
    with site.worker("--queues", queue, pool="solo"):
        assert [result.get(WAIT) for result in sent] == [f"end {n}" for n in range(4)]


@needs("processes")
def test_control_shuts_down(site: Site) -> None:
    with site.worker("--queues", f"{site.queue}.told", pool="solo") as worker:
        site.app.control.shutdown(destination=[worker.hostname])
        assert worker.await_end() == 0


@needs("processes")
def test_the_tasks_of_a_killed_worker_are_anothers(site: Site, notes: Any) -> None:
    queue = f"{site.queue}.killed"
    # (what a dead worker held comes back when its lease is over)
    lease = {"redis": {"lease": 3}, "sqs": {"visibility_timeout": 3}}.get(site.kind, {})
    options = site.settings.get("broker_transport_options", {})
    soon: dict[str, Any] = {"broker_transport_options": {**options, **lease}}
    with site.worker("--queues", queue, **soon) as worker:
        sent = [site.task("late").apply_async((notes.path, n, notes.gate), queue=queue) for n in range(6)]
        notes.await_lines(2, "begin")
        # When: SIGKILL for it and its children
        worker.kill()
    notes.open()
    with site.worker("--queues", queue, **soon):
        # Then
        assert [result.get(WAIT) for result in sent] == [f"end {n}" for n in range(6)]
    assert len([line for line in notes.lines() if line.startswith("end")]) == 6


@needs("processes")
def test_a_task_of_a_killed_pool_process_comes_again(site: Site, notes: Any) -> None:
    queue = f"{site.queue}.child"
    with site.worker("--queues", queue) as worker:
        sent = site.task("late").apply_async((notes.path, "x", notes.gate), queue=queue)
        notes.await_lines(1, "begin")
        (busy,) = site.app.control.inspect([worker.hostname], timeout=30).active()[worker.hostname]
        os.kill(busy["worker_pid"], signal.SIGKILL)
        notes.await_lines(2, "begin")
        notes.open()
        assert sent.get(WAIT) == "end x"


@needs("processes")
def test_autoscale(site: Site, notes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSCALE_KEEPALIVE", "0.5")
    queue = f"{site.queue}.scaled"
    with site.worker("--queues", queue, "--autoscale=4,1") as worker:
        inspect = site.app.control.inspect([worker.hostname], timeout=30)

        def processes() -> int:
            found = inspect.stats()[worker.hostname]["pool"]["processes"]
            return sum(psutil.pid_exists(pid) for pid in found)

        assert processes() == 1
        sent = [site.task("early").apply_async((notes.path, n, notes.gate), queue=queue) for n in range(8)]
        notes.await_lines(4, "begin")
        assert processes() == 4
        notes.open()
        assert [result.get(WAIT) for result in sent] == [f"end {n}" for n in range(8)]
        eventually(lambda: processes() == 1, "1 process again")
