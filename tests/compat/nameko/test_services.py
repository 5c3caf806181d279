"""Nameko services on eventlet, with RabbitMQ: calls, messages, events and their headers."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.compat.nameko.conftest import Services
from tests.support.fleet import Process

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def client(client_of: Callable[[str], Process], amqp_url: str) -> Process:
    return client_of(amqp_url)


@pytest.fixture(scope="module")
def services(run: Callable[..., Services], client: Process, amqp_url: str) -> Services:
    services = run(amqp_url)
    ready(services, client)
    return services


def ready(services: Services, client: Process) -> None:
    """Wait until the services answer."""
    services.wait(lambda: "answer" in call(services, client, "ask_behind"), "they answer")


def call(services: Services, client: Process, method: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Call the service "front"; its answer or error."""
    return client.ask("call", service=f"{services.prefix}-front", method=method, arguments=arguments, **options)[0]


def test_procedures(services: Services, client: Process) -> None:
    # When, Then: many calls at once
    client.ask("sums", service=f"{services.prefix}-front", count=50)
    assert client.all("answers")[-1] == list(range(1, 51))
    # exceptions are the caller's, and so is it when there is no such method
    assert call(services, client, "fail", "so it is") == {"error": "RemoteError", "text": "ValueError so it is"}
    assert call(services, client, "nothing")["error"] == "MethodNotFound"
    # a service that does not exist is told at once, since its exchange returns the message
    (answer, _) = client.ask("call", service=f"{services.prefix}-nobody", method="add")
    assert answer["error"] == "UnknownService"
    # what the caller says of himself goes along in the headers, from service to service
    assert call(services, client, "ask_behind", language="eo") == {"answer": ["eo", "eo"]}


def test_messages(services: Services, client: Process) -> None:
    # When: messages are published, of which one fails twice
    bodies = [{"number": 1}, {"number": 2, "fails": 2}, {"number": 3}]
    call(services, client, "send", bodies, "careful", language="eo")
    # Then: that one comes back until it is done
    services.wait(lambda: {1, 2, 3} <= set(services.all("took")), "all are done")
    deliveries = [(event["began"], event["times"]) for event in services.events if "times" in event]
    assert sorted(deliveries) == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1)]
    assert set(services.all("language")) == {"eo"}


@pytest.mark.parametrize("options", [{"compression": "gzip", "expiration": 60}, {"use_confirms": False, "priority": 3}])
def test_options_of_a_publisher(services: Services, client: Process, options: dict[str, Any]) -> None:
    number = 100 + len(services.events)
    assert "answer" in call(services, client, "send", [{"number": number}], "careful", **options)
    services.wait(lambda: number in services.all("took"), "it is taken")


def test_without_requeue_an_error_is_the_end(services: Services, client: Process) -> None:
    call(services, client, "send", [{"number": 10}, {"number": 11}], "careless")
    services.wait(lambda: {10, 11} <= set(services.all("began")), "both are delivered")
    assert "answer" in call(services, client, "add", 1, 2)
    assert services.all("began").count(10) == services.all("began").count(11) == 1


def test_events(services: Services, client: Process) -> None:
    call(services, client, "announce", {"by": "a service"})
    client.ask("dispatch", service=f"{services.prefix}-front", kind="happened", payload={"by": "a client"})
    for kind in ("heard", "overheard"):
        services.wait_for(kind, 2)
        assert services.all(kind) == [{"by": "a service"}, {"by": "a client"}]


def test_a_service_that_is_asked_to_stop_finishes_what_it_does(
    run: Callable[..., Services], client: Process, amqp_url: str
) -> None:
    # Given: two processes of a service, one of which is in the middle of a message
    first = run(amqp_url)
    ready(first, client)
    call(first, client, "send", [{"number": 1, "takes": 1}], "careful")
    first.wait_for("began")
    # When
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    # Then: it was finished and acknowledged
    first.read()
    assert first.all("took") == [1]
    second = run(amqp_url, first.prefix)
    ready(second, client)
    call(second, client, "send", [{"number": 2}], "careful")
    second.wait_for("took")
    assert second.all("began") == [2]
