"""How requests are made: what is tried again, what is not, and as whom."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

import pytest

from kombu import Exchange, Queue
from kombu.exceptions import ConnectionError as KombuConnectionError
from tests.support.ports import free_port
from tests.support.sqs import Endpoint
from tests.support.sqs_proxy import LOSE, HttpProxy, refusal
from tests.unit.kombu_sqs.helpers import PATIENCE, Inbox, connect, until

RETRY = {"max_retries": 3, "interval_start": 0, "interval_step": 0}
MISSING = refusal("QueueDoesNotExist", 400)


def test_a_refused_connection_is_tried_again(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given: nobody listens yet
    sqs_endpoint.create(sqs_name)
    port = free_port()
    proxies: list[HttpProxy] = []
    late = threading.Timer(0.3, lambda: proxies.append(HttpProxy(sqs_endpoint.port, port=port)))
    with connect(Endpoint(port).url, retry_interval=0.4) as connection:
        # When
        late.start()
        connection.Producer().publish("hello", routing_key=sqs_name)
    # Then
    late.join(60)
    for proxy in proxies:
        proxy.__exit__()
    assert proxies[0].count("SendMessage") == 1


def test_a_mistake_of_the_program_is_no_connection_error(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    sqs_endpoint.create(sqs_name)
    with connect(sqs_endpoint.url) as connection:
        attributes = {"odd": {"DataType": "String", "StringValue": object()}}
        with pytest.raises((ValueError, *connection.channel_errors)) as caught:
            connection.Producer().publish("hello", routing_key=sqs_name, message_attributes=attributes)
        assert not isinstance(caught.value, KombuConnectionError)


class TestFifo:
    @pytest.mark.parametrize("known", ["predefined", "found"])
    def test_a_queue_that_was_not_declared(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, known: str
    ) -> None:
        # Given: the answer to the first message gets lost
        name = f"{sqs_name}.fifo"
        url = sqs_endpoint.create(name, FifoQueue="true")
        options = {"predefined_queues": {name: url}} if known == "predefined" else {}
        sqs_proxy.rule = lambda action, number: LOSE if action == "SendMessage" and number == 1 else None
        with connect(Endpoint(sqs_proxy.port).url, max_attempts=1, **options) as connection:
            # When
            connection.Producer().publish("once", routing_key=name, retry=True, retry_policy=RETRY)
        # Then
        assert sqs_proxy.count("SendMessage") == 2
        assert sqs_endpoint.ready(url) == 1

    def test_a_message_that_goes_in_circles_is_not_taken_for_its_own_copy(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
    ) -> None:
        # Given: what is rejected goes to a second queue, and from there back
        names = [f"{sqs_name}-{number}.fifo" for number in range(2)]
        with connect(Endpoint(sqs_proxy.port).url) as connection:
            channel = connection.channel()
            for name, other in (names, names[::-1]):
                arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": other}
                Queue(name, channel=channel, queue_arguments=arguments).declare()
            inboxes = [Inbox(connection, name) for name in names]
            connection.Producer().publish("again", routing_key=names[0])
            # When, Then
            for lap in (1, 2):
                for inbox in inboxes:
                    inbox.receive(lap)[-1].reject()
            inboxes[0].receive(3)[-1].ack()
        # (moto forgets an id with its message, SQS after five minutes)
        assert len({request["MessageDeduplicationId"] for request in sqs_proxy.requests("SendMessage")}) == 5

    def test_a_receive_whose_answer_was_lost_is_the_same_receive_again(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
    ) -> None:
        # Given
        name = f"{sqs_name}.fifo"
        sqs_endpoint.create(name, FifoQueue="true")
        sqs_proxy.rule = lambda action, number: LOSE if action == "ReceiveMessage" and number == 1 else None
        with connect(Endpoint(sqs_proxy.port).url) as connection:
            # When
            Inbox(connection, name)
            until(lambda: sqs_proxy.count("ReceiveMessage") >= 3, "it asks again", connection)
        # Then: SQS gives such a request what it gave before (ReceiveMessage, ReceiveRequestAttemptId)
        ids = [request["ReceiveRequestAttemptId"] for request in sqs_proxy.requests("ReceiveMessage")]
        assert ids[0] == ids[1] != ids[2]


class TestQueuesThatComeAndGo:
    def test_one_that_was_deleted_elsewhere_is_made_again(
        self, sqs_endpoint: Endpoint, sqs_name: str
    ) -> None:
        # Given: it was deleted, and its consumers know
        with connect(sqs_endpoint.url) as connection:
            queue = Queue(sqs_name, channel=connection.channel())
            queue.declare()
            cancelled: list[str] = []
            connection.channel().basic_consume(sqs_name, callback=print, on_cancel=cancelled.append)
            url = sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]
            sqs_endpoint.client().delete_queue(QueueUrl=url)
            until(lambda: cancelled, "the consumer is told", connection)
            # When
            queue.declare()
            connection.Producer().publish("hello", routing_key=sqs_name)
            # Then
            Inbox(connection, sqs_name).receive(1)[0].ack()

    def test_other_errors_do_not_count_as_a_missing_queue(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
    ) -> None:
        # Given: an endpoint in trouble, which once says that it does not know the queue
        sqs_endpoint.create(sqs_name)
        trouble = {number: refusal("InternalError", 500) for number in range(1, 5)} | {5: MISSING}
        sqs_proxy.rule = lambda action, number: trouble.get(number) if action == "ReceiveMessage" else None
        cancelled: list[str] = []
        with connect(Endpoint(sqs_proxy.port).url) as connection:
            connection.channel().basic_consume(sqs_name, callback=print, on_cancel=cancelled.append)
            until(lambda: sqs_proxy.count("ReceiveMessage") >= 7, "it goes on", connection)
        assert cancelled == []

    def test_a_new_one_takes_a_moment_to_be_known(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
    ) -> None:
        # Given: SQS made the queue, and does not know it yet everywhere (CreateQueue: wait a second)
        sqs_proxy.rule = lambda action, number: (
            MISSING if action in ("GetQueueAttributes", "SendMessage") and number == 1 else None
        )
        with connect(Endpoint(sqs_proxy.port).url) as connection:
            Queue(sqs_name, channel=connection.channel()).declare()
            connection.Producer().publish("hello", routing_key=sqs_name)
            Inbox(connection, sqs_name).receive(1)[0].ack()

    def test_one_that_was_deleted_just_now_is_waited_for(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        # Given: a worker starts again, and its queues went when it stopped (CreateQueue: 60 seconds between the two)
        sqs_proxy.rule = lambda action, number: (
            refusal("AWS.SimpleQueueService.QueueDeletedRecently", 400)
            if action == "CreateQueue" and number == 1
            else None
        )
        with connect(Endpoint(sqs_proxy.port).url) as connection:
            # When
            Queue(sqs_name, channel=connection.channel()).declare()
        # Then
        assert sqs_endpoint.client().get_queue_url(QueueName=sqs_name)
        assert "60 seconds" in caplog.text

    def test_an_answer_from_before_it_was_deleted_is_not_remembered(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
    ) -> None:
        # Given: one thread asks where the queue is, and the answer is on its way
        url = sqs_endpoint.create(sqs_name)
        asked, deleted = threading.Event(), threading.Event()

        def hold_first(action: str, number: int) -> Any:
            if (action, number) != ("GetQueueUrl", 1):
                return None
            asked.set()
            deleted.wait(PATIENCE)
            return {"QueueUrl": url}

        sqs_proxy.rule = hold_first
        with connect(Endpoint(sqs_proxy.port).url, request_timeout=2 * PATIENCE) as connection:
            asking = threading.Thread(target=connection.channel()._has_queue, args=[sqs_name])
            asking.start()
            assert asked.wait(PATIENCE)
            # When: another one deletes it meanwhile
            connection.channel().queue_delete(sqs_name)
            deleted.set()
            asking.join(60)
            # Then: it is made again when it is declared again
            Queue(sqs_name, channel=connection.channel()).declare()
            connection.Producer().publish("hello", routing_key=sqs_name)
            Inbox(connection, sqs_name).receive(1)[0].ack()


def test_a_queue_goes_although_its_subscription_stays(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given: who may not unsubscribe
    sqs_proxy.rule = lambda action, number: refusal() if action == "Unsubscribe" else None
    options = {"supports_fanout": True, "max_attempts": 1}
    with connect(Endpoint(sqs_proxy.port).url, **options) as connection:
        channel = connection.channel()
        Queue(sqs_name, Exchange(sqs_name, "fanout"), channel=channel).declare()
        # When
        channel.queue_delete(sqs_name)
    # Then
    assert sqs_proxy.count("DeleteQueue") == 1
    assert "still subscribed" in caplog.text


def test_closing_elsewhere_ends_the_wait(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given: a thread that waits for messages
    sqs_endpoint.create(sqs_name)
    connection = connect(sqs_endpoint.url)
    Inbox(connection, sqs_name)
    ends: list[Any] = []

    def drain() -> None:
        try:
            while True:
                connection.transport.drain_events(connection.connection, timeout=30)
        except Exception as exc:
            ends.append(exc)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    until(lambda: connection.transport.sleeping, "it waits")
    # When
    started = monotonic()
    errors = connection.recoverable_connection_errors
    connection.release()
    thread.join(30)
    # Then
    assert not thread.is_alive() and monotonic() - started < 25
    assert isinstance(ends[0], errors)
