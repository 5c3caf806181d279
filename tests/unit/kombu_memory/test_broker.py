"""What the broker in the process does with queues that come and go, with refusals, and with threads that interfere."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from time import process_time, sleep, time

import pytest

import kombu_memory
from kombu import Connection
from kombu.exceptions import PreconditionFailed

PATIENCE = 10.0
FULL = {"x-max-length": 0, "x-overflow": "reject-publish"}


@pytest.fixture
def connect(request):
    name = request.node.name.lower()
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Connection(f"memory://{name}"))
    kombu_memory.reset(name)


@pytest.fixture
def channel(connect):
    return connect().channel()


def put(channel, queue, body="x", delay=None, exchange="", **properties):
    message = channel.prepare_message(body, properties=properties)
    channel.basic_publish(message, exchange, queue, delay=delay)


def after(channel, seconds):
    """Let what is due in so many seconds take effect: time is an argument."""
    for queue, message, reason in channel._due(time() + seconds):
        channel._discard(queue, message, reason)


def test_an_expiring_queue_that_was_deleted_leaves_nothing_behind_for_its_successor(channel):
    # Given a queue that would expire, deleted and declared again without, holding a message
    channel.queue_declare("q", arguments={"x-expires": 50})
    channel.queue_delete("q")
    channel.queue_declare("q")
    put(channel, "q")
    # When the time has passed
    after(channel, 1)
    # Then queue and message are there
    assert channel.basic_get("q").body == b"x"


def test_a_queue_declared_again_and_again_is_looked_after_once(channel):
    # Given
    for _ in range(20):
        channel.queue_declare("q", arguments={"x-expires": 60_000})
        channel.queue_delete("q")
    channel.queue_declare("q", arguments={"x-expires": 60_000})
    channel.basic_consume("q", callback=print)
    # When it is in use while its time passes
    after(channel, 61)
    # Then one look is planned
    assert len(channel.connection.broker.schedule) == 1


def test_a_delayed_message_that_nobody_can_have_is_logged_and_the_others_come(channel, caplog):
    # Given three delayed messages: for a full queue, for one that is deleted, and for a third
    for name, arguments in (("full", FULL), ("gone", None), ("q", None)):
        channel.queue_declare(name, arguments=arguments)
        put(channel, name, delay=60)
    channel.queue_delete("gone")
    # When their time has come
    with caplog.at_level(logging.WARNING):
        after(channel, 61)
    # Then the third is there, and the log names the two queues
    assert channel.basic_get("q").body == b"x"
    assert "'full'" in caplog.text and "'gone'" in caplog.text


def test_an_impossible_expiration_is_refused_to_the_publisher_of_a_delayed_message_too(channel):
    channel.queue_declare("q")
    with pytest.raises(PreconditionFailed, match="expiration"):
        put(channel, "q", delay=60, expiration="soon")


def test_a_full_dead_letter_queue_is_not_the_consumers_error(channel, caplog):
    # Given a queue whose dead letters are refused
    channel.queue_declare("dead", arguments=FULL)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    channel.queue_declare("q", arguments=dead)
    put(channel, "q")
    # When a message is rejected
    channel.basic_get("q").reject()
    # Then the consumer goes on, and the log tells
    assert "refused" in caplog.text
    assert not channel.closed


def test_dead_letters_rejected_at_once_keep_their_order(channel):
    # Given
    channel.queue_declare("dead")
    channel.queue_declare("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    for body in "abc":
        put(channel, "q", body)
        channel.basic_get("q")
    # When
    channel.basic_nack(0, multiple=True, requeue=False)
    # Then
    assert [channel.basic_get("dead").body for _ in "abc"] == [b"a", b"b", b"c"]


def test_a_consumer_tag_used_again_with_acknowledgements_is_acknowledged(channel):
    # Given a tag that stood for a consumer without acknowledgements
    got = []
    channel.queue_declare("q")
    channel.basic_consume("q", no_ack=True, callback=got.append, consumer_tag="t")
    channel.basic_cancel("t")
    # When it stands for one with them
    channel.basic_consume("q", callback=got.append, consumer_tag="t")
    put(channel, "q")
    channel.connection.drain_events(channel.connection, timeout=PATIENCE)
    got[0].ack()
    # Then the acknowledgement reaches the broker
    assert not channel.qos.unacked


def test_a_copy_knows_nothing_of_what_happened_to_the_copy_before_it(channel):
    # Given two queues, the first of which is read, and its message returned, the moment it has it
    for name in ("first", "second"):
        channel.queue_declare(name, arguments={"x-message-ttl": 60_000})
        channel.queue_bind(name, "amq.fanout")
    broker_put = channel._put

    def put_and_read(queue, message):
        broker_put(queue, message)
        if queue == "first":
            channel.basic_get(queue).requeue()

    channel._put = put_and_read
    # When
    put(channel, "", exchange="amq.fanout")
    # Then the second queue's is new
    assert channel.basic_get("first").delivery_info["redelivered"]
    assert not channel.basic_get("second").delivery_info["redelivered"]


def test_a_stopped_flow_waits_without_working(channel):
    # Given a message for a channel that is stopped
    channel.queue_declare("q")
    channel.basic_consume("q", callback=print)
    put(channel, "q")
    channel.flow(False)
    before = process_time()
    # When, Then
    with pytest.raises(TimeoutError):
        channel.connection.drain_events(channel.connection, timeout=0.3)
    assert process_time() - before < 0.15


def test_a_message_is_not_spent_on_waking_a_connection_whose_consumer_was_cancelled(connect):
    # Given two connections that wait for a queue, and the consumer of the first cancelled by another thread
    publisher, first, second = (connect().channel() for _ in range(3))
    publisher.queue_declare("q")
    got = threading.Event()
    second.basic_consume("q", no_ack=True, callback=lambda message: got.set())
    tag = first.basic_consume("q", no_ack=True, callback=print)
    over = []

    def drain(channel):
        try:
            channel.connection.drain_events(channel.connection, timeout=PATIENCE)
        except TimeoutError:
            over.append(channel)

    threads = []
    for waiting, channel in enumerate((first, second), 1):
        threads.append(threading.Thread(target=drain, args=(channel,), daemon=True))
        threads[-1].start()
        while publisher.connection.broker.waiting < waiting:
            sleep(0)
    first.basic_cancel(tag)
    # When a message comes
    put(publisher, "q")
    # Then the second has it, at once
    assert got.wait(PATIENCE / 2)
    assert not over


def test_a_channel_closed_between_taking_and_delivering_gives_the_message_back(connect):
    # Given a message that a channel has taken
    first, second = connect().channel(), connect().channel()
    got = []
    first.queue_declare("q")
    first.basic_consume("q", callback=got.append, consumer_tag="t")
    subscription = first._consumers["t"]
    put(second, "q")
    message = first.take(subscription)
    # When another thread closes it before the delivery
    first.close()
    first.deliver(subscription, message)
    # Then the message is in the queue and was not delivered
    assert not got
    assert second.basic_get("q").body == b"x"


def test_threads_that_publish_by_priority_lose_nothing(connect):
    # Given a queue with priorities, and threads that change places often
    threads, each = 4, 60
    channels = [connect().channel() for _ in range(threads)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for attempt in range(each):
            name = f"q{attempt}"
            arguments = {"x-max-priority": 9, "x-max-length-bytes": 10_000}
            channels[0].queue_declare(name, arguments=arguments)
            queue = channels[0].queues[name]
            barrier = threading.Barrier(threads)

            def publish(channel, queue=queue, barrier=barrier):
                message = channel.prepare_message("x", priority=5)
                barrier.wait(PATIENCE)
                channel._put(queue.name, message)

            running = [threading.Thread(target=publish, args=(channel,)) for channel in channels]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join(60)
            # Then
            assert (len(queue), queue.size_bytes) == (threads, threads)
    finally:
        sys.setswitchinterval(interval)
