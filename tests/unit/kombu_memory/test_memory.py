"""The broker in the process: who shares it, who is woken, and what threads may do."""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import ExitStack
from time import sleep

import pytest

import kombu_memory
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import ConsumerCancelled

PATIENCE = 10.0


@pytest.fixture
def url(request):
    name = f"test-{request.node.name.replace('[', '-').replace(']', '')}".lower()
    yield f"memory://{name}"
    kombu_memory.reset(name)


@pytest.fixture
def connect(url):
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Connection(url))


def start(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def asleep(connection, waiting=1):
    """Return when so many connections to the same broker are waiting for messages."""
    broker = connection.transport.broker
    while broker.waiting < waiting:
        sleep(0)  # lets the other threads run; there is no event to wait for


def test_connections_to_one_url_share_a_broker_and_others_do_not(url, connect):
    # Given a message published to a broker by its name
    queue = connect().SimpleQueue("q")
    queue.put("hello")
    # When, Then: it is there on the same URL, however that is written, and nowhere else
    assert len(Connection(url + "//").SimpleQueue("q")) == 1
    with Connection(url + "/other") as other:
        assert len(other.SimpleQueue("q")) == 0


def test_the_broker_outlives_its_connections(url):
    with Connection(url) as connection:
        connection.SimpleQueue("q").put("hello")
    with Connection(url) as connection:
        assert connection.SimpleQueue("q").get_nowait().payload == "hello"


def test_reset_forgets_and_tells_the_consumers(url, connect):
    # Given
    connection = connect()
    told = []
    connection.default_channel.queue_declare("q")
    connection.default_channel.basic_consume("q", callback=None, on_cancel=told.append, consumer_tag="me")
    # When
    kombu_memory.reset(connection.transport.broker.name)
    # Then
    connection.drain_events(timeout=PATIENCE)
    assert told == ["me"]
    assert len(connect().SimpleQueue("q")) == 0


def test_a_waiting_consumer_without_on_cancel_gets_an_error_when_its_queue_is_deleted(connect):
    # Given
    waiting, deleting = connect(), connect()
    queue = Queue("q")
    errors = []

    def consume():
        with Consumer(waiting, [queue], callbacks=[print]):
            try:
                waiting.drain_events(timeout=PATIENCE)
            except ConsumerCancelled as exc:
                errors.append(exc)

    thread = start(consume)
    asleep(waiting)
    # When
    queue(deleting).delete()
    thread.join(PATIENCE)
    # Then
    assert "q" in str(errors[0])
    assert isinstance(errors[0], waiting.recoverable_connection_errors)


def test_one_message_wakes_one_of_many_waiting_consumers(connect):
    # Given ten connections that wait for the same queue
    queue, got, over = Queue("q"), Counter(), threading.Event()
    connections = [connect() for _ in range(10)]
    consumers = [Consumer(connection, [queue]) for connection in connections]

    def consume(number):
        def receive(body, message):
            got[body] += 1
            message.ack()
            over.set()

        consumers[number].register_callback(receive)
        with consumers[number]:
            try:
                connections[number].drain_events(timeout=1.0)
            except TimeoutError:
                pass

    threads = [start(lambda number=number: consume(number)) for number in range(10)]
    asleep(connections[0], waiting=10)
    # When
    Producer(connect()).publish("one", exchange="", routing_key="q")
    # Then it is delivered at once, and the others go on sleeping
    assert over.wait(PATIENCE)
    assert connections[0].transport.broker.waiting == 9
    for thread in threads:
        thread.join(PATIENCE)
    assert got == {"one": 1}


def test_who_was_woken_for_one_message_and_takes_another_wakes_the_next(connect):
    # Given one connection that waits for two queues, and one that waits for the second of them
    first, second = Queue("q1"), Queue("q2")
    connections = [connect(), connect()]
    both = threading.Barrier(3)

    def consume(connection, queues):
        def receive(body, message):
            message.ack()
            both.wait(PATIENCE / 2)  # neither comes back for the other's message

        with Consumer(connection, queues, callbacks=[receive]):
            connection.drain_events(timeout=PATIENCE)

    threads = [start(lambda: consume(connections[0], [first, second]))]
    asleep(connections[0])
    threads.append(start(lambda: consume(connections[1], [second])))
    asleep(connections[0], waiting=2)
    # When it is woken for the second queue and finds a message in the first, whose turn it is
    producer = Producer(connect())
    with connections[0].transport.broker.lock:
        producer.publish("x", exchange="", routing_key="q2")
        producer.publish("x", exchange="", routing_key="q1")
    # Then the other one gets what it left
    both.wait(PATIENCE / 2)
    for thread in threads:
        thread.join(PATIENCE)


def test_an_acknowledgement_from_another_thread_lets_the_next_message_in(connect):
    # Given a consumer that may hold one message, holds it, and waits
    connection = connect()
    held, done = [], threading.Event()
    producer = Producer(connect())
    with Consumer(connection, [Queue("q")], on_message=held.append, prefetch_count=1):
        for body in "ab":
            producer.publish(body, exchange="", routing_key="q")
        connection.drain_events(timeout=PATIENCE)

        def wait():
            connection.drain_events(timeout=PATIENCE)
            done.set()

        start(wait)
        asleep(connection)
        assert len(held) == 1
        # When
        held[0].ack()
        # Then
        assert done.wait(PATIENCE)
    assert [message.payload for message in held] == ["a", "b"]


def test_a_delayed_message_wakes_a_consumer_that_was_asleep_before_it_was_published(connect):
    # Given
    connection, got = connect(), []

    def consume():
        with Consumer(connection, [Queue("q")], on_message=got.append):
            connection.drain_events(timeout=PATIENCE)

    thread = start(consume)
    asleep(connection)
    # When
    Producer(connect()).publish("later", exchange="", routing_key="q", delay=0.05)
    # Then it is woken by the clock alone
    thread.join(PATIENCE)
    assert [message.payload for message in got] == ["later"]


def test_what_expires_wakes_the_consumer_of_the_dead_letters(connect):
    # Given a consumer of dead letters, asleep, and a queue nobody reads
    connection, got = connect(), []
    letters = Queue("letters", Exchange("dlx", "fanout"))
    work = Queue("work", message_ttl=0.05, queue_arguments={"x-dead-letter-exchange": "dlx"})

    def consume():
        with Consumer(connection, [letters], on_message=got.append):
            connection.drain_events(timeout=PATIENCE)

    thread = start(consume)
    asleep(connection)
    # When
    Producer(connect()).publish("old", exchange="", routing_key="work", declare=[work])
    # Then
    thread.join(PATIENCE)
    assert got[0].headers["x-death"][0]["reason"] == "expired"


def test_a_dropped_channel_gives_everything_back_in_order(connect):
    # Given a channel that took three of four messages
    connection = connect()
    queue = Queue("q")(connection)
    queue.declare()
    producer = Producer(connection)
    for body in "abcd":
        producer.publish(body, exchange="", routing_key="q")
    channel = connection.channel()
    for _ in range(3):
        channel.basic_get("q")
    # When
    channel.close()
    # Then
    again = [queue.get(no_ack=True) for _ in range(4)]
    assert [message.payload for message in again] == ["a", "b", "c", "d"]
    assert [message.delivery_count for message in again] == [1, 1, 1, 0]


def test_threads_publish_and_acknowledge_without_loss_or_duplicates(url):
    # Given 16 publishers of 200 messages each and 16 consumers, a connection each
    queue, each, publishers, consumers = Queue("q", Exchange("ex", "topic"), routing_key="k.#"), 200, 16, 16
    seen: list[Counter] = [Counter() for _ in range(consumers)]
    left = threading.Semaphore(0)
    with Connection(url) as connection:
        queue(connection).declare()
    stop = threading.Event()

    def publish(number):
        with Connection(url) as connection:
            producer = Producer(connection)
            for at in range(each):
                producer.publish(f"{number}.{at}", exchange="ex", routing_key=f"k.{number}")

    def consume(number):
        def receive(body, message):
            # Every seventh is given back the first time.
            if int(body.split(".")[1]) % 7 == 0 and message.delivery_count == 0:
                message.requeue()
                return
            seen[number][body] += 1
            message.ack()
            left.release()

        with Connection(url) as connection, Consumer(connection, [queue], callbacks=[receive], prefetch_count=5):
            while not stop.is_set():
                try:
                    connection.drain_events(timeout=0.1)
                except TimeoutError:
                    continue

    # When
    threads = [start(lambda number=number: consume(number)) for number in range(consumers)]
    threads += [start(lambda number=number: publish(number)) for number in range(publishers)]
    for _ in range(publishers * each):
        assert left.acquire(timeout=30.0)
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    # Then each message was handled once
    total = sum(seen, Counter())
    assert total == {f"{number}.{at}": 1 for number in range(publishers) for at in range(each)}
    with Connection(url) as connection:
        assert queue(connection).queue_declare(passive=True).message_count == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_has_a_broker_of_its_own_whatever_the_parent_was_doing(url, connect):
    # Given a parent that holds the broker's lock in another thread, and a message
    connection = connect()
    connection.SimpleQueue("q").put("before")
    locked, release = threading.Event(), threading.Event()

    def hold():
        with connection.transport.broker.lock:
            locked.set()
            release.wait(PATIENCE)

    thread = start(hold)
    locked.wait(PATIENCE)
    # When
    pid = os.fork()
    if pid == 0:
        with Connection(url) as child:
            queue = child.SimpleQueue("q")
            ok = queue.get(timeout=5).payload == "before"
            queue.put("only in the child")
        os._exit(0 if ok else 1)
    release.set()
    thread.join(PATIENCE)
    # Then the child could use its copy, and the parent's is as it was
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(connect().SimpleQueue("q")) == 1
