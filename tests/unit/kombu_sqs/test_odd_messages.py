"""Messages that somebody else made, in ways nobody expects: each reaches the consumer, and holds no other up."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Consumer, Exchange, Queue
from tests.support.sqs import Endpoint, Shelf
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from tests.support.sqs_proxy import HttpProxy


def envelope(**changes: Any) -> str:
    whole = {
        "body": "hello",
        "content-type": "text/plain",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {},
    }
    return json.dumps({**whole, **changes})


ODD = [
    envelope(headers=None),
    envelope(headers=[1, 2]),
    envelope(properties={"delivery_info": "a text"}),
    envelope(properties={"delivery_info": ["a", "list"]}),
    envelope(body={"a": "mapping"}),
    envelope(body=17),
    envelope(**{"content-type": 5, "content-encoding": []}),
    envelope(properties={"body_encoding": "rot13"}),
    envelope(body="not base64!", properties={"body_encoding": "base64"}),
    envelope(properties={"kombu_offload": 5}),
    envelope(properties={"delivery_count": "many", "expires_at": "soon"}),
    base64.b64encode(envelope(properties={"delivery_info": 1}).encode()).decode(),
]


@pytest.mark.parametrize("body_format", ["base64", "raw"])
def test_an_odd_envelope_is_a_message_like_others(
    sqs_endpoint: Endpoint, sqs_name: str, body_format: str
) -> None:
    # Given: each kind of oddness, and ordinary messages among them
    queue = sqs_endpoint.create(sqs_name)
    for body in [*ODD, "ordinary"]:
        sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody=body)
    with connect(sqs_endpoint.url, body_format=body_format) as connection:
        # When
        inbox = Inbox(connection, sqs_name, prefetch=0)
        messages = inbox.receive(len(ODD) + 1)
        # Then: who cannot be understood has the whole text as its body
        assert "ordinary" in [message.payload for message in messages]
        for message in messages:
            assert isinstance(message.headers, dict)
            assert isinstance(message.delivery_info, dict)
            message.ack()
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)


@pytest.mark.parametrize("value", ["no json {", "[1]", "null", '"text"'])
def test_odd_attributes_of_kombus_own_names(sqs_endpoint: Endpoint, sqs_name: str, value: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    attributes = {
        "kombu.headers": {"DataType": "String", "StringValue": value},
        "kombu.content-type": {"DataType": "Binary", "BinaryValue": b"\0"},
    }
    sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody="hello", MessageAttributes=attributes)
    with connect(sqs_endpoint.url, body_format="raw") as connection:
        message = Inbox(connection, sqs_name).receive(1)[0]
        assert (message.body, message.headers) == (b"hello", {})
        message.ack()


def test_what_cannot_be_decoded_goes_to_on_decode_error(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    for body in (envelope(**{"content-type": "application/json", "body": "{broken"}), "ordinary"):
        sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody=body)
    with connect(sqs_endpoint.url) as connection:
        bad: list[Any] = []
        good: list[Any] = []
        consumer = Consumer(
            connection.channel(),
            [Queue(sqs_name)],
            callbacks=[lambda body, message: good.append(message)],
            on_decode_error=lambda message, exc: bad.append(message),
            accept=["json", "text/plain"],
        )
        consumer.consume()
        until(lambda: bad and good, "both come", connection)
        assert bad[0].body == "{broken"
        for message in bad + good:
            message.ack()


def test_a_large_raw_body_through_a_topic(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given: more than a topic takes
    body = {"x": "y" * 300_000}
    options = {"supports_fanout": True, "offload": Shelf(), "body_format": "raw"}
    with connect(sqs_endpoint.url, **options) as connection:
        exchange = Exchange(sqs_name, "fanout")
        Queue(sqs_name, exchange, channel=connection.channel()).declare()
        inbox = Inbox(connection, sqs_name)
        # When
        connection.Producer(exchange=exchange).publish(body)
        # Then
        message = inbox.receive(1)[0]
        assert message.payload == body
        message.ack()


def test_a_queue_with_a_lower_limit_than_sqs(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given: a queue somebody made for small messages
    queue = sqs_endpoint.create(sqs_name, MaximumMessageSize="2000")
    shelf = Shelf()
    with connect(sqs_endpoint.url, offload=shelf) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
        # When
        connection.Producer().publish("x" * 3000, routing_key=sqs_name)
        # Then
        assert len(shelf) == 1
        message = Inbox(connection, sqs_name).receive(1)[0]
        assert message.payload == "x" * 3000
        message.ack()
    assert sqs_endpoint.ready(queue) == 0


def test_limits_of_other_connections_are_their_own(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    sqs_endpoint.create(sqs_name)
    with connect(sqs_endpoint.url, max_message_size=2000, offload=Shelf()) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
    with connect(sqs_endpoint.url) as connection:
        connection.Producer().publish("x" * 3000, routing_key=sqs_name)
        message = Inbox(connection, sqs_name).receive(1)[0]
        assert message.payload == "x" * 3000
        message.ack()


def test_a_batch_that_is_too_long_for_one_request_goes_in_several(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: an endpoint that takes two at a time (AWS took 256 KB in all once, and others still do)
    queue = sqs_endpoint.create(sqs_name)
    from tests.support.sqs_proxy import refusal

    def rule(action: str, number: int) -> Any:
        if action == "SendMessageBatch" and len(sqs_proxy.requests(action)[-1]["Entries"]) > 2:
            return refusal("AWS.SimpleQueueService.BatchRequestTooLong", 400)
        return None

    sqs_proxy.rule = rule
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        producer = connection.Producer()
        with producer.batch():
            for number in range(9):
                producer.publish(number, routing_key=sqs_name)
    assert sqs_endpoint.ready(queue) == 9
