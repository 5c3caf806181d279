"""How Celery finds the backend and its broker, and what the broker is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from kombu import Connection
from kombu_celery_amqp import AMQPBackend
from tests.compat.celery_amqp.places import Place

if TYPE_CHECKING:
    from tests.support.rabbit import RabbitMQ


@pytest.mark.parametrize("name", ["amqp", "amqp://", "amqps://", "pyamqp://"])
def test_a_url_without_a_broker_is_the_applications_broker(name: str) -> None:
    place = Place("memory", "memory://own")
    app = place.app(result_backend=name)
    assert type(app.backend) is AMQPBackend and app.backend.as_uri() == "amqp://"
    task = place.task()
    app.backend.store_result(task, 1, "SUCCESS")
    assert place.queue(task).message_count == 1


def test_a_url_with_a_broker_is_that_one(rabbit: Place) -> None:
    # Given tasks that go one way and results that go another,
    app = Celery("two", broker="memory://tasks", backend=rabbit.url, set_as_current=False)
    task = rabbit.task()
    app.backend.store_result(task, 1, "SUCCESS")
    # then they are there, and the password is in no banner.
    assert rabbit.queue(task).message_count == 1
    assert rabbit.backend().wait_for(task, timeout=30)["result"] == 1
    assert "**" in app.backend.as_uri() and app.backend.as_uri(include_password=True) == rabbit.url


def test_another_transport_may_be_named() -> None:
    options = {"polling_interval": 0.01, "auto_delete": False}
    app = Celery("two", broker="memory://tasks", backend="amqp+memory://results", set_as_current=False)
    app.conf.result_backend_transport_options = options
    app.backend.store_result("t-1", 1, "SUCCESS")
    assert type(app.backend) is AMQPBackend and app.backend.auto_delete is False
    with Connection("memory://results") as connection:
        assert connection.default_channel.queue_declare("t1", passive=True).message_count == 1


def test_a_connection_may_be_given(rabbit: Place) -> None:
    app, task = Celery("given", broker="memory://tasks", set_as_current=False), rabbit.task()
    with Connection(rabbit.url) as connection:
        backend = AMQPBackend(app, connection, "results.given", persistent=False, expires=60)
        backend.store_result(task, 1, "SUCCESS")
        assert backend.wait_for(task, timeout=30)["result"] == 1


def test_defaults() -> None:
    backend = Place("memory", "memory://own").backend()
    assert backend.persistent and backend.supports_autoexpire and backend.supports_native_join
    assert (backend.exchange.name, backend.exchange.type, backend.exchange.durable) == (
        "celeryresults",
        "direct",
        True,
    )
    assert backend.retry_policy == {
        "max_retries": 20,
        "interval_start": 0,
        "interval_step": 1,
        "interval_max": 1,
    }


def test_queues_as_rabbitmq_has_them(rabbit: Place, rabbitmq: RabbitMQ) -> None:
    # Given results that are to be kept, that are not, and that never expire, one stored and one only looked for,
    settings: list[dict[str, Any]] = [{}, {"result_persistent": False}, {"result_expires": None}]
    tasks = [rabbit.task() for _ in settings]
    for task, more in zip(tasks, settings, strict=True):
        rabbit.backend(**more).store_result(task, 1, "SUCCESS")
    looked = rabbit.task()
    rabbit.backend().get_state(looked)

    # then no queue is transient without being exclusive, which RabbitMQ 4 refuses; all are classic and expire unused.
    listed = rabbitmq.ctl("list_queues", "--formatter", "json", "name", "durable", "auto_delete", "arguments")
    queues = {queue["name"]: queue for queue in json.loads(listed)}
    for task, milliseconds in zip([*tasks, looked], [300_000, 300_000, None, 300_000], strict=True):
        queue = queues[task.replace("-", "")]
        assert queue["durable"] is True and queue["auto_delete"] is False
        found = {name: value for name, _, value in queue["arguments"]}
        assert found.pop("x-queue-type") == "classic"
        assert found == ({"x-expires": milliseconds} if milliseconds else {})
