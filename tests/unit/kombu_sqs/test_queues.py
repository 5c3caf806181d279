"""FIFO and fair queues, delays, creation attributes, names and URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from kombu.exceptions import PreconditionFailed
from tests.support.sqs import Endpoint
from tests.support.sqs_proxy import LOSE, HttpProxy
from tests.unit.kombu_sqs.helpers import Inbox, connect

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY = {"max_retries": 3, "interval_start": 0, "interval_step": 0}


def lose_first(*actions: str) -> Callable[[str, int], Any]:
    """The endpoint does what it is asked the first time, and its answer gets lost."""
    return lambda action, number: LOSE if action in actions and number == 1 else None


class TestFifo:
    def test_in_order_within_a_group(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        # Given
        name = f"{sqs_name}.fifo"
        with connect(sqs_endpoint.url) as connection:
            Queue(name, channel=connection.channel()).declare()
            producer = connection.Producer()
            # When
            for number in range(6):
                producer.publish(number, routing_key=name, MessageGroupId="ab"[number % 2])
            # Then
            messages = Inbox(connection, name).receive(6)
            for group, expected in (("a", [0, 2, 4]), ("b", [1, 3, 5])):
                mine = [m.payload for m in messages if m.properties["MessageGroupId"] == group]
                assert mine == expected
            assert len({m.properties["MessageDeduplicationId"] for m in messages}) == 6

    @pytest.mark.parametrize("who_retries", ["request", "producer"])
    def test_a_retry_after_a_lost_answer_is_one_message(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, who_retries: str
    ) -> None:
        # Given: SQS took the message, and nobody heard of it
        name = f"{sqs_name}.fifo"
        sqs_proxy.rule = lose_first("SendMessage")
        options = {"max_attempts": 1} if who_retries == "producer" else {}
        with connect(Endpoint(sqs_proxy.port).url, **options) as connection:
            Queue(name, channel=connection.channel()).declare()
            producer = connection.Producer()
            # When
            producer.publish("once", routing_key=name, retry=who_retries == "producer", retry_policy=RETRY)
            producer.publish("once", routing_key=name)
            # Then: that is two messages of the same body, and none of them twice
            assert sqs_proxy.count("SendMessage") == 3
            url = sqs_endpoint.client().get_queue_url(QueueName=name)["QueueUrl"]
            assert sqs_endpoint.ready(url) == 2

    def test_also_in_a_batch(self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
        name = f"{sqs_name}.fifo"
        sqs_proxy.rule = lose_first("SendMessageBatch")
        with connect(Endpoint(sqs_proxy.port).url) as connection:
            Queue(name, channel=connection.channel()).declare()
            producer = connection.Producer()
            with producer.batch():
                for number in range(5):
                    producer.publish(number, routing_key=name)
            assert sqs_proxy.count("SendMessageBatch") == 2
            assert [m.payload for m in Inbox(connection, name).receive(5)] == list(range(5))
            url = sqs_endpoint.client().get_queue_url(QueueName=name)["QueueUrl"]
            assert sqs_endpoint.ready(url) == 0

    def test_an_id_of_the_publisher_is_kept(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        name = f"{sqs_name}.fifo"
        with connect(sqs_endpoint.url) as connection:
            Queue(name, channel=connection.channel()).declare()
            for body in ("first", "second"):
                connection.Producer().publish(body, routing_key=name, MessageDeduplicationId="order-1")
            url = sqs_endpoint.client().get_queue_url(QueueName=name)["QueueUrl"]
            assert sqs_endpoint.ready(url) == 1

    def test_a_message_cannot_be_delayed(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        name = f"{sqs_name}.fifo"
        with connect(sqs_endpoint.url) as connection:
            Queue(name, channel=connection.channel()).declare()
            with pytest.raises(PreconditionFailed, match="FIFO"):
                connection.Producer().publish("later", routing_key=name, delay=5)


class TestStandard:
    def test_fair_queues(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        with connect(sqs_endpoint.url) as connection:
            Queue(sqs_name, channel=connection.channel()).declare()
            connection.Producer().publish("hello", routing_key=sqs_name, MessageGroupId="tenant-7")
            message = Inbox(connection, sqs_name).receive(1)[0]
            assert message.properties["MessageGroupId"] == "tenant-7"

    def test_delay_seconds(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        with connect(sqs_endpoint.url) as connection:
            Queue(sqs_name, channel=connection.channel()).declare()
            connection.Producer().publish("later", routing_key=sqs_name, DelaySeconds=600)
            url = sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]
            assert sqs_endpoint.attributes(url)["ApproximateNumberOfMessagesDelayed"] == "1"
            with pytest.raises(PreconditionFailed, match="0 to 900 s"):
                connection.Producer().publish("later", routing_key=sqs_name, delay=901)

    def test_creation_attributes_and_tags(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        options: dict[str, Any] = {
            "sqs-creation-attributes": {"MessageRetentionPeriod": 3600, "KmsMasterKeyId": "alias/aws/sqs"},
            "queue_tags": {"team": "blue"},
            "visibility_timeout": 77,
            "queue_name_prefix": "pre-",
        }
        with connect(sqs_endpoint.url, **options) as connection:
            Queue(sqs_name, channel=connection.channel()).declare()
        url = sqs_endpoint.client().get_queue_url(QueueName=f"pre-{sqs_name}")["QueueUrl"]
        found = sqs_endpoint.attributes(url)
        assert (found["MessageRetentionPeriod"], found["VisibilityTimeout"]) == ("3600", "77")
        assert found["KmsMasterKeyId"] == "alias/aws/sqs"
        assert sqs_endpoint.client().list_queue_tags(QueueUrl=url)["Tags"] == {"team": "blue"}

    def test_a_queue_of_others_is_taken_as_it_is(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        url = sqs_endpoint.create(sqs_name, VisibilityTimeout="5")
        with connect(sqs_endpoint.url) as connection:
            Queue(sqs_name, channel=connection.channel()).declare()
        assert sqs_endpoint.attributes(url)["VisibilityTimeout"] == "5"

    def test_two_names_that_are_one_are_told(
        self, sqs_endpoint: Endpoint, sqs_name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with connect(sqs_endpoint.url) as connection:
            for name in (f"{sqs_name}.x", f"{sqs_name}-x"):
                Queue(name, channel=connection.channel()).declare()
        assert "are one at SQS" in caplog.text

    def test_purging_counts(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.fill(queue, 12)
        with connect(sqs_endpoint.url) as connection:
            held = connection.default_channel.basic_get(sqs_name)
            assert connection.default_channel.queue_purge(sqs_name) == 11
            held.ack()


@pytest.mark.parametrize(
    "form",
    [
        "sqs://{key}:{secret}@127.0.0.1:{port}",
        "sqs://{key}:{secret}@127.0.0.1:{port}//",
        "SQS://{key}:{secret}@127.0.0.1:{port}/",
        "sqs+http://{key}:{secret}@127.0.0.1:{port}",
    ],
)
def test_urls(sqs_endpoint: Endpoint, sqs_name: str, form: str) -> None:
    url = form.format(key="test", secret="a%2Fb%2Bc", port=sqs_endpoint.port)
    with Connection(url) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
        assert "a%2Fb" not in connection.as_uri()
    assert sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]


def test_credentials_and_endpoint_from_the_environment(
    sqs_endpoint: Endpoint, sqs_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", sqs_endpoint.address)
    with Connection("sqs://", transport_options={"region": "us-east-1"}) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
    assert sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]
