"""Queues that look like those of the standard library."""

from __future__ import annotations

import queue
from time import monotonic

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue, binding
from kombu.exceptions import ContentDisallowed, DeadlineExceeded
from kombu.simple import SimpleBase, SimpleBuffer, SimpleQueue
from kombu.utils.deadline import deadline_scope

from .channels import PaperChannel


@pytest.fixture
def connection(memory_url):
    with Connection(memory_url) as connection:
        yield connection


def test_what_was_put_comes_out_in_order(connection):
    # Given
    simple = connection.SimpleQueue("s")
    for number in range(3):
        simple.put({"n": number})
    # When
    got = []
    for _ in range(3):
        message = simple.get(timeout=5)
        got.append(message.payload)
        message.ack()
    # Then
    assert got == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert simple.qsize() == len(simple) == 0 and bool(simple)


@pytest.mark.parametrize("options", [{"block": False}, {"timeout": 0}, {"timeout": 0.05}])
def test_an_empty_queue_is_empty_in_time(connection, options):
    # Given
    simple = connection.SimpleQueue("s")
    started = monotonic()
    # When / Then
    with pytest.raises(queue.Empty):
        simple.get(**options)
    assert monotonic() - started < 20
    with pytest.raises(simple.Empty):
        simple.get_nowait()


def test_get_waits_for_a_message(memory_url):
    # Given a queue that is waited for in the time until a timer puts something there
    import threading

    with Connection(memory_url) as waiting, Connection(memory_url) as putting:
        simple = waiting.SimpleQueue("s")
        timer = threading.Timer(0.05, lambda: putting.SimpleQueue("s").put("late"))
        timer.start()
        # When / Then
        assert simple.get(timeout=10).payload == "late"
        timer.join(60)


def test_a_deadline_that_passes_is_not_an_empty_queue(connection):
    simple = connection.SimpleQueue("s")
    with pytest.raises(DeadlineExceeded), deadline_scope(0.05):
        while True:
            simple.get(timeout=5)


def test_get_nowait_and_get_keep_the_order(connection):
    # Given messages of which one came already
    simple = connection.SimpleQueue("s")
    for number in range(3):
        simple.put(number)
    simple.consumer.consume()
    connection.drain_events(timeout=5)
    # Then
    assert simple.qsize() == 3
    assert [simple.get_nowait().payload, simple.get(timeout=5).payload, simple.get(timeout=5).payload] == [0, 1, 2]


def test_clear_removes_what_waits_here_and_there(connection):
    # Given
    simple = connection.SimpleQueue("s")
    for number in range(3):
        simple.put(number)
    simple.consumer.consume()
    connection.drain_events(timeout=5)
    assert len(simple.buffer) == 1
    # When
    assert simple.clear() == 3
    # Then
    assert simple.qsize() == 0
    with pytest.raises(simple.Empty):
        simple.get(timeout=0.05)


def test_closing_gives_back_what_nobody_got(memory_url):
    # Given messages that came and were not asked for
    with Connection(memory_url) as connection, Connection(memory_url) as other:
        with connection.SimpleQueue("s") as simple:
            for number in range(3):
                simple.put(number)
            simple.consumer.consume()
            connection.drain_events(timeout=5)
            connection.drain_events(timeout=5)
            assert len(simple.buffer) == 2
        # Then others get them, in order
        again = other.SimpleQueue("s")
        assert [again.get(timeout=5).payload for _ in range(3)] == [0, 1, 2]
    simple.close()


def test_serializer_compression_headers_and_routing_key(connection):
    # Given
    simple = connection.SimpleQueue("s", serializer="pickle", compression="gzip", accept=["pickle", "json"])
    # When
    simple.put({1, 2}, headers={"h": 1})
    simple.put([1], serializer="json", compression="bzip2")
    # Then
    first, second = simple.get(timeout=5), simple.get_nowait()
    assert first.payload == {1, 2} and first.headers["h"] == 1 and first.headers["compression"]
    assert second.payload == [1] and second.content_type == "application/json"


def test_a_message_that_is_not_accepted_is_in_our_hands(connection):
    # Given
    simple = connection.SimpleQueue("s")
    simple.put({1, 2}, serializer="pickle")
    # When
    message = simple.get(timeout=5)
    # Then it can be rejected
    with pytest.raises(ContentDisallowed):
        message.payload  # noqa: B018
    message.reject()
    assert simple.qsize() == 0


def test_a_queue_can_be_given(connection):
    # Given
    given = Queue("given", Exchange("e", "topic"), "a.b")
    # When
    simple = connection.SimpleQueue(given)
    simple.put(1)
    # Then
    assert simple.queue.name == "given" and simple.producer.exchange.name == "e"
    assert simple.producer.routing_key == "a.b" and simple.get(timeout=5).payload == 1


@pytest.mark.parametrize("given", [Queue("given"), Queue("given", [binding(Exchange("e"), "k")]), Queue("")])
def test_a_queue_without_one_exchange_is_reached_by_its_name(connection, given):
    simple = connection.SimpleQueue(given)
    simple.put(1)
    assert simple.get(timeout=5).payload == 1


def test_a_simple_queue_is_durable_and_a_buffer_is_not():
    # Given
    channel = PaperChannel()
    # When
    SimpleQueue(channel, "s", queue_opts={"message_ttl": 1}, queue_args={"x-own": 1}, exchange_opts={"type": "topic"})
    SimpleBuffer(channel, "b")
    # Then
    durable, transient = channel.asked("queue_declare")
    assert durable["durable"] and durable["arguments"] == {"x-own": 1, "x-message-ttl": 1000}
    assert not durable["exclusive"] and not durable["auto_delete"]
    assert transient["exclusive"] and transient["auto_delete"] and not transient["durable"]
    assert [asked["type"] for asked in channel.asked("exchange_declare")] == ["topic", "direct"]
    assert SimpleQueue.queue_opts == {} and SimpleQueue.queue_args == {}


def test_a_buffer_needs_no_acknowledgement(connection):
    # Given
    buffer = connection.SimpleBuffer("b")
    buffer.put(1)
    buffer.put(2)
    # When messages are got in both ways, and acknowledged as those of a SimpleQueue are
    got = [buffer.get(timeout=5), buffer.get_nowait()]
    for message in got:
        message.ack()
    # Then
    assert [message.payload for message in got] == [1, 2] and len(buffer) == 0
    assert buffer.queue.exchange.delivery_mode == 1


def test_simple_base_takes_a_producer_and_a_consumer(connection):
    # Given
    simple = SimpleBase(
        connection, Producer(connection, routing_key="q"), Consumer(connection, Queue("q")), no_ack=True
    )
    # When
    simple.put("x")
    # Then
    assert simple.channel is connection.default_channel and simple.get(timeout=5).payload == "x"
