"""States as messages: the last one wins and stays where everybody finds it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from celery.app.task import Context
from celery.result import AsyncResult

from kombu.exceptions import ContentDisallowed
from kombu_celery_amqp import BacklogLimitExceeded

if TYPE_CHECKING:
    from tests.compat.celery_amqp.places import Place


def test_a_task_that_nobody_has_heard_of_is_pending(place: Place) -> None:
    task, backend = place.task(), place.backend()
    assert backend.get_task_meta(task) == {"status": "PENDING", "result": None}
    assert backend.poll(task)["status"] == backend.get_state(task) == "PENDING"
    assert backend.task_result_exists(task) is False


def test_the_last_state_wins_and_each_getter_finds_it(place: Place) -> None:
    # Given a worker's states, stored one after the other, when two others look, each twice,
    task, worker, one, other = place.task(), place.backend(), place.backend(), place.backend()
    for state, result in (("STARTED", {"pid": 1}), ("RETRY", KeyError("x")), ("SUCCESS", [1, {"a": None}])):
        worker.store_result(task, result, state)
    assert place.queue(task).message_count == 3
    for getter in (one, other, one, other):
        meta = getter.get_task_meta(task)
        assert (meta["status"], meta["result"], meta["task_id"]) == ("SUCCESS", [1, {"a": None}], task)

    # then only the newest is still there, and all of Celery's ways to it say the same.
    assert place.queue(task).message_count == 1
    assert other.get_result(task) == [1, {"a": None}] and other.task_result_exists(task)
    result = AsyncResult(task, app=place.app())
    assert result.successful() and result.ready() and result.get(timeout=0) == [1, {"a": None}]


def test_newer_states_follow_older_ones(place: Place) -> None:
    task, worker, getter = place.task(), place.backend(), place.backend()
    for state in ("STARTED", "PROGRESS", "SUCCESS", "STARTED", "SUCCESS"):
        worker.store_result(task, {"is": state}, state)
        assert getter.get_state(task) == state


def test_a_failure_is_the_exception_again(place: Place) -> None:
    task, worker, getter = place.task(), place.backend(), place.backend()
    worker.mark_as_failure(task, LookupError("not", "there"), traceback="Traceback: here")
    meta = getter.get_task_meta(task)
    assert isinstance(meta["result"], LookupError) and meta["result"].args == ("not", "there")
    assert meta["traceback"] == "Traceback: here" and meta["date_done"]


def test_a_message_says_what_the_request_said(place: Place) -> None:
    task, worker = place.task(), place.backend(result_extended=True, result_persistent=False)
    request = Context(id=task, correlation_id="c-1", group="g-1", parent_id="p-1", task="add", args=[1, 2])
    worker.store_result(task, 3, "SUCCESS", request=request)
    meta = place.backend().get_task_meta(task)
    assert (meta["group_id"], meta["parent_id"], meta["name"], meta["args"]) == ("g-1", "p-1", "add", [1, 2])
    message = place.message(task)
    assert message.properties["correlation_id"] == "c-1"
    assert message.properties["delivery_mode"] == 1
    assert message.delivery_info["exchange"] == "celeryresults"
    assert message.delivery_info["routing_key"] == task.replace("-", "") == worker.rkey(task)


@pytest.mark.parametrize(
    "settings",
    [
        {"result_exchange": "results.mine", "result_exchange_type": "topic"},
        {"result_exchange": ""},
        {"result_serializer": "pickle", "result_accept_content": ["pickle"]},
        {"result_compression": "zlib"},
    ],
    ids=["topic", "default exchange", "pickle", "zlib"],
)
def test_settings_of_results(place: Place, settings: dict[str, object]) -> None:
    task = place.task()
    place.backend(**settings).store_result(task, "x" * 1000, "SUCCESS")
    assert place.backend(**settings).get_result(task) == "x" * 1000
    message = place.message(task)
    assert message.delivery_info["exchange"] == settings.get("result_exchange", "celeryresults")
    assert ("python-serialize" in message.content_type) is ("result_serializer" in settings)
    assert ("compression" in message.headers) is ("result_compression" in settings)
    assert message.properties["delivery_mode"] == 2


def test_a_result_that_may_not_be_decoded_stays(place: Place) -> None:
    task = place.task()
    place.backend(result_serializer="pickle").store_result(task, 1, "SUCCESS")
    careful = place.backend(result_accept_content=["json"])
    with pytest.raises(ContentDisallowed):
        careful.get_task_meta(task)
    with pytest.raises(ContentDisallowed):
        careful.wait_for(task, timeout=10)
    assert place.backend(result_accept_content=["pickle"]).get_result(task) == 1


def test_a_long_history_is_an_error_that_loses_nothing(place: Place) -> None:
    task, worker, getter = place.task(), place.backend(), place.backend()
    for number in range(5):
        worker.store_result(task, number, "PROGRESS")
    with pytest.raises(BacklogLimitExceeded, match=task):
        getter.get_task_meta(task, backlog_limit=3)
    assert getter.BacklogLimitExceeded is BacklogLimitExceeded
    # What was read is gone but for the last, so the next look gets to the end.
    assert place.queue(task).message_count == 3
    assert getter.get_task_meta(task, backlog_limit=4)["result"] == 4


def test_forgotten_is_deleted(place: Place) -> None:
    task, worker, getter = place.task(), place.backend(), place.backend()
    worker.store_result(task, 1, "SUCCESS")
    assert getter.get_result(task) == 1
    getter.forget(task)
    assert place.queue(task) is None
    assert getter.get_state(task) == "PENDING"
    getter.forget(task)
    getter.forget(place.task())


def test_reload_asks_the_broker_again(place: Place) -> None:
    task, worker, getter = place.task(), place.backend(), place.backend()
    worker.store_result(task, 1, "SUCCESS")
    assert getter.wait_for(task, timeout=30, no_ack=False)["result"] == 1
    worker.store_result(task, 2, "SUCCESS")
    assert getter.wait_for(task, timeout=30, no_ack=False)["result"] == 1  # as it was fetched
    getter.reload_task_result(task)
    assert getter.wait_for(task, timeout=30, no_ack=False)["result"] == 2
    # What the broker has no more is still remembered.
    worker.forget(task)
    getter.reload_task_result(task)
    assert getter.get_result(task) == 2


def test_groups_are_not_stored() -> None:
    from tests.compat.celery_amqp.places import Place

    backend = Place("memory", "memory://nothing").backend()
    for call in (
        lambda: backend.save_group("g", None),
        lambda: backend.restore_group("g"),
        lambda: backend.delete_group("g"),
        lambda: backend.reload_group_result("g"),
    ):
        with pytest.raises(NotImplementedError, match="not supported by the backend amqp://"):
            call()


def test_a_pickled_backend_is_the_same_one(place: Place) -> None:
    task, app = place.task(), place.app(result_persistent=False)
    app.backend.store_result(task, 1, "SUCCESS")
    app.set_current()
    copy = pickle.loads(pickle.dumps(app.backend))
    assert copy.get_result(task) == 1
    assert (copy.delivery_mode, copy.exchange.name, copy.expires) == (1, "celeryresults", 300)
