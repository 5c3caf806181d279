"""Consuming: what the channel is asked for, and what reaches the application."""

from __future__ import annotations

import pickle

import pytest

from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import ConsumerCancelled, ContentDisallowed, DecodeError
from kombu.message import Message

from .channels import PaperChannel, received

E = Exchange("e")


@pytest.fixture
def channel():
    return PaperChannel()


@pytest.fixture
def connection(memory_url):
    with Connection(memory_url) as connection:
        yield connection


def started(channel):
    """What was started: queue, no_ack and nowait of each."""
    return [(asked["queue"], asked["no_ack"], asked["nowait"]) for asked in channel.asked("basic_consume")]


def tags(channel):
    return [asked["consumer_tag"] for asked in channel.asked("basic_consume")]


def deliver(channel, message=None):
    """Deliver a message to the consumer that was started last, as the channel does."""
    if message is None:
        message = received(b'{"a": 1}', channel)
    channel.asked("basic_consume")[-1]["callback"](message)
    return message


# -- starting and stopping


def test_queues_are_declared_and_then_consumed_each_by_a_tag_of_its_own(channel):
    # Given
    consumer = Consumer(channel, [Queue("q1", E, "1"), Queue("q2", no_ack=True)])
    assert channel.verbs() == ["exchange_declare", "queue_declare", "queue_bind", "queue_declare"]
    # When
    consumer.consume()
    # Then the broker is waited for once
    assert started(channel) == [("q1", False, True), ("q2", True, False)]
    assert len(set(tags(channel))) == 2
    # And consuming again starts nothing twice
    consumer.consume()
    assert len(started(channel)) == 2


def test_tags_of_two_consumers_on_one_channel_differ(channel):
    for _ in range(2):
        Consumer(channel, Queue("q"), tag_prefix="mine-").consume()
    assert len(set(tags(channel))) == 2 and all(tag.startswith("mine-") for tag in tags(channel))


@pytest.mark.parametrize("queues", [Queue("q"), [Queue("q")], (Queue("q"),), iter([Queue("q")])])
def test_queues_may_be_one_or_several(channel, queues):
    consumer = Consumer(channel, queues)
    assert [queue.name for queue in consumer.queues] == ["q"]
    assert consumer.queues[0].is_bound


def test_a_name_is_not_a_queue(channel):
    with pytest.raises(TypeError, match=r"must be kombu.Queue objects, not 'q': write Queue\('q'\)"):
        Consumer(channel, ["q"])


def test_the_consumer_decides_about_no_ack_else_each_queue(channel):
    queues = [Queue("q1"), Queue("q2", no_ack=True)]
    Consumer(channel, queues, no_ack=True).consume()
    Consumer(channel, queues).consume(no_ack=False)
    assert [no_ack for _, no_ack, _ in started(channel)] == [True, True, False, False]


def test_auto_declare_can_be_switched_off(channel):
    consumer = Consumer(channel, [Queue("q", E, "k")], auto_declare=False)
    assert channel.calls == []
    consumer.declare()
    assert channel.verbs() == ["exchange_declare", "queue_declare", "queue_bind"]


def test_prefetch_is_set_before_consuming(channel):
    Consumer(channel, [Queue("q")], prefetch_count=10).consume()
    assert channel.verbs() == ["queue_declare", "basic_qos", "basic_consume"]
    assert channel.asked("basic_qos") == [(0, 10, False, {})]


def test_a_queue_named_by_the_broker_is_known_by_that_name(channel):
    consumer = Consumer(channel, [Queue("")])
    consumer.consume()
    assert consumer.consuming_from("amq.gen-1") and started(channel)[0][0] == "amq.gen-1"


def test_queues_can_be_added_and_are_started_by_the_next_consume(channel):
    # Given
    consumer = Consumer(channel, [Queue("q1")])
    consumer.consume()
    # When
    added = consumer.add_queue(Queue("q2"))
    # Then
    assert added.is_bound and not consumer.consuming_from("q2")
    consumer.consume()
    assert consumer.consuming_from(added) and [name for name, _, _ in started(channel)] == ["q1", "q2"]


@pytest.mark.parametrize("one", ["q1", Queue("q1")])
def test_one_queue_can_be_left(channel, one):
    # Given
    consumer = Consumer(channel, [Queue("q1"), Queue("q2")])
    consumer.consume()
    # When
    consumer.cancel_by_queue(one)
    consumer.cancel_by_queue("unknown")
    # Then
    assert channel.asked("basic_cancel") == [(tags(channel)[0], {})]
    assert not consumer.consuming_from("q1") and consumer.consuming_from(Queue("q2"))
    assert [queue.name for queue in consumer.queues] == ["q2"]


@pytest.mark.parametrize("stop", [Consumer.cancel, Consumer.close])
def test_cancelling_ends_all_and_consuming_starts_anew(channel, stop):
    # Given
    consumer = Consumer(channel, [Queue("q1"), Queue("q2")])
    consumer.consume()
    # When
    stop(consumer)
    stop(consumer)
    # Then
    assert channel.asked("basic_cancel") == [(tag, {}) for tag in tags(channel)]
    assert not consumer.consuming_from("q1")
    consumer.consume()
    assert len(set(tags(channel))) == 4


def test_a_failed_start_is_no_start(channel):
    # Given a broker that refuses
    consumer = Consumer(channel, [Queue("q")])
    channel.fail = {"basic_consume": LookupError("refused")}
    with pytest.raises(LookupError, match="refused"):
        consumer.consume()
    # When it does not any more
    assert not consumer.consuming_from("q")
    channel.fail = {}
    consumer.consume()
    # Then
    assert consumer.consuming_from("q")


def test_as_a_context_it_consumes_inside(channel):
    consumer = Consumer(channel, [Queue("q")])
    with consumer as entered:
        assert entered is consumer and consumer.consuming_from("q")
    assert channel.verbs()[-1] == "basic_cancel"


def test_nothing_is_cancelled_on_a_connection_that_is_lost(channel):
    with pytest.raises(ConnectionResetError):
        with Consumer(channel, [Queue("q")]) as consumer:
            raise ConnectionResetError
    assert "basic_cancel" not in channel.verbs() and not consumer.consuming_from("q")


@pytest.mark.parametrize("raised", [KeyError, ValueError])
def test_an_error_inside_is_not_hidden_by_one_of_cancelling(channel, raised):
    channel.fail = {"basic_cancel": RuntimeError("cancel failed")}
    with pytest.raises(raised):
        with Consumer(channel, [Queue("q")]):
            raise raised


def test_an_error_of_cancelling_alone_is_told_unless_the_broker_is_gone(channel):
    channel.fail = {"basic_cancel": LookupError("channel closed")}
    with Consumer(channel, [Queue("q")]):
        pass
    channel.fail = {"basic_cancel": RuntimeError("a bug")}
    with pytest.raises(RuntimeError, match="a bug"):
        with Consumer(channel, [Queue("q")]):
            pass


# -- reviving


def test_reviving_keeps_just_what_was_consumed(channel):
    # Given three queues: one consumed without acknowledging, one left, one never started
    consumer = Consumer(channel, [Queue("q1", E, "1"), Queue("q2")], prefetch_count=10)
    consumer.consume(no_ack=True)
    consumer.cancel_by_queue("q2")
    consumer.add_queue(Queue("q3"))
    # When
    other = PaperChannel()
    consumer.revive(other)
    # Then
    assert started(other) == [("q1", True, False)]
    assert other.asked("basic_qos") == [(0, 10, False, {})]
    assert [asked["queue"] for asked in other.asked("queue_declare")] == ["q1", "q3"]
    assert other.verbs()[-2:] == ["basic_qos", "basic_consume"]
    assert all(queue.channel is other for queue in consumer.queues) and consumer.channel is other
    assert set(tags(other)).isdisjoint(tags(channel))


@pytest.mark.parametrize("verb", ["queue_declare", "basic_qos", "basic_consume"])
def test_reviving_that_failed_can_be_tried_again(channel, verb):
    # Given a consumer of one of its queues, and a channel that breaks while it is taken over
    consumer = Consumer(channel, [Queue("q1")], prefetch_count=10)
    consumer.consume()
    consumer.add_queue(Queue("q2"))
    broken = PaperChannel()
    broken.fail = {verb: ConnectionResetError("gone again")}
    with pytest.raises(ConnectionResetError):
        consumer.revive(broken)
    # When the next channel is better
    other = PaperChannel()
    consumer.revive(other)
    # Then
    assert [queue for queue, _, _ in started(other)] == ["q1"]
    assert consumer.consuming_from("q1")


def test_reviving_what_was_cancelled_starts_nothing(channel):
    consumer = Consumer(channel, [Queue("q")])
    consumer.consume()
    consumer.cancel()
    consumer.revive(PaperChannel())
    assert "basic_consume" not in consumer.channel.verbs()


def test_the_last_qos_is_kept(channel):
    consumer = Consumer(channel, [Queue("q")], prefetch_count=10)
    consumer.qos(prefetch_count=3, apply_global=True)
    consumer.revive(PaperChannel())
    assert consumer.channel.asked("basic_qos") == [(0, 3, True, {})]


# -- the other verbs


def test_flow_recover_purge_and_qos_are_passed_on(channel):
    # Given
    consumer = Consumer(channel, [Queue("q1"), Queue("q2")])
    # When
    consumer.flow(False)
    consumer.recover()
    consumer.recover(requeue=True)
    consumer.qos(1, 2, True)
    # Then
    assert consumer.purge() == 8
    assert channel.asked("flow") == [(False, {})]
    assert channel.asked("basic_recover") == [{"requeue": False}, {"requeue": True}]
    assert channel.asked("basic_qos") == [(1, 2, True, {})]
    assert consumer.connection is channel.connection.client


# -- receiving


def test_callbacks_get_body_and_message_in_turn(channel):
    # Given
    got = []
    consumer = Consumer(channel, Queue("q"), callbacks=[lambda body, message: got.append(("first", body, message))])
    consumer.register_callback(lambda body, message: got.append(("second", body, message)))
    consumer.consume()
    # When
    message = deliver(channel)
    # Then
    assert got == [("first", {"a": 1}, message), ("second", {"a": 1}, message)]


def test_callbacks_may_change_while_consuming(channel):
    # Given a consumer that runs
    got = []
    consumer = Consumer(channel, Queue("q"))
    consumer.consume()
    # When callbacks are added, replaced, and set aside by on_message: each holds for the next message
    consumer.register_callback(lambda body, message: got.append("registered"))
    deliver(channel)
    consumer.callbacks = [lambda body, message: got.append("replaced")]
    deliver(channel)
    consumer.on_message = lambda message: got.append("on_message")
    deliver(channel)
    # Then
    assert got == ["registered", "replaced", "on_message"]


def test_receive_may_be_overridden(channel):
    class Mine(Consumer):
        def receive(self, body, message):
            self.got = body

    consumer = Mine(channel, Queue("q"))
    consumer.consume()
    deliver(channel)
    assert consumer.got == {"a": 1}


def test_on_message_gets_the_message_undecoded(channel):
    # Given a body that cannot be decoded
    got = []
    Consumer(channel, Queue("q"), on_message=got.append, callbacks=[print]).consume()
    # When
    message = deliver(channel, received(b"\xff", channel))
    # Then
    assert got == [message] and channel.asked("basic_ack") == []


def test_without_callbacks_receiving_is_not_implemented(channel):
    consumer = Consumer(channel, Queue("q"))
    with pytest.raises(NotImplementedError, match="does not have any callbacks"):
        consumer.receive({}, received())


def test_raw_deliveries_are_made_messages_by_the_channel(channel):
    # Given a channel that delivers its driver's own objects
    got = []
    Consumer(channel, Queue("q"), callbacks=[lambda body, message: got.append((body, message))]).consume()
    # When
    deliver(channel, b"raw")
    # Then
    ((body, message),) = got
    assert body == "raw" and isinstance(message, Message) and message.channel is channel


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (received(b"\xff{"), DecodeError),
        (received(pickle.dumps(1), content_type="application/x-python-serialize"), ContentDisallowed),
        (received(b"junk", headers={"compression": "application/x-gzip"}), DecodeError),
    ],
    ids=["broken", "not accepted", "not decompressed"],
)
def test_an_undecodable_message_is_reported_or_raised_and_stays_unsettled(channel, message, error):
    # Given a consumer that wants to know
    message.channel = channel
    seen, got = [], []
    consumer = Consumer(
        channel,
        Queue("q"),
        callbacks=[lambda body, message: got.append(body)],
        on_decode_error=lambda message, exc: seen.append((message, exc)),
    )
    consumer.consume()
    # When
    deliver(channel, message)
    # Then
    assert seen[0][0] is message and isinstance(seen[0][1], error)
    # And when it does not: it is raised
    consumer.on_decode_error = None
    with pytest.raises(error):
        deliver(channel, message)
    assert got == [] and not message.acknowledged and channel.asked("basic_ack", "basic_reject") == []


@pytest.mark.parametrize("accept", [["pickle"], {"application/x-python-serialize"}])
def test_accept_says_what_may_be_decoded(channel, accept):
    # Given
    got = []
    consumer = Consumer(channel, Queue("q"), accept=accept, callbacks=[lambda body, message: got.append(body)])
    consumer.consume()
    # When
    deliver(channel, received(pickle.dumps({1, 2}), channel, "application/x-python-serialize"))
    # Then that, and nothing else
    assert got == [{1, 2}]
    with pytest.raises(consumer.ContentDisallowed):
        deliver(channel)


def test_an_error_of_a_callback_is_not_taken_for_a_decode_error(channel):
    # Given
    def fail(body, message):
        raise DecodeError("of the callback")

    seen = []
    Consumer(channel, Queue("q"), callbacks=[fail], on_decode_error=lambda *details: seen.append(details)).consume()
    # When / Then
    with pytest.raises(DecodeError, match="of the callback"):
        deliver(channel)
    assert seen == []


# -- against a broker


def test_messages_of_several_queues_arrive_and_are_settled(connection):
    # Given
    got = []
    queues = [Queue(f"q{n}", Exchange("e"), f"k{n}") for n in range(3)]

    def on_body(body, message):
        got.append(body)
        message.ack()

    # When
    with Consumer(connection, queues, callbacks=[on_body], prefetch_count=1):
        producer = connection.Producer()
        for n in range(9):
            producer.publish(n, exchange="e", routing_key=f"k{n % 3}")
        while len(got) < 9:
            connection.drain_events(timeout=5)
    # Then
    assert sorted(got) == list(range(9))
    assert all(queue(connection).queue_declare(passive=True).message_count == 0 for queue in queues)


def test_the_broker_cancelling_is_told_to_on_cancel_and_the_queue_can_be_consumed_again(connection):
    # Given
    cancelled = []
    consumer = Consumer(connection, [Queue("q")], callbacks=[print], on_cancel=cancelled.append)
    consumer.consume()
    (tag,) = consumer._active_tags.values()
    # When the queue is deleted
    Queue("q")(connection.channel()).delete()
    connection.drain_events(timeout=5)
    # Then
    assert cancelled == [tag] and not consumer.consuming_from("q")
    consumer.declare()
    consumer.consume()
    assert consumer.consuming_from("q")


def test_without_on_cancel_the_broker_cancelling_is_an_error(connection):
    consumer = Consumer(connection, [Queue("q")], callbacks=[print])
    consumer.consume()
    Queue("q")(connection.channel()).delete()
    with pytest.raises(ConsumerCancelled):
        connection.drain_events(timeout=5)


def test_a_connection_stands_for_its_default_channel(connection):
    assert Consumer(connection).channel is connection.default_channel
    assert connection.Consumer(Queue("q")).connection is connection
