"""After an error of a channel, or the loss of a connection, work goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from kombu import Connection, Consumer, Queue
from kombu.exceptions import BatchPublishError, MessageNacked, NotFound, PreconditionFailed
from kombu.mixins import ConsumerMixin
from kombu_amqp.errors import ConsumerCancelled, ConsumerTimeout
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitMQ


@pytest.fixture
def connection(amqp_url: str) -> Iterator[Connection]:
    with Connection(amqp_url) as connection:
        yield connection


def send(connection: Connection, queue: str, *bodies: str, **options: Any) -> None:
    for body in bodies:
        connection.Producer().publish(body, routing_key=queue, **options)


class Program(ConsumerMixin):
    """Collects what it gets, and stops at "stop"."""

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self.connection, self.queue = connection, queue
        self.received: list[str] = []
        self.revivals = 0

    def get_consumers(self, make: Any, channel: Any) -> list[Consumer]:
        return [make([self.queue], on_message=self.on_message)]

    def on_connection_revived(self) -> None:
        self.revivals += 1

    def on_message(self, message: Any) -> None:
        self.received.append(message.payload)
        message.ack()
        if message.payload == "stop":
            self.should_stop = True
        else:
            self.on_first()

    def on_first(self) -> None:
        """What happens when the first message has come."""


def run(url: str, queue: Queue, on_first: Any, direct_url: str) -> Program:
    """A program that gets "go", then something happens, then "stop" has to reach it."""
    program = Program(Connection(url), queue)
    with Connection(direct_url) as connection:
        queue(connection.default_channel).declare()
        send(connection, queue.name, "go")

        def then() -> None:
            on_first(connection)
            queue(connection.default_channel).declare()
            send(connection, queue.name, "stop")

        program.on_first = then  # type: ignore[method-assign]
        program.run()
        queue(connection.default_channel).delete()
    program.connection.release()
    return program


@pytest.mark.parametrize("fault", ["rst", "fin"])
def test_a_program_consumes_on_after_a_lost_connection(proxy: Proxy, amqp_url: str, fault: str) -> None:
    program = run(proxy.url, Queue("recovery-lost"), lambda _: proxy.fail(fault), amqp_url)
    # (the acknowledgement of "go" may have been lost with the connection)
    assert (program.received[0], program.received[-1]) == ("go", "stop")
    assert program.revivals >= 2  # the first one, and after the loss; more if that took several attempts


def test_a_program_consumes_on_after_its_queue_was_deleted(amqp_url: str) -> None:
    def delete(connection: Connection) -> None:
        connection.default_channel.queue_delete("recovery-deleted")

    program = run(amqp_url, Queue("recovery-deleted"), delete, amqp_url)
    assert program.received == ["go", "stop"]


def test_a_program_consumes_on_after_the_operator_closed_its_connection(victim: RabbitMQ) -> None:
    def close(_: Connection) -> None:
        victim.evaluate(
            "[rabbit_networking:close_connection(P, \"maintenance\") || P <- rabbit_networking:connections()]."
        )

    queue = Queue("recovery-closed")
    program = Program(Connection(victim.url), queue)
    with Connection(victim.url) as connection:
        queue(connection.default_channel).declare()
        send(connection, queue.name, "go")

    def then() -> None:
        close(program.connection)
        with Connection(victim.url) as connection:
            send(connection, queue.name, "stop")

    program.on_first = then  # type: ignore[method-assign]
    program.run()
    assert (program.received[0], program.received[-1]) == ("go", "stop")


@pytest.fixture
def impatient(victim: RabbitMQ) -> Iterator[RabbitMQ]:
    """A broker that waits a second for acknowledgements, and looks every half."""
    victim.evaluate("application:set_env(rabbit, channel_tick_interval, 500).")
    victim.evaluate("application:set_env(rabbit, consumer_timeout, 1000).")
    yield victim
    victim.evaluate("application:set_env(rabbit, channel_tick_interval, 60000).")
    victim.evaluate("application:set_env(rabbit, consumer_timeout, 1800000).")


def test_consumer_timeout_is_cured_by_ensure(impatient: RabbitMQ) -> None:
    # Given
    with Connection(impatient.url) as connection:
        received: list[Any] = []
        errors: list[BaseException] = []
        consumer = Consumer(connection, [Queue("slow")], on_message=received.append)
        consumer.consume()
        send(connection, "slow", "hello")
        connection.drain_events(timeout=5)
        # When: it isn't acknowledged in time
        drain = connection.ensure(
            consumer, connection.drain_events, errback=lambda error, _: errors.append(error), max_retries=3
        )
        drain(timeout=10)
        # Then: the consumer went on with another channel
        assert [type(error) for error in errors] == [ConsumerTimeout]
        assert isinstance(errors[0], PreconditionFailed)
        assert [message.payload for message in received] == ["hello", "hello"]
        assert received[1].redelivered
        # and the late acknowledgement does no harm
        with suppress(connection.recoverable_connection_errors):
            received[0].ack()
        received[1].ack()
        assert connection.default_channel.queue_declare("slow", passive=True).message_count == 0


def test_a_consumer_moves_to_a_new_channel(connection: Connection) -> None:
    # Given: a consumer on the default channel, which an error of another kind has closed
    received: list[Any] = []
    queue = Queue("recovery-ensure", exclusive=False, auto_delete=False)
    consumer = Consumer(connection, [queue], on_message=received.append)
    consumer.consume()
    with pytest.raises(NotFound):
        consumer.channel.queue_declare("missing", passive=True)
    assert not consumer.channel.is_open
    # When
    consumer.revive(connection.default_channel)
    send(connection, queue.name, "hello")
    connection.drain_events(timeout=5)
    # Then
    assert [message.payload for message in received] == ["hello"]
    received[0].ack()
    queue(connection.default_channel).delete()


def test_a_stale_tag_fails_softly(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    # Given: a message, and a channel that was closed since
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True, auto_delete=False).queue
    channel.Producer().publish("hello", routing_key=queue)
    first = channel.message_to_python(channel.basic_get(queue))
    with pytest.raises(NotFound):
        channel.queue_declare("missing", passive=True)
    # When: it works again, with tags of its own
    second = channel.message_to_python(channel.basic_get(queue))
    with caplog.at_level(logging.WARNING):
        first.ack()
    # Then
    assert "closed since" in caplog.text
    assert second.delivery_tag > first.delivery_tag
    assert second.redelivered
    assert channel.queue_declare(queue, passive=True).message_count == 0  # (still unacknowledged)
    second.ack()
    channel.close()
    assert connection.channel().queue_declare(queue, passive=True).message_count == 0


def test_consumers_are_told_when_the_broker_cancels_them(connection: Connection) -> None:
    # Given
    told: list[str] = []
    queue = Queue("recovery-cancel")
    consumer = Consumer(connection, [queue], on_message=print, on_cancel=told.append)
    consumer.consume()
    # When
    connection.channel().queue_delete(queue.name)
    connection.drain_events(timeout=5)
    # Then
    assert len(told) == 1
    assert not consumer.consuming_from(queue)


def test_a_consumer_that_does_not_acknowledge_gets_what_was_on_its_way_when_it_is_cancelled(
    connection: Connection,
) -> None:
    # Given
    queue = Queue("recovery-no-ack", no_declare=True)(connection.default_channel)
    connection.default_channel.queue_declare(queue.name, exclusive=True, auto_delete=False)
    send(connection, queue.name, *map(str, range(1000)))
    seen: list[Any] = []
    with Consumer(connection, [queue], on_message=seen.append, no_ack=True):
        connection.drain_events(timeout=5)
        # When it is cancelled
    # Then what the broker has sent is here, the rest in the queue, and the channel works
    assert [message.payload for message in seen] == [str(n) for n in range(len(seen))]
    left = connection.default_channel.queue_declare(queue.name, passive=True).message_count
    assert len(seen) + left == 1000
    send(connection, queue.name, "last")
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.1)


def test_a_cancel_nobody_hears_is_an_error(connection: Connection) -> None:
    queue = Queue("recovery-cancel-2")
    Consumer(connection, [queue], on_message=print).consume()
    connection.channel().queue_delete(queue.name)
    with pytest.raises(ConsumerCancelled):
        connection.drain_events(timeout=5)


def test_channel_numbers_are_given_back(connection: Connection) -> None:
    for _ in range(50):
        with pytest.raises(NotFound):
            connection.default_channel.queue_declare("missing", passive=True)
    assert len(connection.connection.channels) <= 2


@pytest.mark.parametrize("batch", [1, 50])
def test_what_is_refused_is_reported_one_by_one(amqp_url: str, batch: int) -> None:
    # Given: a queue for two messages that refuses more
    options = {"confirm_publish": True}
    with Connection(amqp_url, transport_options=options) as connection:
        channel = connection.default_channel
        arguments = {"x-max-length": 2, "x-overflow": "reject-publish"}
        channel.queue_declare("small", exclusive=True, arguments=arguments)
        producer = connection.Producer()
        if batch == 1:
            send(connection, "small", "1", "2")
            # When, Then
            with pytest.raises(MessageNacked, match="small"):
                send(connection, "small", "3")
            return
        with pytest.raises(BatchPublishError) as caught:
            with producer.batch(batch):
                for number in range(5):
                    producer.publish(number, routing_key="small")
        outcomes = caught.value.outcomes
        assert [type(outcome) for outcome in outcomes[:2]] == [type(None)] * 2
        assert isinstance(outcomes[4], MessageNacked)
        assert len(outcomes) == 5
        taken = sum(outcome is None for outcome in outcomes)
        assert channel.queue_declare("small", passive=True).message_count == taken


def test_unroutable_in_a_batch(amqp_url: str) -> None:
    with Connection(amqp_url, transport_options={"confirm_publish": True}) as connection:
        # Given
        channel = connection.default_channel
        channel.queue_declare("here", exclusive=True)
        producer = connection.Producer()
        # When
        with pytest.raises(BatchPublishError) as caught, producer.batch():
            for key in ("here", "nowhere", "here"):
                producer.publish("x", routing_key=key, mandatory=True)
        # Then
        assert [getattr(outcome, "reply_code", None) for outcome in caught.value.outcomes] == [None, 312, None]


def test_a_batch_to_a_missing_exchange(amqp_url: str) -> None:
    with Connection(amqp_url, transport_options={"confirm_publish": True}) as connection:
        producer = connection.Producer()
        with pytest.raises(BatchPublishError) as caught, producer.batch():
            for _ in range(3):
                producer.publish("x", exchange="no-such-exchange", routing_key="k")
        assert len(caught.value.outcomes) == 3
        assert all(isinstance(outcome, NotFound) for outcome in caught.value.outcomes)
        # and the next works
        producer.channel.queue_declare("after", exclusive=True)
        producer.publish("x", routing_key="after")


def test_quorum_queues_count_and_get_no_global_limit(connection: Connection) -> None:
    # Given: what the broker refuses, a limit for the channel and a quorum queue
    channel = connection.channel()
    queue = Queue("quorum-q", queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 2})
    queue(channel).declare()
    channel.basic_qos(0, 1, True)
    received: list[Any] = []
    # When
    channel.basic_consume("quorum-q", callback=lambda raw: received.append(channel.message_to_python(raw)))
    send(connection, "quorum-q", "a")
    counts = []
    for _ in range(3):
        connection.drain_events(timeout=5)
        counts.append(received[-1].delivery_count)
        received[-1].requeue()
    # Then: delivered three times, then dropped
    assert counts == [0, 1, 2]
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.3)
    channel.queue_delete("quorum-q")
