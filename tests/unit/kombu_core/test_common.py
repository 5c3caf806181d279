"""What programs that send and receive messages have in common."""

from __future__ import annotations

import pickle
import threading
from time import sleep

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.common import (
    Broadcast,
    QoS,
    collect_replies,
    declaration_cached,
    drain_consumer,
    eventloop,
    generate_oid,
    get_node_id,
    ignore_errors,
    insured,
    itermessages,
    maybe_declare,
    oid_from,
    revive_connection,
    send_reply,
    uuid,
)
from kombu.exceptions import (
    ChannelError,
    ConnectionError,
    DeadlineExceeded,
    OperationalError,
    RecoverableConnectionError,
)
from kombu.utils.deadline import deadline_scope

from .channels import PaperChannel
from .flaky import FlakyTransport


@pytest.fixture
def connection(memory_url):
    with Connection(memory_url) as connection:
        yield connection


@pytest.fixture
def queue(connection):
    queue = Queue("q")
    queue(connection).declare()
    return queue


def put(connection, *bodies):
    for body in bodies:
        connection.Producer().publish(body, routing_key="q")


def left(connection):
    return Queue("q")(connection).queue_declare(passive=True).message_count


# -- broadcasts


@pytest.mark.parametrize(
    ("arguments", "starts", "exchange", "alias"),
    [
        ({}, "bcast.", "", None),
        ({"name": "b"}, "bcast.", "b", "b"),
        ({"name": "b", "queue": "mine"}, "mine", "b", "b"),
        ({"name": "b", "queue": "mine", "unique": True}, "mine.", "b", "b"),
        ({"name": "b", "alias": "al"}, "bcast.", "b", "al"),
        ({"name": "b", "exchange": Exchange("z", "fanout")}, "bcast.", "z", "b"),
    ],
)
def test_a_broadcast_queue_is_ones_own_on_a_fanout_exchange(arguments, starts, exchange, alias):
    # When
    queue, other = Broadcast(**arguments), Broadcast(**arguments)
    # Then
    assert queue.name.startswith(starts) and queue.queue == queue.name and queue.auto_delete
    assert (queue.exchange.name, queue.exchange.type, queue.alias) == (exchange, "fanout", alias)
    assert (queue.name == other.name) is (starts == "mine")


def test_copies_of_a_broadcast_queue_keep_its_name():
    queue = Broadcast("b", auto_delete=False, durable=False)
    for copy in (queue(PaperChannel()), pickle.loads(pickle.dumps(queue))):
        assert copy.name == queue.name and not copy.auto_delete and isinstance(copy, Broadcast)


def test_everybody_gets_a_broadcast(connection):
    # Given
    got = []
    queues = [Broadcast("news"), Broadcast("news")]
    with Consumer(connection, queues, callbacks=[lambda body, message: got.append(body)], no_ack=True):
        # When
        connection.Producer().publish("x", exchange=Exchange("news", "fanout"))
        for _ in range(2):
            connection.drain_events(timeout=5)
    # Then
    assert got == ["x", "x"]


# -- declaring


def test_maybe_declare_declares_once_for_a_connection():
    # Given
    channel = PaperChannel()
    queue = Queue("q", Exchange("e"), "k")
    assert not declaration_cached(queue, channel)
    # When / Then
    assert maybe_declare(queue, channel) is True
    assert maybe_declare(queue, channel) is False and declaration_cached(queue, channel)
    assert maybe_declare(queue(channel)) is False
    assert channel.verbs() == ["exchange_declare", "queue_declare", "queue_bind"]


@pytest.mark.parametrize("retry", [False, True])
def test_maybe_declare_needs_a_channel_that_lives(retry):
    with pytest.raises(ChannelError, match="no channel was given"):
        maybe_declare(Queue("q"), retry=retry)
    channel = PaperChannel()
    channel.connection = None
    with pytest.raises(RecoverableConnectionError, match="channel disconnected"):
        maybe_declare(Queue("q"), channel, retry=retry)


def test_maybe_declare_tells_that_the_connection_was_closed(memory_url):
    # Given what is bound to a channel of a connection that was closed since
    with Connection(memory_url) as connection:
        queue, producer = Queue("q")(connection.channel()), Producer(connection.channel())
    # When / Then: there is nothing left to try again with
    with pytest.raises(RecoverableConnectionError, match="channel disconnected"):
        maybe_declare(queue, retry=True)
    with pytest.raises(RecoverableConnectionError, match="has lost its connection"):
        producer.maybe_declare(Queue("q"), retry=True)


def test_maybe_declare_can_try_again(memory_url):
    # Given a connection that is lost before the first attempt ends
    failures = [ConnectionError("reset")]

    class FlakyChannel(FlakyTransport.Channel):
        def queue_declare(self, *args, **kwargs):
            if failures:
                self.connection.client.collect()
                raise failures.pop()
            return super().queue_declare(*args, **kwargs)

    class Transport(FlakyTransport):
        Channel = FlakyChannel

    with Connection(memory_url, transport=Transport) as connection:
        channel = connection.channel()
        # When
        assert maybe_declare(Queue("q"), channel, retry=True, interval_start=0, max_retries=3) is True
        # Then
        assert failures == [] and left(connection) == 0


# -- waiting


def test_the_eventloop_yields_after_each_event(connection, queue):
    # Given
    got = []
    put(connection, 1, 2, 3)
    with Consumer(connection, queue, callbacks=[lambda body, message: got.append(body)], no_ack=True):
        # When
        for _ in eventloop(connection, limit=2, timeout=5):
            pass
        assert got == [1, 2]
        next(eventloop(connection))
    # Then
    assert got == [1, 2, 3]


def test_the_eventloop_raises_or_ignores_timeouts(connection):
    assert list(eventloop(connection, limit=2, timeout=0.01, ignore_timeouts=True)) == []
    with pytest.raises(TimeoutError):
        list(eventloop(connection, limit=2, timeout=0.01))


def test_a_deadline_ends_the_eventloop_whatever_is_ignored(connection):
    with pytest.raises(DeadlineExceeded), deadline_scope(0.05):
        for _ in eventloop(connection, timeout=0.01, ignore_timeouts=True):
            pass


def test_itermessages_yields_bodies_and_messages(connection, queue):
    # Given
    put(connection, "a", "b", "c")
    # When
    got = []
    for body, message in itermessages(connection, connection.channel(), queue, limit=2, timeout=5):
        got.append(body)
        message.ack()
    # Then
    assert got == ["a", "b"] and left(connection) == 1
    assert list(itermessages(connection, connection.channel(), Queue("none"), timeout=0.01)) == []


def test_draining_a_consumer_leaves_its_callbacks_as_they_were(connection, queue):
    # Given
    put(connection, "a")
    seen, also = [], []
    consumer = Consumer(connection, queue, callbacks=[lambda body, message: seen.append(body)], no_ack=True)
    # When
    drained = list(drain_consumer(consumer, timeout=5, callbacks=[lambda body, message: also.append(body)]))
    # Then
    assert [body for body, _ in drained] == also == ["a"] and seen == []
    assert len(consumer.callbacks) == 1 and not consumer.consuming_from("q")


def test_what_was_not_taken_goes_back(connection, queue):
    # Given an event that brings two messages: while the first is handled, the next is drained
    put(connection, "a", "b")

    def eager(body, message):
        if body == "a":
            connection.drain_events(timeout=5)

    channel = connection.channel()
    # When the caller stops after the first
    for _, message in itermessages(connection, channel, queue, timeout=5, callbacks=[eager]):
        message.ack()
        break
    # Then the other is there for others
    assert left(connection) == 1


# -- requests


def test_a_reply_goes_where_the_request_says_as_the_request_was(connection, queue):
    # Given a request
    Queue("answers")(connection).declare()
    connection.Producer().publish(
        {"ask": 1}, routing_key="q", serializer="pickle", reply_to="answers", correlation_id="id"
    )
    request = queue(connection).get(accept=["pickle"])
    # When
    send_reply("", request, {"answer": 2}, headers={"h": 1})
    # Then
    reply = Queue("answers")(connection).get(no_ack=True, accept=["pickle"])
    assert reply.payload == {"answer": 2} and reply.properties["correlation_id"] == "id"
    assert reply.content_type == "application/x-python-serialize" and reply.headers == {"h": 1}


def test_what_is_given_wins_over_what_the_request_says(connection, queue):
    # Given
    put(connection, {"ask": 1})
    request = queue(connection).get()
    request.properties.update(reply_to="answers", correlation_id="id")
    channel = PaperChannel()
    # When
    send_reply(Exchange("e"), request, "x", Producer(channel), correlation_id="mine", serializer="json")
    # Then
    ((message, options),) = channel.published()
    assert message["properties"]["correlation_id"] == "mine" and message["body"] == '"x"'
    assert (options["exchange"], options["routing_key"]) == ("e", "answers")


@pytest.mark.parametrize("no_ack", [True, False])
def test_replies_are_collected_and_the_queue_is_told(connection, queue, no_ack):
    # Given
    put(connection, {"r": 1}, {"r": 2})
    channel = connection.channel()
    told = []
    channel.after_reply_message_received = told.append
    # When
    replies = list(collect_replies(connection, channel, queue, limit=2, timeout=5, no_ack=no_ack))
    # Then
    assert replies == [{"r": 1}, {"r": 2}] and told == ["q"]
    assert list(collect_replies(connection, channel, queue, limit=1, timeout=0.01)) == [] and told == ["q"]
    # And nothing is left unacknowledged, that would go back to the queue
    channel.close()
    assert left(connection) == 0


# -- errors


def test_errors_of_the_connection_can_be_ignored(connection):
    # Given
    def fail(error):
        raise error

    # When / Then
    assert ignore_errors(connection, max, 1, 2) == 2
    for error in (ConnectionError("gone"), ChannelError("closed")):
        assert ignore_errors(connection, fail, error) is None
        with ignore_errors(connection):
            raise error
    with pytest.raises(KeyError):
        ignore_errors(connection, fail, KeyError("k"))


def test_insured_calls_go_on_after_connection_errors(memory_url):
    # Given
    attempts, told, revived = [], [], []

    def fun(*args, connection, channel, **kwargs):
        attempts.append((args, kwargs))
        if len(attempts) < 3:
            connection.collect()
            raise ConnectionError("boom")
        return channel, connection

    with Connection(memory_url) as connection:
        pool = connection.Pool(2)
        # When
        channel, used = insured(
            pool,
            fun,
            (1,),
            {"z": 2},
            errback=lambda exc, interval: told.append(exc),
            on_revive=revived.append,
            interval_start=0,
            interval_step=0,
            max_retries=5,
        )
        # Then
        assert attempts == [((1,), {"z": 2})] * 3 and len(told) == 2
        assert channel.connection.client is used and channel in revived
        # And the limit holds; then it is logged when nobody wants to be told
        attempts[:] = []
        with pytest.raises(OperationalError, match="boom"):
            insured(pool, fun, (), {}, interval_start=0, max_retries=1)
        pool.force_close_all()


def test_revive_connection_tells_the_callback():
    told = []
    revive_connection(None, "channel", told.append)
    revive_connection(None, "channel")
    assert told == ["channel"]


# -- prefetch


class Prefetch(QoS):
    def __init__(self, *args, **kwargs):
        self.applied = []
        super().__init__(lambda prefetch_count: self.applied.append(prefetch_count), *args, **kwargs)


def test_a_prefetch_count_changes_when_it_is_updated():
    # Given
    qos = Prefetch(10)
    assert (qos.value, qos.prev, qos.applied) == (10, None, [])
    # When
    assert (qos.increment_eventually(), qos.increment_eventually(2), qos.decrement_eventually(3)) == (11, 13, 10)
    assert qos.applied == []
    # Then
    assert qos.update() == 10 and qos.prev == 10 and qos.applied == [10]
    assert qos.update() == 10 and qos.applied == [10]


def test_no_limit_stays_no_limit():
    qos = Prefetch(0)
    assert (qos.increment_eventually(5), qos.decrement_eventually(5), qos.update()) == (0, 0, 0)
    assert qos.applied == [0]


def test_a_limit_never_becomes_no_limit():
    qos = Prefetch(2)
    assert qos.decrement_eventually(2) == 1 and qos.decrement_eventually(100) == 1


def test_max_prefetch_bounds_increments():
    qos = Prefetch(10, max_prefetch=12)
    assert (qos.increment_eventually(5), qos.increment_eventually(), qos.decrement_eventually(6)) == (12, 12, 6)
    assert qos.increment_eventually(-3) == 6


def test_what_amqp_has_no_room_for_is_applied_as_no_limit(caplog):
    qos = Prefetch(10)
    assert qos.set(70000) == 70000 and qos.prev == 70000 and qos.applied == [0]
    assert "70000" in caplog.text
    qos.set(65535)
    assert qos.applied == [0, 65535]


class SlowPrefetch(Prefetch):
    """Lets another thread run whenever the value was read."""

    @property
    def value(self):
        found = self.stored
        sleep(0)
        return found

    @value.setter
    def value(self, value):
        self.stored = value


def test_threads_lose_no_changes():
    # Given
    qos = SlowPrefetch(1000)

    def change():
        for _ in range(200):
            qos.increment_eventually()
            qos.update()
            qos.decrement_eventually()

    # When
    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # Then
    assert qos.value == 1000
    qos.update()
    assert qos.applied[-1] == qos.prev == 1000


# -- identities


def test_object_ids_are_those_of_kombu_5():
    # Given what kombu 5.7 computes: the UUID (version 3) of "node-process-thread-object" in hexadecimal
    from uuid import NAMESPACE_OID, uuid3

    thing = object()
    # Then
    assert generate_oid(1, 2, 255, thing) == str(uuid3(NAMESPACE_OID, f"1-2-ff-{id(thing):x}"))


def test_object_ids_tell_objects_and_threads_apart():
    # Given
    one, other = object(), object()
    in_thread = []
    thread = threading.Thread(target=lambda: in_thread.extend([oid_from(one), oid_from(one, threads=False)]))
    thread.start()
    thread.join(60)
    # Then
    assert oid_from(one) == oid_from(one) != oid_from(other)
    assert in_thread[0] != oid_from(one) and in_thread[1] == oid_from(one, threads=False)
    assert get_node_id() == get_node_id() and len(uuid()) == 36


def test_a_python_without_md5_has_object_ids_too(monkeypatch):
    # Given FIPS mode
    import uuid as standard

    def refuse(*args):
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr(standard, "uuid3", refuse)
    # When / Then
    thing = object()
    assert generate_oid(1, 2, 3, thing) == str(standard.uuid5(standard.NAMESPACE_OID, f"1-2-3-{id(thing):x}"))
