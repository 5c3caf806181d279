"""What is held stays invisible for others; what is settled is seen to be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from kombu import Queue
from kombu_sqs import SettleError
from tests.support.sqs import Endpoint
from tests.support.sqs_proxy import HttpProxy, refusal
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from pytest import LogCaptureFixture


def test_visibility_is_extended_while_a_message_is_held(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: a lease of four seconds
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 3)
    with connect(Endpoint(sqs_proxy.port).url, visibility_timeout=4) as connection:
        inbox = Inbox(connection, sqs_name)
        messages = inbox.receive(3)
        # When: it is held for longer than that
        until(lambda: sqs_proxy.count("ChangeMessageVisibilityBatch") >= 2, "two extensions", connection)
        # Then: nobody else could have it, and it was never delivered twice
        assert sqs_endpoint.ready(queue) == 0
        assert len(inbox) == 3
        for message in messages:
            message.ack()
        assert sqs_endpoint.in_flight(queue) == 0
        assert len(connection.transport.session.leases) == 0, "nothing is extended any more"


def test_a_failed_extension_is_tried_again(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, caplog: LogCaptureFixture
) -> None:
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    sqs_proxy.rule = lambda action, number: (
        refusal("InvalidAction", 400) if action == "ChangeMessageVisibilityBatch" and number == 1 else None
    )
    with connect(Endpoint(sqs_proxy.port).url, visibility_timeout=4) as connection:
        inbox = Inbox(connection, sqs_name)
        inbox.receive(1)
        (held,) = connection.transport.session.leases.all()
        end = held.received + 4
        until(lambda: held.extend_at > end, "the second is good", connection)
        assert sqs_proxy.count("ChangeMessageVisibilityBatch") >= 2
        assert len(inbox) == 1
        assert sqs_endpoint.ready(queue) == 0
    assert "not extended yet" in caplog.text


def test_the_receive_count_is_the_delivery_count(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    with connect(sqs_endpoint.url) as connection:
        inbox = Inbox(connection, sqs_name)
        for earlier in range(3):
            message = inbox.receive(earlier + 1)[-1]
            assert (message.delivery_count, message.redelivered) == (earlier, earlier > 0)
            attributes = message.delivery_info["sqs_message"]["Attributes"]
            assert attributes["ApproximateReceiveCount"] == str(earlier + 1)
            message.requeue()


def test_a_failed_delete_is_raised_by_ack(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    with connect(Endpoint(sqs_proxy.port).url, max_attempts=2) as connection:
        inbox = Inbox(connection, sqs_name)
        message = inbox.receive(1)[0]
        # When
        sqs_proxy.rule = lambda action, number: (
            refusal("InternalFailure", 500) if action == "DeleteMessage" else None
        )
        with pytest.raises(connection.recoverable_connection_errors) as caught:
            message.ack()
        # Then: it is boto3's error too, and acknowledging can be tried again
        assert isinstance(caught.value, ClientError)
        assert "delete_message" in str(caught.value)
        sqs_proxy.rule = lambda action, number: None
        message.ack()
        assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)


def test_what_was_not_deleted_for_a_consumer_without_acknowledgements_comes_again(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: it would be deleted when it is delivered
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    sqs_proxy.rule = lambda action, number: (
        refusal("InternalFailure", 500) if action == "DeleteMessage" and number == 1 else None
    )
    options = {"max_attempts": 1, "visibility_timeout": 1}
    with connect(Endpoint(sqs_proxy.port).url, **options) as connection:
        seen: list[Any] = []
        connection.channel().basic_consume(sqs_name, no_ack=True, callback=seen.append)
        # When
        with pytest.raises(connection.connection_errors):
            connection.drain_events(timeout=30)
        # Then: its lease is not extended
        until(lambda: seen, "it comes again", connection)
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)


def test_a_lost_lease_is_seen_too(sqs_endpoint: Endpoint, sqs_name: str, caplog: LogCaptureFixture) -> None:
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 2)
    with connect(sqs_endpoint.url) as connection:
        inbox = Inbox(connection, sqs_name)
        first, second = inbox.receive(2)
        connection.transport.session.leases.all()[0].receipt = "no such receipt"
        with pytest.raises(SettleError, match="ReceiptHandleIsInvalid"):
            first.ack()
        assert "ReceiptHandleIsInvalid" in caplog.text
        # the channel goes on
        second.ack()
        assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (1, 0)


class TestBatchedDeletes:
    def test_ten_a_request(self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
        # Given
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.fill(queue, 23)
        with connect(Endpoint(sqs_proxy.port).url, batch_deletes=True, delete_delay=0.1) as connection:
            inbox = Inbox(connection, sqs_name, prefetch=0)
            # When
            for message in inbox.receive(23):
                message.ack()
            # Then: the rest goes when its time is over
            until(lambda: sqs_endpoint.in_flight(queue) == 0, "all are deleted", connection)
            assert sqs_proxy.count("DeleteMessageBatch") == 3
            assert sqs_proxy.count("DeleteMessage") == 0
        assert sqs_endpoint.ready(queue) == 0

    def test_closing_deletes_what_waits(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.fill(queue, 3)
        with connect(sqs_endpoint.url, batch_deletes=True, delete_delay=60) as connection:
            inbox = Inbox(connection, sqs_name)
            for message in inbox.receive(3)[:2]:
                message.ack()
        assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 1)

    def test_each_result_counts(
        self, sqs_endpoint: Endpoint, sqs_name: str, caplog: LogCaptureFixture
    ) -> None:
        # Given: ten held, and one of them is taken away by somebody else's doing
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.fill(queue, 10)
        with connect(sqs_endpoint.url, batch_deletes=True) as connection:
            inbox = Inbox(connection, sqs_name)
            messages = inbox.receive(10)
            connection.transport.session.leases.all()[3].receipt = "no such receipt"
            # When
            failed: list[Any] = []
            for message in messages:
                try:
                    message.ack()
                except SettleError as error:
                    failed += error.failed
            # Then
            assert len(failed) == 1
            message_id, code, _ = failed[0]
            assert message_id == messages[3].delivery_info["sqs_message"]["MessageId"]
            assert code == "ReceiptHandleIsInvalid"
            assert sqs_endpoint.in_flight(queue) == 1, "the others are deleted"
        assert message_id in caplog.text


class TestDeadLetters:
    def test_an_exchange_for_them_makes_a_redrive_policy(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        # Given
        with connect(sqs_endpoint.url, max_deliveries=2) as connection:
            channel = connection.channel()
            Queue(f"{sqs_name}-dead", channel=channel).declare()
            arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{sqs_name}-dead"}
            Queue(sqs_name, channel=channel, queue_arguments=arguments).declare()
            url = sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]
            dead = sqs_endpoint.client().get_queue_url(QueueName=f"{sqs_name}-dead")["QueueUrl"]
            assert '"maxReceiveCount": 2' in sqs_endpoint.attributes(url)["RedrivePolicy"].replace('"2"', "2")
            # When: a consumer dies with it, twice
            sqs_endpoint.fill(url, 1)
            for _ in range(2):
                got = sqs_endpoint.client().receive_message(QueueUrl=url, VisibilityTimeout=0)
                assert len(got["Messages"]) == 1
            # Then
            inbox = Inbox(connection, f"{sqs_name}-dead")
            assert "Messages" not in sqs_endpoint.client().receive_message(QueueUrl=url)
            assert inbox.receive(1)[0].body == b"0"
            assert sqs_endpoint.ready(dead) == 0

    def test_the_delivery_limit_counts(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        with connect(sqs_endpoint.url) as connection:
            channel = connection.channel()
            Queue(f"{sqs_name}-dead", channel=channel).declare()
            arguments = {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": f"{sqs_name}-dead",
                "x-delivery-limit": 4,
            }
            Queue(sqs_name, channel=channel, queue_arguments=arguments).declare()
            url = sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]
            assert '"maxReceiveCount": 5' in sqs_endpoint.attributes(url)["RedrivePolicy"].replace('"5"', "5")

    def test_what_is_rejected_is_left_to_a_redrive_policy(
        self, sqs_endpoint: Endpoint, sqs_name: str
    ) -> None:
        # Given: a queue with dead letters that kombu did not make
        dead = sqs_endpoint.create(f"{sqs_name}-dead")
        arn = sqs_endpoint.attributes(dead)["QueueArn"]
        policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'
        queue = sqs_endpoint.create(sqs_name, RedrivePolicy=policy)
        sqs_endpoint.fill(queue, 1)
        with connect(sqs_endpoint.url) as connection:
            inbox, grave = Inbox(connection, sqs_name), Inbox(connection, f"{sqs_name}-dead")
            # When
            inbox.receive(1)[0].reject()
            # Then
            assert grave.receive(1)[0].body == b"0"
            assert len(inbox) == 1

    def test_without_one_it_is_deleted(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.fill(queue, 1)
        with connect(sqs_endpoint.url) as connection:
            Inbox(connection, sqs_name).receive(1)[0].reject()
            assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)


def test_giving_back_after_the_lease_was_lost_is_no_error(
    sqs_endpoint: Endpoint, sqs_name: str, caplog: LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    with connect(sqs_endpoint.url) as connection:
        inbox = Inbox(connection, sqs_name)
        message = inbox.receive(1)[0]
        connection.transport.session.leases.all()[0].receipt = "gone"
        message.requeue()
    assert "not given back" in caplog.text
