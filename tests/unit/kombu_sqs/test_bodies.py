"""Bodies and attributes, both ways: kombu's own, foreign ones, raw ones, and those that are too large."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Queue
from kombu_sqs import MessageTooLarge
from tests.support.sqs import Shelf
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from tests.support.sqs import Endpoint

S3_EVENT = json.dumps(
    {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "a b.txt", "size": 5}}}]}, indent=1
)
SNS_NOTICE = json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": '{"inner": true}'})

FOREIGN = [
    "hello, plain text",
    "aGVsbG8gd29ybGQ=",  # looks like base64
    base64.b64encode(b'{"a": 1}').decode(),
    "eyJ",
    "123",
    '{"broken": ',
    '{"body": "x", "properties": {}}',
    "  leading and trailing  ",
    "Zürich \U0001f600\ttab",
    S3_EVENT,
    SNS_NOTICE,
]


@pytest.mark.parametrize("body_format", ["base64", "json", "raw"])
def test_foreign_bodies_are_left_as_they_are(sqs_endpoint: Endpoint, sqs_name: str, body_format: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    for body in FOREIGN:
        sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody=body)
    with connect(sqs_endpoint.url, body_format=body_format) as connection:
        messages = Inbox(connection, sqs_name, prefetch=0).receive(len(FOREIGN))
        assert sorted(message.body.decode() for message in messages) == sorted(FOREIGN)
        payloads = {message.body.decode(): message.payload for message in messages}
        assert payloads[S3_EVENT] == json.loads(S3_EVENT)
        assert payloads[SNS_NOTICE]["Message"] == '{"inner": true}'
        assert payloads["aGVsbG8gd29ybGQ="] == "aGVsbG8gd29ybGQ="
        for message in messages:
            message.ack()


@pytest.mark.parametrize("body_format", ["base64", "json", "raw"])
def test_formats_round_trip(sqs_endpoint: Endpoint, sqs_name: str, body_format: str) -> None:
    with connect(sqs_endpoint.url, body_format=body_format) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
        producer = connection.Producer()
        sent = [{"a": [1, "ä"]}, "aGVsbG8gd29ybGQ=", "plain", [1, 2]]
        for body in sent:
            producer.publish(body, routing_key=sqs_name, serializer="json", headers={"h": {"deep": 1}})
        messages = Inbox(connection, sqs_name).receive(len(sent))
        assert sorted(map(repr, (message.payload for message in messages))) == sorted(map(repr, sent))
        assert all(message.headers == {"h": {"deep": 1}} for message in messages)
        assert {message.content_type for message in messages} == {"application/json"}


def test_what_others_read_of_each_format(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    bodies = {}
    for body_format in ("base64", "json", "raw"):
        with connect(sqs_endpoint.url, body_format=body_format) as connection:
            connection.Producer().publish({"a": 1}, routing_key=sqs_name)
        bodies[body_format] = sqs_endpoint.client().receive_message(QueueUrl=queue)["Messages"][0]["Body"]
    assert bodies["raw"] == '{"a": 1}'
    assert json.loads(bodies["json"])["body"] == '{"a": 1}'
    envelope = json.loads(base64.b64decode(bodies["base64"]))
    assert base64.b64decode(envelope["body"]) == b'{"a": 1}'
    assert envelope["properties"]["body_encoding"] == "base64"


def test_raw_refuses_what_sqs_cannot_carry(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    sqs_endpoint.create(sqs_name)
    with connect(sqs_endpoint.url, body_format="raw") as connection:
        for body, match in ((b"\xff\xfe", "not UTF-8"), ("nul \0", "'\\\\x00' at 4"), ("", "empty body")):
            with pytest.raises(connection.channel_errors, match=match):
                connection.Producer().publish(body, routing_key=sqs_name)


def test_attributes_both_ways(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given
    queue = sqs_endpoint.create(sqs_name)
    given: dict[str, Any] = {
        "text": "blue",
        "number": 7,
        "bytes": b"\0\1",
        "typed": {"DataType": "String.kind", "StringValue": "x"},
    }
    with connect(sqs_endpoint.url) as connection:
        # When
        connection.Producer().publish("hello", routing_key=sqs_name, message_attributes=given)
        message = Inbox(connection, sqs_name).receive(1)[0]
        # Then
        assert message.properties["message_attributes"] == {
            "text": {"DataType": "String", "StringValue": "blue"},
            "number": {"DataType": "Number", "StringValue": "7"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\0\1"},
            "typed": {"DataType": "String.kind", "StringValue": "x"},
        }
        assert message.delivery_info["sqs_queue"] == queue
        with pytest.raises(connection.channel_errors, match="10 at most"):
            attributes = {f"a{number}": "x" for number in range(11)}
            connection.Producer().publish("hello", routing_key=sqs_name, message_attributes=attributes)


class TestTooLarge:
    def test_without_a_store_nothing_is_sent(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        queue = sqs_endpoint.create(sqs_name)
        with connect(sqs_endpoint.url, max_message_size=2000) as connection:
            producer = connection.Producer()
            with pytest.raises(MessageTooLarge, match=r"has \d{4} bytes .* 2000 are allowed"):
                producer.publish("x" * 2000, routing_key=sqs_name)
        assert sqs_endpoint.ready(queue) == 0

    def test_a_batch_says_which(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        from kombu.exceptions import BatchPublishError

        queue = sqs_endpoint.create(sqs_name)
        with connect(sqs_endpoint.url, max_message_size=2000) as connection:
            producer = connection.Producer()
            with pytest.raises(BatchPublishError) as caught:
                with producer.batch():
                    for size in (1, 2000, 1):
                        producer.publish("x" * size, routing_key=sqs_name)
            assert [type(one) for one in caught.value.outcomes] == [type(None), MessageTooLarge, type(None)]
        assert sqs_endpoint.ready(queue) == 2

    @pytest.mark.parametrize("body_format", ["base64", "json", "raw"])
    def test_a_store_keeps_it_until_it_is_acknowledged(
        self, sqs_endpoint: Endpoint, sqs_name: str, body_format: str
    ) -> None:
        # Given
        queue, shelf = sqs_endpoint.create(sqs_name), Shelf()
        options = {"max_message_size": 2000, "offload": shelf, "body_format": body_format}
        with connect(sqs_endpoint.url, **options) as connection:
            # When
            connection.Producer().publish({"x": "y" * 5000}, routing_key=sqs_name, headers={"a": 1})
            inbox = Inbox(connection, sqs_name)
            inbox.receive(1)[0].requeue()
            assert len(shelf) == 1, "it is needed again"
            message = inbox.receive(2)[1]
            # Then
            assert (message.payload, message.headers) == ({"x": "y" * 5000}, {"a": 1})
            message.ack()
        assert shelf == {}
        assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)

    def test_s3(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        # Given
        s3, bucket = sqs_endpoint.client("s3"), sqs_name
        s3.create_bucket(Bucket=bucket)
        sqs_endpoint.create(sqs_name)
        options = {
            "max_message_size": 2000,
            "offload": f"s3://{bucket}/large",
            "s3_endpoint_url": sqs_endpoint.address,
        }
        with connect(sqs_endpoint.url, **options) as connection:
            # When
            connection.Producer().publish("z" * 9000, routing_key=sqs_name)
            kept = s3.list_objects_v2(Bucket=bucket)["Contents"]
            message = Inbox(connection, sqs_name).receive(1)[0]
            # Then
            assert [one["Key"].split("/")[0] for one in kept] == ["large"]
            assert message.payload == "z" * 9000
            message.ack()
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

    def test_a_body_that_cannot_be_had_is_not_lost(
        self, sqs_endpoint: Endpoint, sqs_name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        # Given: a consumer that knows nothing of the store
        queue, shelf = sqs_endpoint.create(sqs_name), Shelf()
        with connect(sqs_endpoint.url, max_message_size=2000, offload=shelf) as connection:
            connection.Producer().publish("x" * 2000, routing_key=sqs_name)
        with connect(sqs_endpoint.url, visibility_timeout=1) as connection:
            inbox = Inbox(connection, sqs_name)
            until(lambda: "cannot be had" in caplog.text, "it is told", connection)
            assert inbox == []
        # Then
        with connect(sqs_endpoint.url, max_message_size=2000, offload=shelf) as connection:
            assert Inbox(connection, sqs_name).receive(1)[0].payload == "x" * 2000
        assert sqs_endpoint.ready(queue) == 1
