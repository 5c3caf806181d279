"""A Celery worker whose remote control and events go by streams (``broker_transport_options={"fanout": "stream"}``).

All of Celery's suite runs on it by ``--celery``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.redis_server import RedisServer

NAME = "w@streams"


def test_control_and_events(make_redis: Callable[..., RedisServer]) -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("celery")
    from celery.exceptions import TaskRevokedError

    from tests.compat.celery.application import make_app
    from tests.compat.celery.programs import Worker

    # Given
    server = make_redis()
    settings = {
        "broker_url": server.url_of(0),
        "result_backend": server.url_of(1),
        "broker_transport_options": {"fanout": "stream", "lease": 1},
        "event_queue_ttl": 60,
    }
    app = make_app(settings)
    worker = Worker(settings, NAME, "--concurrency=1", "--without-mingle", "--without-gossip", pool="solo")
    try:
        worker.await_ready()
        heard: list[dict[str, Any]] = []
        control = app.control
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": heard.append})
            with receiver.consumer_context() as (listening, _, _):
                # When: it is asked, and does something
                assert control.ping([NAME], timeout=20, limit=1) == [{NAME: {"ok": "pong"}}]
                inspect = control.inspect([NAME], timeout=20)
                assert "add" in inspect.registered()[NAME]
                late = app.tasks["add"].apply_async((1, 1), countdown=1)
                (answer,) = control.broadcast(
                    "revoke", {"task_id": late.id}, destination=[NAME], reply=True, timeout=20, limit=1
                )
                assert "ok" in answer[NAME]
                sent = app.tasks["add"].delay(2, 3)
                assert sent.get(20) == 5
                with pytest.raises(TaskRevokedError):
                    late.get(20)
                control.broadcast("shutdown", destination=[NAME])
                # Then
                assert worker.await_end() == 0
                listen(heard, listening, sent.id)
        # (by streams, and not by pub/sub)
        client = server.client()
        assert client.xlen("_kombu.stream.celery.pidbox") >= 4
        assert 0 < client.xlen("_kombu.stream.celeryev") <= len(heard)
    finally:
        worker.stop()
        app.close()
    print(worker.output)


def listen(heard: list[dict[str, Any]], connection: Any, task: str) -> None:
    """Take in events until that of the worker's end, which is the last."""

    def complete() -> bool:
        try:
            connection.drain_events(timeout=0.2)
        except TimeoutError:
            pass
        return bool(heard) and heard[-1]["type"] == "worker-offline"

    until(complete, 20, "the worker's events")
    story = [event["type"] for event in heard if event.get("uuid") == task]
    assert sorted(story) == ["task-received", "task-sent", "task-started", "task-succeeded"]
