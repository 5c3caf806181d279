"""Waiting for results: everybody who waits gets the end, and the last one tidies up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import TimeoutError as NotEnded
from celery.result import AsyncResult, ResultSet

from tests.compat.celery_amqp.places import Place, meanwhile

if TYPE_CHECKING:
    from tests.support.proxy import Proxy

WAIT = 60


def test_all_who_wait_get_the_result_and_the_queue_is_gone(place: Place) -> None:
    # Given four that wait for one task, two of them for more than it,
    task, second, worker = place.task(), place.task(), place.backend()
    backends = [place.backend() for _ in range(4)]
    waiters: list[Any] = [partial(backend.wait_for, task, timeout=WAIT) for backend in backends[:2]]
    waiters += [lambda b=b: dict(b.get_many([task, second], timeout=WAIT)) for b in backends[2:]]
    with meanwhile(*waiters) as outcomes:
        place.await_waiters(4, task)
        worker.store_result(task, None, "STARTED")
        worker.store_result(task, "done", "SUCCESS")
        place.await_waiters(2, second)
        worker.store_result(second, 2, "SUCCESS")

    # then each gets it, and nothing is left at the broker,
    assert [outcome["result"] for outcome in outcomes[:2]] == ["done", "done"]
    for outcome in outcomes[2:]:
        assert {task_id: meta["result"] for task_id, meta in outcome.items()} == {task: "done", second: 2}
    assert place.queue(task) is place.queue(second) is None
    # but those who had it remember it.
    assert backends[0].get_result(task) == "done"
    assert AsyncResult(task, backend=backends[2], app=backends[2].app).get(timeout=WAIT) == "done"
    assert place.backend().get_state(task) == "PENDING"


def test_a_failure_is_raised_unless_asked_otherwise(place: Place) -> None:
    task, worker = place.task(), place.backend()
    worker.store_result(task, ValueError("no good"), "FAILURE")
    with pytest.raises(ValueError, match="no good"):
        place.backend().wait_for(task, timeout=WAIT, no_ack=False)
    assert str(place.backend().wait_for(task, timeout=WAIT, propagate=False)["result"]) == "no good"


def test_a_result_that_was_looked_at_is_taken_all_the_same(place: Place) -> None:
    tasks, worker, waiter = [place.task(), place.task()], place.backend(), place.backend()
    for task in tasks:
        worker.store_result(task, 1, "SUCCESS")
        assert waiter.get_state(task) == "SUCCESS"
    assert waiter.wait_for(tasks[0], timeout=WAIT)["result"] == 1
    assert dict(waiter.get_many(tasks, timeout=WAIT)).keys() == set(tasks)
    assert place.queue(tasks[0]) is place.queue(tasks[1]) is None


def test_the_parts_of_a_joined_set_keep_their_results(place: Place) -> None:
    # Given more tasks than a backend remembers, one of which has failed,
    worker, app = place.backend(), place.app(result_cache_max=1)
    results = [AsyncResult(place.task(), app=app) for _ in range(5)]
    for number, result in enumerate(results):
        state, value = ("FAILURE", ValueError("third")) if number == 3 else ("SUCCESS", number)
        worker.store_result(result.id, value, state)
    # when the join is given up at the failure,
    with pytest.raises(ValueError, match="third"):
        ResultSet(results, app=app).join_native(timeout=WAIT)
    # then none of them has lost its result.
    found = ResultSet(results, app=app).join_native(timeout=WAIT, propagate=False)
    assert [str(value) for value in found] == ["0", "1", "2", "third", "4"]
    assert [result.state for result in results] == ["SUCCESS"] * 3 + ["FAILURE", "SUCCESS"]
    assert [place.queue(result.id) for result in results] == [None] * 5


@pytest.mark.parametrize("keep", ["no_ack", "option"])
def test_a_result_can_be_left_for_others(place: Place, keep: str) -> None:
    task, worker = place.task(), place.backend()
    worker.store_result(task, 1, "SUCCESS")
    settings = {"result_backend_transport_options": {"auto_delete": False}} if keep == "option" else {}
    for _ in range(2):
        app = place.app(**settings)
        assert AsyncResult(task, app=app).get(timeout=WAIT, no_ack=keep == "option") == 1
        assert app.backend.wait_for(task, no_ack=keep == "option")["result"] == 1  # as remembered
    assert place.queue(task).message_count == 1


def test_who_gives_up_puts_back_what_was_held(place: Place) -> None:
    task, worker, waiter = place.task(), place.backend(), place.backend()
    heard: list[str] = []
    worker.store_result(task, None, "STARTED")
    worker.store_result(task, 50, "PROGRESS")
    with pytest.raises(NotEnded, match=task):
        waiter.wait_for(task, timeout=1.5, on_message=lambda meta: heard.append(meta["status"]))
    assert heard == ["STARTED", "PROGRESS"]
    assert place.backend().get_state(task) == "PROGRESS"
    assert place.queue(task)[1:] == (1, 0)


def test_no_time_means_a_look(place: Place) -> None:
    task, worker, other = place.task(), place.backend(), place.task()
    worker.store_result(task, 1, "SUCCESS")
    assert place.backend().wait_for(task, timeout=0)["result"] == 1
    found = place.backend().get_many([task, other], max_iterations=2, interval=0.01)
    assert [task_id for task_id, _ in found] == [task]
    with pytest.raises(NotEnded):
        list(place.backend().get_many([task, other], timeout=0))
    assert place.queue(task).message_count == 1


def test_many_come_as_they_end(place: Place) -> None:
    tasks, worker, waiter = [place.task() for _ in range(5)], place.backend(), place.backend()
    heard: list[str] = []
    passed: list[int] = []
    worker.store_result(tasks[4], 4, "SUCCESS")
    many = waiter.get_many(
        tasks,
        timeout=WAIT,
        interval=0.05,
        on_message=lambda meta: heard.append(meta["status"]),
        on_interval=lambda: passed.append(1),
    )
    assert next(many)[0] == tasks[4]
    for number in (2, 0, 1, 3):
        worker.store_result(tasks[number], None, "STARTED")
        worker.store_result(tasks[number], number, "SUCCESS")
        task_id, meta = next(many)
        assert (task_id, meta["result"]) == (tasks[number], number)
    assert next(many, None) is None
    assert heard == ["SUCCESS"] + ["STARTED", "SUCCESS"] * 4 and passed
    # A second time, from memory.
    assert {meta["result"] for _, meta in waiter.get_many(tasks, timeout=0)} == set(range(5))
    assert list(waiter.get_many([])) == []


def test_what_a_callback_raises_ends_the_wait_and_nothing_else(place: Place) -> None:
    task, worker, waiter = place.task(), place.backend(), place.backend()
    worker.store_result(task, None, "STARTED")

    def refuse(*args: Any) -> None:
        raise ConnectionError("the caller's own")

    for option in ("on_message", "on_interval"):
        with pytest.raises(ConnectionError, match="the caller's own"):
            waiter.wait_for(task, timeout=WAIT, interval=0.05, **{option: refuse})
        assert place.queue(task)[1:] == (1, 0)


def test_a_queue_deleted_while_somebody_waits_is_made_again(place: Place) -> None:
    # (on Redis, consumers of a queue that was deleted find what comes to the next one of that name)
    task, worker, waiter = place.task(), place.backend(), place.backend()
    with meanwhile(partial(waiter.wait_for, task, timeout=WAIT, interval=0.1)) as outcomes:
        place.await_waiters(1, task)
        worker.forget(task)
        worker.store_result(task, "in spite of it", "SUCCESS")
    assert outcomes[0]["result"] == "in spite of it"


@pytest.mark.parametrize("first", ["worker", "waiter", "poller"])
def test_processes_need_not_agree_on_the_time_to_expire(place: Place, first: str) -> None:
    # Given a queue that one process has declared, and others with another ``result_expires``,
    task, second, worker = place.task(), place.task(), place.backend(result_expires=600)
    waiter, poller = place.backend(), place.backend(result_expires=None)
    if first == "worker":
        worker.store_result(task, None, "STARTED")
    elif first == "poller":
        poller.get_state(task)
    with meanwhile(lambda: dict(waiter.get_many([task, second], timeout=WAIT))) as outcomes:
        place.await_waiters(1, task, second)
        worker.store_result(second, 2, "SUCCESS")
        worker.store_result(task, 1, "SUCCESS")
    # then all find the results.
    assert {task_id: meta["result"] for task_id, meta in outcomes[0].items()} == {task: 1, second: 2}
    worker.store_result(task, 3, "SUCCESS")
    assert poller.get_result(task) == 3


def test_those_who_wait_do_not_keep_others_from_sending(place: Place) -> None:
    # Given an application with two connections, and four threads that wait,
    tasks, app = (
        [place.task() for _ in range(4)],
        place.app(broker_pool_limit=2, result_backend_thread_safe=True),
    )
    backend = app.backend
    with meanwhile(*(partial(backend.wait_for, task, timeout=WAIT) for task in tasks)) as outcomes:
        place.await_waiters(1, *tasks)
        # then another one still sends.
        for task in tasks:
            backend.store_result(task, task, "SUCCESS")
    assert [outcome["result"] for outcome in outcomes] == tasks


def test_without_a_pool(place: Place) -> None:
    task, backend = place.task(), place.backend(broker_pool_limit=None)
    backend.store_result(task, 1, "SUCCESS")
    assert backend.get_result(task) == backend.wait_for(task, timeout=WAIT)["result"] == 1


def test_drain_events_for_a_consumer_of_ones_own(place: Place) -> None:
    task, worker, backend = place.task(), place.backend(), place.backend()
    worker.store_result(task, None, "STARTED")
    with backend.app.connection_for_write() as connection:
        queues = backend.on_reply_declare(task)
        with backend.Consumer(connection, queues, no_ack=True, accept=backend.accept) as consumer:
            with pytest.raises(TimeoutError):
                backend.drain_events(connection, consumer, timeout=0.2)
            worker.store_result(task, 3, "SUCCESS")
            assert backend.drain_events(connection, consumer, timeout=WAIT)[task]["result"] == 3
    assert backend.get_result(task) == 3


@pytest.mark.parametrize("kind", ["amqp", "redis"])
def test_a_wait_outlives_its_connection(kind: str, request: pytest.FixtureRequest) -> None:
    # Given one that waits through a proxy, and has seen a first state,
    if kind == "amqp":
        place = Place("amqp", request.getfixturevalue("amqp_url"))
        proxy: Proxy = request.getfixturevalue("proxy")
        url = proxy.url
    else:
        place = Place("redis", request.getfixturevalue("redis_url"))
        proxy, url = request.getfixturevalue("redis_proxy"), request.getfixturevalue("redis_proxy_url")
    task, worker, waiter = place.task(), place.backend(), place.backend(broker_url=url)
    with place, meanwhile(partial(waiter.wait_for, task, timeout=WAIT)) as outcomes:
        place.await_waiters(1, task)
        worker.store_result(task, None, "STARTED")
        # when all connections are cut,
        proxy.fail("rst")
        worker.store_result(task, "after the cut", "SUCCESS")
    # then it has waited on.
    assert outcomes[0]["result"] == "after the cut"
