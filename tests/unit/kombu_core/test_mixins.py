"""Programs that consume until they are told to stop."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from kombu import Connection, Consumer, Queue
from kombu.exceptions import ChannelError, ConnectionError, ConsumerCancelled, DecodeError
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from kombu.utils.limits import TokenBucket

from .channels import PaperChannel, received
from .tinybroker import TinyTransport

QUEUE = Queue("q")


@pytest.fixture
def connection(memory_url):
    with Connection(memory_url) as connection:
        yield connection


@pytest.fixture
def put(connection):
    producer = connection.Producer()
    return lambda *bodies: [producer.publish(body, routing_key="q", declare=[QUEUE]) for body in bodies]


class Worker(ConsumerMixin):
    """Notes what happens; the body ``stop`` stops it, an exception as ``error`` is raised at the body ``fail``."""

    #: As often as it has to be: the pauses are not what is tested.
    restart_limit = TokenBucket(1000, capacity=1000)

    def __init__(self, connection, error=None):
        self.connection = connection
        self.error = error
        self.events = []

    def get_consumers(self, Consumer, channel):
        self.events.append("get_consumers")
        return [Consumer(queues=[QUEUE], callbacks=[self.on_body])]

    def on_body(self, body, message):
        message.ack()
        self.events.append(body)
        if body == "fail":
            raise self.error
        self.should_stop = body == "stop"

    def on_connection_revived(self):
        self.events.append("revived")

    def on_consume_ready(self, connection, channel, consumers, **kwargs):
        self.events.append(("ready", kwargs))

    def on_consume_end(self, connection, channel):
        self.events.append("end")
        super().on_consume_end(connection, channel)


class ProducingWorker(ConsumerProducerMixin, Worker):
    def on_body(self, body, message):
        self.producer.publish(["answer to", body], routing_key=message.properties["reply_to"])
        super().on_body(body, message)


def test_a_program_runs_until_it_should_stop(connection, put):
    # Given
    put("a", "b", "stop", "later")
    worker = Worker(connection)
    # When
    worker.run(key="value")
    # Then
    start = ["revived", "get_consumers", ("ready", {"key": "value"})]
    assert worker.events == [*start, "a", "b", "stop", "end"]
    assert QUEUE(connection).get(no_ack=True).payload == "later"


@pytest.mark.parametrize("error", [ConnectionError("lost"), ChannelError("closed"), ConsumerCancelled("gone")])
def test_a_lost_connection_is_made_anew(connection, put, error):
    # Given
    put("a", "fail", "stop")
    worker = Worker(connection, error)
    # When
    worker.run()
    # Then the consumers were made twice
    start = ["revived", "get_consumers", ("ready", {})]
    assert worker.events == [*start, "a", "fail", *start, "stop", "end"]


def test_a_deleted_queue_is_declared_again_and_consumed(connection, put, memory_url):
    # Given a program that consumes, and somebody who deletes its queue and publishes when it is back
    class Victim(Worker):
        starts = 0

        def on_consume_ready(self, connection, channel, consumers, **kwargs):
            self.starts += 1
            with Connection(memory_url) as other:
                if self.starts == 1:
                    QUEUE(other).delete()
                else:
                    other.Producer().publish("stop", routing_key="q")

    # When
    worker = Victim(connection)
    worker.run()
    # Then
    assert worker.starts == 2 and worker.events[-2:] == ["stop", "end"]


def test_errors_of_the_application_end_the_program(connection, put):
    put("fail")
    with pytest.raises(KeyError):
        Worker(connection, KeyError("bug")).run()


def test_starting_over_is_limited(connection, put):
    # Given a bucket with one token, which another comes into after 50 ms
    put("fail", "stop")
    worker = Worker(connection, ConnectionError("lost"))
    worker.restart_limit = TokenBucket(20, capacity=1)
    waits = []
    expected_time = worker.restart_limit.expected_time
    worker.restart_limit.expected_time = lambda tokens: waits.append(expected_time(tokens)) or waits[-1]
    # When
    worker.run()
    # Then it waited for it
    assert waits and 0 < waits[0] <= 0.06 and worker.events[-2:] == ["stop", "end"]
    assert isinstance(ConsumerMixin().restart_limit, TokenBucket) and ConsumerMixin().restart_limit.fill_rate == 1


def test_it_can_be_stopped_from_another_thread(connection):
    # Given a program that waits for messages
    class Ready(Worker):
        waiting = threading.Event()

        def on_iteration(self):
            self.waiting.set()

        def consume(self, *args, **kwargs):
            return super().consume(*args, safety_interval=0.02, **kwargs)

    worker = Ready(connection)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert worker.waiting.wait(10)
    # When
    worker.should_stop = True
    thread.join(10)
    # Then
    assert not thread.is_alive() and worker.events[-1] == "end"


@pytest.mark.parametrize("connects", ["connection", "producer_connection"])
def test_it_can_be_stopped_while_the_broker_is_away(memory_url, connects):
    # Given a program that connects in vain, to consume or to publish
    class Away(ConsumerProducerMixin, Worker):
        failed = threading.Event()

        def create_connection(self):
            return self.connection.clone() if connects == "connection" else Connection(memory_url)

        def on_consume_ready(self, *args, **kwargs):
            assert self.producer_connection

        def on_connection_error(self, exc, interval):
            self.events.append(exc)
            self.failed.set()

    class Refuses(TinyTransport):
        def establish_connection(self):
            raise ConnectionRefusedError

    worker = Away(Connection("h", transport=Refuses))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    assert worker.failed.wait(30)
    # When
    worker.should_stop = True
    thread.join(30)
    # Then
    assert not thread.is_alive() and isinstance(worker.events[-1], ConnectionRefusedError)


def test_consume_can_be_limited_and_yields_after_each_event(connection, put):
    put("a", "b", "c")
    worker = Worker(connection)
    assert list(worker.consume(limit=2, timeout=5)) == [None, None]
    assert worker.events[-3:] == ["a", "b", "end"]


def test_consume_gives_up_when_nothing_comes_for_too_long(connection, put):
    # Given
    put("a")
    worker = Worker(connection)
    beats = []
    worker.create_connection = lambda: connection.clone()
    # When
    with pytest.raises(TimeoutError):
        for _ in worker.consume(timeout=0.05, safety_interval=0.01):
            beats.append(1)
    # Then
    assert beats == [1] and "a" in worker.events


def test_giving_up_does_not_wait_for_the_safety_interval(connection):
    started = monotonic()
    with pytest.raises(TimeoutError):
        list(Worker(connection).consume(timeout=0.05, safety_interval=30))
    assert monotonic() - started < 10


def test_the_heartbeat_is_looked_at_while_nothing_comes(connection):
    # Given
    beats = []
    own = connection.clone()
    own.heartbeat_check = lambda *args, **kwargs: beats.append(args)
    worker = Worker(connection)
    worker.create_connection = lambda: own
    # When
    assert list(worker.consume(limit=2, safety_interval=0.01)) == []
    # Then
    assert len(beats) == 2


def test_an_os_error_while_stopping_is_no_error(connection):
    # Given a connection that is closed under our feet
    def close_it(**kwargs):
        worker.should_stop = stopping
        raise OSError("bad file descriptor")

    for stopping in (True, False):
        own = connection.clone()
        own.drain_events = close_it
        worker = Worker(connection)
        worker.create_connection = lambda own=own: own
        # When / Then
        if stopping:
            assert list(worker.consume()) == []
        else:
            with pytest.raises(OSError, match="bad file descriptor"):
                list(worker.consume())


def test_an_undecodable_message_is_logged_and_acknowledged(caplog):
    # Given
    channel = PaperChannel()
    message = received(b"\xff secret", channel)
    # When
    ConsumerMixin().on_decode_error(message, DecodeError("not JSON"))
    # Then
    assert message.acknowledged and "Can't decode message body: DecodeError('not JSON')" in caplog.text


def test_consumers_of_a_program_report_undecodable_messages_to_it(connection):
    # Given
    connection.Producer().publish(b"\xff", content_type="application/json", routing_key="q", declare=[QUEUE])
    worker = Worker(connection)
    seen = []
    worker.on_decode_error = lambda message, exc: (seen.append(type(exc)), message.ack())
    # When
    list(worker.consume(limit=1, timeout=5))
    # Then
    assert seen == [DecodeError]


def test_several_channels_can_be_used(connection, put):
    # Given
    class Two(Worker):
        def get_consumers(self, _, channel):
            self.second = channel.connection.client.channel()
            wanted = [(channel, Queue("q")), (self.second, Queue("q2"))]
            return [Consumer(where, queue, callbacks=[self.on_body]) for where, queue in wanted]

    put("a")
    connection.Producer().publish("stop", routing_key="q2", declare=[Queue("q2")])
    worker = Two(connection)
    # When
    worker.run()
    # Then
    assert sorted(event for event in worker.events if event in ("a", "stop"))[-1] == "stop"


def test_the_context_gives_connection_channel_and_consumers(connection):
    # Given
    worker = Worker(connection)
    # When
    with worker.consumer_context(z=1) as (own, channel, (consumer,)):
        # Then
        assert own is not connection and own.connected and channel is own.default_channel
        assert consumer.consuming_from("q") and worker.events[-1] == ("ready", {"z": 1})
    assert not consumer.consuming_from("q") and not own.connected
    with worker.extra_context(own, channel) as entered:
        assert entered is None


def test_get_consumers_has_to_be_defined():
    class Nothing(ConsumerMixin):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing has to define get_consumers\(Consumer, channel\)"):
        Nothing().get_consumers(Consumer, None)


def test_connection_errors_are_logged_and_can_be_ignored(connection, caplog):
    # Given
    worker = Worker(connection)

    def fail():
        raise ConnectionError("gone")

    # When / Then
    worker.on_connection_error(KeyError("x"), 3)
    assert "trying again in 3 seconds: KeyError('x')" in caplog.text
    assert worker.maybe_conn_error(fail) is None and worker.maybe_conn_error(lambda: 3) == 3
    assert worker.connection_errors == connection.connection_errors
    assert worker.channel_errors == connection.channel_errors


def test_a_program_may_publish_on_a_connection_of_its_own(connection):
    # Given
    answers = Queue("answers")
    connection.Producer().publish("stop", routing_key="q", declare=[QUEUE, answers], reply_to=answers)
    worker = ProducingWorker(connection)
    # When
    worker.run()
    # Then
    assert answers(connection).get(no_ack=True).payload == ["answer to", "stop"]
    assert worker._producer_connection is None and worker.events[-1] == "end"


def test_the_producers_connection_is_kept_until_the_end(connection):
    # Given
    worker = ProducingWorker(connection)
    # When
    first = worker.producer_connection
    # Then
    assert first is worker.producer_connection is worker.producer.connection and first is not connection
    worker.on_consume_end(None, None)
    assert not first.connected
