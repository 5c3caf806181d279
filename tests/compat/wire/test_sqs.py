"""Processes with kombu 5.7.0 and with this one on the same queues at SQS: each reads what the other wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from kombu import Connection
from tests.support.fleet import Fleet, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sqs import Endpoint

#: (Without a region kombu 5.7 takes us-east-1, and asks by HTTP.)
OPTIONS: dict[str, Any] = {
    "region": "us-east-1",
    "is_secure": False,
    "wait_time_seconds": 1,
    "polling_interval": 0.05,
    "supports_fanout": True,
}

#: What is published: the body, and options of publish.
MESSAGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "json": (
        {"a": [1, "ä", None, 2.5]},
        {"headers": {"h": {"deep": [1]}}, "priority": 3, "correlation_id": "c-1", "reply_to": "answers"},
    ),
    "text": ("plain text, ü \U0001f600", {}),
    "bytes": ({"bytes": [0, 255, 10]}, {}),
    "like base64": ("aGVsbG8gd29ybGQ=", {}),
    "compressed": ({"long": "x" * 5000}, {"compression": "zlib"}),
    "attributes": ([1], {"message_attributes": {"n": {"DataType": "Number", "StringValue": "1"}}}),
}
#: Content type and encoding where it is not JSON.
TYPES = {
    "text": ["text/plain", "utf-8"],
    "like base64": ["text/plain", "utf-8"],
    "bytes": ["application/data", "binary"],
}
KEPT = ("priority", "correlation_id", "reply_to", "delivery_mode")


class Pair:
    """One process of each kind, in a format of the envelope."""

    def __init__(self, fleet: Fleet, old_python: str, base64: bool) -> None:
        options = {"sqs_base64_encoding": base64, "wait_time_seconds": 0}
        self.old = fleet.launch(old_python, **options)
        self.new = fleet.launch(**options)

    def ordered(self, sender: str) -> tuple[Process, Process]:
        return (self.old, self.new) if sender == "old" else (self.new, self.old)


@pytest.fixture(scope="module")
def fleet(sqs_endpoint: Endpoint) -> Iterator[Fleet]:
    fleet = Fleet(sqs_endpoint.url, **OPTIONS)
    yield fleet
    fleet.close()


@pytest.fixture(scope="module", params=["base64", "json"])
def pair(request: pytest.FixtureRequest, fleet: Fleet, old_kombu_sqs: str) -> Pair:
    pair = Pair(fleet, old_kombu_sqs, request.param == "base64")
    for process in (pair.old, pair.new):
        process.wait(lambda process=process: process.all("started"), "it starts")
    return pair


@pytest.fixture
def queue() -> dict[str, Any]:
    name = f"wire-{uuid4().hex[:8]}"
    return {"name": name, "exchange": f"{name}.x", "key": "key"}


def take(process: Process, queue: dict[str, Any], **options: Any) -> dict[str, Any]:
    """One message, as the process sees it."""
    events = process.ask("take", queue=queue, properties=KEPT, **options)
    (taken,) = [event for event in events if "taken" in event]
    return taken


@pytest.mark.parametrize("sender", ["old", "new"])
@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_arrives_as_it_was_sent(pair: Pair, queue: dict[str, Any], sender: str, kind: str) -> None:
    body, options = MESSAGES[kind]
    sends, takes = pair.ordered(sender)
    # When: one for the other, and one for its own kind
    for _ in range(2):
        sends.ask("send", queue=queue, body=body, **options)
    there, here = take(takes, queue), take(sends, queue)
    # Then: both see the same
    assert there == here
    assert there["taken"] == body
    assert there["type"] == TYPES.get(kind, ["application/json", "utf-8"])
    for name in ("correlation_id", "reply_to", "priority"):
        assert there["properties"][name] == options.get(name, 0 if name == "priority" else None)
    assert {**there["headers"], **options.get("headers", {})} == there["headers"]


@pytest.mark.parametrize("sender", ["old", "new"])
def test_what_one_gives_back_the_other_gets(pair: Pair, queue: dict[str, Any], sender: str) -> None:
    gives, takes = pair.ordered(sender)
    gives.ask("send", queue=queue, body="again")
    assert take(gives, queue, then="requeue")["taken"] == "again"
    assert take(takes, queue)["taken"] == "again"


@pytest.mark.parametrize("sender", ["old", "new"])
def test_fifo(pair: Pair, sender: str) -> None:
    queue = {"name": f"wire-{uuid4().hex[:8]}.fifo"}
    sends, takes = pair.ordered(sender)
    for number in range(3):
        sends.ask("send", queue=queue, body=number, MessageGroupId="group")
    assert [take(takes, queue)["taken"] for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("sender", ["old", "new"])
def test_a_broadcast_reaches_both(
    sqs_endpoint: Endpoint, fleet: Fleet, old_kombu_sqs: str, sender: str
) -> None:
    # Given: a consumer of each kind, with a queue of its own
    name = f"wire-{uuid4().hex[:8]}"
    consumers = [fleet.launch(python) for python in (old_kombu_sqs, None)]
    for number, consumer in enumerate(consumers):
        consumer.consume({"name": f"{name}-{number}", "exchange": name, "type": "fanout"})
    # When
    publisher = fleet.launch(old_kombu_sqs if sender == "old" else None)
    publisher.ask("publish", bodies=[{"n": 1}, "text"], exchange=name, type="fanout")
    # Then
    for consumer in consumers:
        assert sorted(map(str, consumer.wait_for("got", 2))) == ["text", "{'n': 1}"]


def test_both_share_the_work_of_a_queue(sqs_endpoint: Endpoint, fleet: Fleet, old_kombu_sqs: str) -> None:
    # Given
    name = f"wire-{uuid4().hex[:8]}"
    workers = [fleet.launch(python, visibility_timeout=60) for python in (old_kombu_sqs, None)]
    for worker in workers:
        worker.consume(name, prefetch=2)
    # When: each kind publishes too
    fleet.launch(old_kombu_sqs).ask("publish", bodies=list(range(15)), key=name)
    with Connection(sqs_endpoint.url, transport_options=OPTIONS) as connection:
        for number in range(15, 30):
            connection.Producer().publish(number, routing_key=name)
    # Then: everything comes, once
    fleet.wait(lambda: sum(len(worker.all("acked")) for worker in workers) >= 30, "all are done")
    assert sorted(body for worker in workers for body in worker.all("acked")) == list(range(30))
    assert all(worker.all("acked") for worker in workers)
