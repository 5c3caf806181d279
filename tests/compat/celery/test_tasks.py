"""Tasks: called, answered, serialized, tried again, delayed, in every pool."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import TimeoutError as NoResult

from tests.compat.celery.notes import eventually

if TYPE_CHECKING:
    from tests.compat.celery.sites import Site

WAIT = 30


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent", "eventlet"])
def test_a_worker_of_each_pool_answers(site: Site, pool: str) -> None:
    if site.kind == "memory" and pool != "solo":
        pytest.skip(f"memory cannot: processes: {site.cannot['processes']}")
    queue = f"{site.queue}.{pool}"
    with site.reader_of(queue, pool):
        # When many tasks are sent, Then all are done
        results = [site.task("add").apply_async((n, n), queue=queue) for n in range(50)]
        assert [result.get(WAIT) for result in results] == [2 * n for n in range(50)]

        # and so is one that fails, with its error, and one by a name it does not know is no harm
        site.app.send_task("unheard_of", queue=queue)
        with pytest.raises(ValueError, match="as asked"):
            site.task("fail").apply_async(queue=queue).get(WAIT)
        assert site.task("echo").apply_async(queue=queue).get(WAIT)["routing_key"] == queue


@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_arguments_arrive(site: Site, serializer: str, compression: str | None) -> None:
    site.shared()
    value = {"text": "Grüße \U0001f98a" * 1000, "number": 2**60, "list": [1, None, True]}
    sent = site.task("echo").apply_async(
        (), {"value": value}, serializer=serializer, compression=compression, headers={"mine": "yes"}, priority=3
    )
    seen = sent.get(WAIT)
    assert seen["value"] == value
    assert seen["routing_key"] == site.queue
    assert (seen["priority"], seen["redelivered"]) == (3, False)
    assert seen["headers"]["mine"] == "yes"


def test_failures_are_tried_again(site: Site) -> None:
    site.shared()
    flaky, hopeless = site.task("flaky"), site.task("hopeless")
    sent = [flaky.delay(0), flaky.delay(3), flaky.delay(2, countdown=0.2)]
    assert [result.get(WAIT) for result in sent] == [0, 3, 2]
    with pytest.raises(KeyError, match="never"):
        hopeless.delay().get(WAIT)


def test_countdown_and_eta_come_when_it_is_time(site: Site) -> None:
    site.shared()
    begun = time()
    later = site.task("echo").apply_async(countdown=2.5)
    at = site.task("echo").apply_async(eta=datetime.now(timezone.utc) + timedelta(seconds=2))
    now = site.task("echo").apply_async()
    assert now.get(WAIT)["time"] < begun + 2
    assert at.get(WAIT)["time"] >= begun + 2
    assert later.get(WAIT)["time"] >= begun + 2.5


def test_more_eta_tasks_than_the_prefetch_count_do_not_stop_the_others(site: Site) -> None:
    name = site.shared()
    # Given more tasks that wait for their time than the worker may hold
    waiting = [site.task("echo").apply_async(countdown=60) for _ in range(20)]
    inspect = site.app.control.inspect([name], timeout=30)
    eventually(lambda: len(inspect.scheduled()[name]) == 20, "20 scheduled")

    # Then the others are done, and those can be revoked
    assert site.task("add").delay(1, 2).get(WAIT) == 3
    assert inspect.stats()[name]["prefetch_count"] >= 20
    site.app.control.revoke([result.id for result in waiting], destination=[name], reply=True, timeout=30)


def test_expired_tasks_are_not_run(site: Site, notes: Any) -> None:
    name = site.shared()
    site.app.control.cancel_consumer(site.queue, destination=[name], reply=True, timeout=30)
    soon = datetime.now(timezone.utc) + timedelta(seconds=0.2)
    expired = site.task("note").apply_async((notes.path, "expired"), expires=soon)
    good = site.task("note").apply_async((notes.path, "good"), expires=600)
    eventually(lambda: datetime.now(timezone.utc) > soon)
    site.app.control.add_consumer(site.queue, destination=[name], reply=True, timeout=30)
    assert good.get(WAIT) == "good"
    assert notes.lines() == ["good"]
    assert expired.state in ("PENDING", "REVOKED")  # dropped by the broker, or by the worker


def test_results_are_ignored_on_request(site: Site) -> None:
    site.shared()
    assert site.task("ignored").delay().state == "PENDING"
    sent = site.task("add").apply_async((1, 1), ignore_result=True)
    assert site.task("add").delay(1, 2).get(WAIT) == 3
    unanswered = site.app.AsyncResult(sent.id)
    with pytest.raises(NoResult):
        unanswered.get(0.2)
    unanswered.forget()  # (else Celery waits for it still when the result backend has gone)
