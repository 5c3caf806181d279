"""The broker goes down and comes back; queues expire; a virtual host makes everything a quorum queue."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import TimeoutError as NotEnded

from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import Site
from tests.compat.celery_amqp.places import Place, meanwhile

if TYPE_CHECKING:
    from tests.support.rabbit import RabbitMQ

WAIT = 90


def names(rabbit: RabbitMQ) -> set[str]:
    return {queue["name"] for queue in json.loads(rabbit.ctl("list_queues", "--formatter", "json", "name"))}


def test_persistent_results_survive_a_restart_and_waits_go_on(victim: RabbitMQ) -> None:
    # Given results that are persistent and that are not, all confirmed, and one that is waited for,
    confirmed = {"broker_transport_options": {"confirm_publish": True}}
    with Place("amqp", victim.url) as place:
        kept, lost, awaited, worker = place.task(), place.task(), place.task(), place.backend(**confirmed)
        worker.store_result(kept, 1, "SUCCESS")
        place.backend(result_persistent=False, **confirmed).store_result(lost, 1, "SUCCESS")
        with meanwhile(partial(place.backend().wait_for, awaited, timeout=WAIT)) as outcomes:
            place.await_waiters(1, awaited)
            worker.store_result(awaited, None, "STARTED")
            # when the broker is killed and starts again,
            victim.stop()
            victim.start()
            worker.store_result(awaited, "after all", "SUCCESS")
        # then the wait has an end, the first is there, and the second is not.
        assert outcomes[0]["result"] == "after all"
        assert place.backend().wait_for(kept, timeout=WAIT)["result"] == 1
        assert place.backend().get_state(lost) == "PENDING"


def test_tasks_are_answered_by_a_worker_that_has_lived_through_a_restart(
    victim: RabbitMQ, notes: Any
) -> None:
    site = Site("amqp", victim.url, "amqp://", control_queue_exclusive=False)
    try:
        with site.worker() as worker:
            sent = [site.task("late").delay(notes.path, n, notes.gate) for n in range(2)]
            notes.await_lines(2, "begin")
            victim.stop()
            worker.await_line("(?i)connection to broker lost|cannot connect|connection refused|trying again")
            victim.start()
            notes.open()
            assert sorted(result.get(WAIT) for result in sent) == ["end 0", "end 1"]
    finally:
        site.close()


def test_waiting_ends_in_time_without_a_broker(victim: RabbitMQ) -> None:
    place = Place("amqp", victim.url)
    task = place.task()
    with meanwhile(partial(place.backend().wait_for, task, timeout=8)) as outcomes:
        place.await_waiters(1, task)
        victim.stop()
    assert isinstance(outcomes[0], NotEnded), outcomes


def test_results_that_nobody_asks_for_expire(rabbit: Place, rabbitmq: RabbitMQ) -> None:
    task, kept = rabbit.task(), rabbit.task()
    rabbit.backend(result_expires=1).store_result(task, 1, "SUCCESS")
    rabbit.backend().store_result(kept, 1, "SUCCESS")
    eventually(lambda: task.replace("-", "") not in names(rabbitmq), "expired")
    assert kept.replace("-", "") in names(rabbitmq)


def test_results_that_nobody_asks_for_expire_on_redis(redis_url: str, redis_client: Any) -> None:
    # (there it takes a consumer, of whatever queue, to notice)
    with Place("redis", redis_url) as place:
        task, awaited, worker = place.task(), place.task(), place.backend()
        place.backend(result_expires=1).store_result(task, 1, "SUCCESS")
        assert redis_client.exists(worker.rkey(task))
        with meanwhile(partial(place.backend().wait_for, awaited, timeout=WAIT)):
            eventually(lambda: not redis_client.exists(worker.rkey(task)), "expired", timeout=60)
            worker.store_result(awaited, 1, "SUCCESS")


@pytest.mark.parametrize("looks", [30])
def test_looking_often_costs_nothing_where_queues_are_quorum_queues(rabbitmq: RabbitMQ, looks: int) -> None:
    host = "quorum-results"
    try:
        rabbitmq.ctl("add_vhost", host, "--default-queue-type", "quorum")
    except RuntimeError as exc:
        pytest.skip(f"this RabbitMQ has no default queue types: {exc}")
    try:
        rabbitmq.ctl("set_permissions", "-p", host, "guest", ".*", ".*", ".*")
        with Place("amqp", f"{rabbitmq.url.rstrip('/')}/{host}") as place:
            task = place.task()
            place.backend().store_result(task, 1, "SUCCESS")
            getter = place.backend(result_cache_max=0)
            for _ in range(looks):
                assert getter.get_result(task) == 1
            listed = rabbitmq.ctl("list_queues", "-p", host, "--formatter", "json", "name", "type")
            assert {queue["type"] for queue in json.loads(listed)} == {"classic"}
    finally:
        rabbitmq.ctl("delete_vhost", host)
