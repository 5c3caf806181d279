"""Predefined queues: the fewest permissions, credentials and backoff of their own. No queue is created unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Consumer, Exchange, Queue
from kombu_sqs import UndefinedQueueException
from tests.support.sqs import Endpoint
from tests.support.sqs_proxy import HttpProxy, refusal
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a worker may do with a predefined queue. (Batches are the same IAM actions.)
ALLOWED = {
    "SendMessage",
    "SendMessageBatch",
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
}


@pytest.fixture
def strict(sqs_proxy: HttpProxy) -> Iterator[Endpoint]:
    """An endpoint that allows nothing else."""
    sqs_proxy.rule = lambda action, number: None if action in ALLOWED else refusal()
    yield Endpoint(sqs_proxy.port)
    assert set(sqs_proxy.actions) <= ALLOWED


def predefined(endpoint: Endpoint, name: str, **settings: Any) -> dict[str, Any]:
    return {name: {"url": endpoint.create(name), **settings}}


@pytest.mark.parametrize("batch_deletes", [False, True])
def test_four_permissions_are_enough(
    sqs_endpoint: Endpoint, strict: Endpoint, sqs_name: str, batch_deletes: bool
) -> None:
    # Given: what programs do: declare, bind, publish, consume, settle in every way, purge, close
    queues = predefined(sqs_endpoint, sqs_name, redrive_policy=False)
    url = queues[sqs_name]["url"]
    with connect(strict.url, predefined_queues=queues, batch_deletes=batch_deletes) as connection:
        queue = Queue(sqs_name, Exchange(f"{sqs_name}.x", "direct"), routing_key="key")
        producer = connection.Producer()
        with producer.batch():
            for number in range(3):
                producer.publish(number, exchange=queue.exchange, routing_key="key", declare=[queue])
        producer.publish(3, exchange=queue.exchange, routing_key="key", declare=[queue])
        seen: list[Any] = []
        consumer = Consumer(connection.channel(), [queue], prefetch_count=10)
        consumer.register_callback(lambda body, message: seen.append(message))
        consumer.consume()
        until(lambda: len(seen) == 4, "all come", connection)
        # When
        seen[0].ack()
        seen[1].reject()
        seen[2].requeue()
        until(lambda: len(seen) == 5, "one comes again", connection)
        seen[4].ack()
        consumer.cancel()
        connection.default_channel.queue_purge(sqs_name)
        connection.default_channel.queue_delete(sqs_name)
    # Then: a predefined queue stays, and what was held is there again
    assert (sqs_endpoint.in_flight(url), sqs_endpoint.ready(url)) == (0, 1)


def test_a_queue_that_is_not_named_is_refused(
    sqs_endpoint: Endpoint, strict: Endpoint, sqs_name: str
) -> None:
    queues = predefined(sqs_endpoint, sqs_name)
    with connect(strict.url, predefined_queues=queues) as connection:
        with pytest.raises(UndefinedQueueException, match="predefined_queues"):
            Queue(f"{sqs_name}-other", channel=connection.channel()).declare()


def test_no_queue_is_created_unasked(sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
    # Given
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        channel = connection.channel()
        # When: publishing, getting and asking
        connection.Producer(channel).publish("lost", routing_key=sqs_name)
        for verb in ("queue_declare", "basic_get"):
            options = {"passive": True} if verb == "queue_declare" else {}
            with pytest.raises(connection.channel_errors):
                getattr(connection.channel(), verb)(queue=sqs_name, **options)
    # Then
    assert sqs_proxy.count("CreateQueue") == 0
    assert "ListQueues" not in sqs_proxy.actions


def test_credentials_of_their_own(sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
    queues = {
        **predefined(sqs_endpoint, f"{sqs_name}-a", access_key_id="KEY-A", secret_access_key="secret"),
        **predefined(sqs_endpoint, f"{sqs_name}-b", access_key_id="KEY-B", secret_access_key="secret"),
        **predefined(sqs_endpoint, f"{sqs_name}-c"),
    }
    with connect(Endpoint(sqs_proxy.port, key="KEY-URL").url, predefined_queues=queues) as connection:
        for name in queues:
            connection.Producer().publish("hello", routing_key=name)
    assert sqs_proxy.keys == ["KEY-A", "KEY-B", "KEY-URL"]


class TestBackoff:
    def test_a_rejected_task_comes_again_after_its_time(
        self, sqs_endpoint: Endpoint, strict: Endpoint, sqs_name: str
    ) -> None:
        # Given
        queues = predefined(
            sqs_endpoint,
            sqs_name,
            backoff_policy={1: 1, 2: 300},
            backoff_tasks=["shop.pay"],
            redrive_policy=False,
        )
        url = queues[sqs_name]["url"]
        with connect(strict.url, predefined_queues=queues) as connection:
            producer = connection.Producer()
            producer.publish("one", routing_key=sqs_name, headers={"task": "shop.pay"})
            producer.publish("two", routing_key=sqs_name, headers={"task": "shop.other"})
            inbox = Inbox(connection, sqs_name)
            # When
            for message in inbox.receive(2):
                message.reject()
            # Then: the other is deleted, this one waits for its second
            assert (sqs_endpoint.in_flight(url), sqs_endpoint.ready(url)) == (1, 0)
            message = inbox.receive(3)[2]
            assert (message.payload, message.delivery_count) == ("one", 1)
            message.reject()
            assert (sqs_endpoint.in_flight(url), sqs_endpoint.ready(url)) == (1, 0)

    def test_unknown_redrive_keeps_what_is_rejected(
        self, sqs_endpoint: Endpoint, strict: Endpoint, sqs_name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        queues = predefined(sqs_endpoint, sqs_name)
        with connect(strict.url, predefined_queues=queues) as connection:
            connection.Producer().publish("kept", routing_key=sqs_name)
            Inbox(connection, sqs_name).receive(1)[0].reject()
        assert sqs_endpoint.in_flight(queues[sqs_name]["url"]) == 1
        assert "'redrive_policy': True or False" in caplog.text
