"""Publishing: what the channel gets to see, and how long it may take."""

from __future__ import annotations

import pickle
import re
import threading
import zlib
from time import monotonic

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import (
    ConnectionError,
    DeadlineExceeded,
    EncodeError,
    NotBoundError,
    OperationalError,
    RecoverableConnectionError,
    SerializerNotInstalled,
    UnsupportedCapability,
)
from kombu.utils import deadline

from .channels import PaperChannel
from .flaky import FlakyTransport


@pytest.fixture
def channel():
    return PaperChannel()


@pytest.fixture
def producer(channel):
    return Producer(channel)


@pytest.fixture
def connection(memory_url):
    with Connection(memory_url) as connection:
        yield connection


@pytest.fixture
def flaky(memory_url):
    with Connection(memory_url, transport=FlakyTransport, transport_options={"script": []}) as connection:
        yield connection


def publish(producer, body=b"x", **options):
    """Publish, and say what reached the channel: the message and the options."""
    producer.publish(body, **options)
    return producer.channel.published()[-1]


# -- the message


def test_publishing_hands_message_and_address_to_the_channel(producer):
    # When
    message, options = publish(producer, {"a": 1}, exchange="e", routing_key="k")
    # Then
    assert message == {
        "body": '{"a": 1}',
        "priority": 0,
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {},
        "properties": {"delivery_mode": 2},
    }
    assert options == {"exchange": "e", "routing_key": "k", "mandatory": False, "immediate": False}


@pytest.mark.parametrize(
    ("body", "options", "expected"),
    [
        (b"x", {}, (b"x", "application/data", "binary")),
        ("ü", {}, ("ü".encode(), "text/plain", "utf-8")),
        (b"\xe6", {"content_type": "image/png"}, (b"\xe6", "image/png", "binary")),
        (b"\xe6", {"content_type": "a/b", "content_encoding": "latin-1"}, (b"\xe6", "a/b", "latin-1")),
        ("æ", {"content_type": "a/b"}, ("æ".encode(), "a/b", "utf-8")),
        ("æ", {"content_type": "a/b", "content_encoding": "latin-1"}, (b"\xe6", "a/b", "latin-1")),
        (bytearray(b"x"), {"content_type": "a/b"}, (b"x", "a/b", "binary")),
        (b"\xe6", {"content_encoding": "latin-1"}, (b"\xe6", "application/data", "binary")),
        ([1], {"serializer": "pickle"}, (pickle.dumps([1], 4), "application/x-python-serialize", "binary")),
        ("x", {"serializer": "json"}, ('"x"', "application/json", "utf-8")),
    ],
)
def test_bodies_are_serialized_unless_the_caller_says_what_they_are(producer, body, options, expected):
    message, _ = publish(producer, body, **options)
    assert (message["body"], message["content_type"], message["content_encoding"]) == expected


def test_an_object_that_is_said_to_be_encoded_already_is_refused(producer):
    with pytest.raises(EncodeError, match="a body of type dict was given with content_type='application/json'"):
        producer.publish({"a": 1}, content_type="application/json")


def test_unknown_serializers_and_unserializable_bodies_are_told(producer):
    with pytest.raises(SerializerNotInstalled, match="nope"):
        producer.publish("x", serializer="nope")
    with pytest.raises(EncodeError):
        producer.publish(object())
    assert producer.channel.calls == []


@pytest.mark.parametrize("body", [b"x" * 100, "x" * 100])
def test_compression_compresses_and_says_so_in_the_headers(producer, body):
    # Given
    headers = {"mine": 1}
    # When
    message, _ = publish(producer, body, compression="zlib", headers=headers)
    # Then the caller's headers are as they were
    assert zlib.decompress(message["body"]) == b"x" * 100
    assert message["headers"] == {"mine": 1, "compression": "application/x-gzip"}
    assert headers == {"mine": 1}


def test_what_was_published_does_not_change_with_the_callers_headers(producer):
    headers = {"mine": 1}
    message, _ = publish(producer, headers=headers)
    headers["mine"] = 2
    assert message["headers"] == {"mine": 1}


def test_properties_travel_with_the_message(producer):
    # When
    message, options = publish(
        producer, correlation_id="c", reply_to=Queue("answers"), expiration=1.5, priority=3, mandatory=True, user="me"
    )
    # Then
    assert message["properties"] == {
        "correlation_id": "c",
        "reply_to": "answers",
        "expiration": "1500",
        "user": "me",
        "delivery_mode": 2,
    }
    assert message["priority"] == 3 and options["mandatory"] is True


@pytest.mark.parametrize("name", ["expiration", "delay"])
@pytest.mark.parametrize("value", ["soon", float("nan"), float("inf"), [1]])
def test_no_number_of_seconds(producer, name, value):
    with pytest.raises(ValueError, match=f"{name} is a number of seconds, not {re.escape(repr(value))}"):
        producer.publish("x", **{name: value})


@pytest.mark.parametrize(("seconds", "milliseconds"), [(3, "3000"), (0, "0"), (0.0015, "1"), ("3", "3000")])
def test_expiration_is_seconds_here_and_milliseconds_on_the_wire(producer, seconds, milliseconds):
    message, _ = publish(producer, expiration=seconds)
    assert message["properties"]["expiration"] == milliseconds


@pytest.mark.parametrize(
    ("default", "options", "expected"),
    [
        (None, {}, 2),
        (None, {"delivery_mode": 1}, 1),
        (None, {"delivery_mode": "transient"}, 1),
        (None, {"exchange": Exchange("e", delivery_mode=1)}, 1),
        (None, {"exchange": Exchange("e", delivery_mode=1), "delivery_mode": "persistent"}, 2),
        (Exchange("d", delivery_mode=1), {}, 1),
        (Exchange("d", delivery_mode=1), {"exchange": "by-name"}, 1),
        (Exchange("d", delivery_mode=1), {"exchange": Exchange("e")}, 2),
    ],
)
def test_delivery_mode_is_the_messages_else_the_exchanges_else_persistent(channel, default, options, expected):
    message, _ = publish(Producer(channel, default), **options)
    assert message["properties"]["delivery_mode"] == expected


# -- defaults


def test_a_producer_has_defaults_for_everything(channel):
    # Given
    producer = Producer(channel, Exchange("def"), "rk", serializer="pickle", compression="gzip")
    # When
    message, options = publish(producer, [1])
    # Then
    assert (options["exchange"], options["routing_key"]) == ("def", "rk")
    assert pickle.loads(zlib.decompress(message["body"])) == [1]
    # And each can be overridden for one message, "" being the broker's default exchange, and no compression
    message, options = publish(producer, [1], exchange="", routing_key="", serializer="json", compression="")
    assert (options["exchange"], options["routing_key"], message["body"]) == ("", "", "[1]")


def test_the_default_exchange_is_declared_once_before_publishing(channel):
    # Given
    producer = Producer(channel, Exchange("def"))
    # When
    producer.publish(b"1")
    producer.publish(b"2")
    # Then
    assert channel.verbs() == ["exchange_declare", "basic_publish", "basic_publish"]


@pytest.mark.parametrize(
    "make", [lambda ch: Producer(ch, Exchange("def"), auto_declare=False), lambda ch: Producer(ch, "def")]
)
def test_the_default_exchange_may_be_left_alone(channel, make):
    make(channel).publish(b"1")
    assert channel.verbs() == ["basic_publish"] and channel.published()[0][1]["exchange"] == "def"


def test_the_default_exchange_is_declared_again_when_it_was_deleted(connection):
    # Given a producer that has published before, and so takes the short way
    exchange, queue = Exchange("def"), Queue("q", Exchange("def"), "rk")
    producer = Producer(connection, exchange, "rk")
    producer.publish(1, declare=[None, queue])
    producer.publish(2)
    # When the exchange is deleted
    exchange(connection).delete()
    # Then the next one declares it, instead of publishing to nowhere, and a queue that needs it is bound again
    producer.publish(3)
    producer.publish(4, declare=[queue])
    got = [queue(connection).get(no_ack=True) for _ in range(4)]
    assert [message and message.payload for message in got] == [1, 2, 4, None]


def test_the_default_exchange_is_declared_again_on_another_connection(memory_url, memory_broker):
    with Connection(memory_url) as one, Connection(memory_url) as other:
        # Given
        producer = Producer(one, Exchange("def"))
        producer.publish(1)
        # When
        memory_broker.reset()
        producer.revive(other)
        producer.publish(2)
        # Then
        Queue("q", Exchange("def", passive=True))(other).declare()


def test_declare_sends_the_declaration_now(channel):
    Producer(channel, Exchange("def")).declare()
    Producer(channel).declare()
    assert channel.verbs() == ["exchange_declare"]


def test_what_a_message_needs_is_declared_first_and_once(producer):
    # Given
    needs = [Queue("q", Exchange("e"), "k")]
    # When
    producer.publish(b"1", exchange="e", declare=needs)
    producer.publish(b"2", exchange="e", declare=needs)
    # Then
    assert producer.channel.verbs() == [
        "exchange_declare",
        "queue_declare",
        "queue_bind",
        "basic_publish",
        "basic_publish",
    ]
    assert len(needs) == 1


def test_maybe_declare(producer):
    assert producer.maybe_declare(Exchange("e")) is True
    assert producer.maybe_declare(Exchange("e")) is False
    assert producer.maybe_declare(None) is None


# -- the channel


def test_a_connection_is_used_only_when_needed(connection):
    # Given
    producer = Producer(connection, Exchange("e"))
    # When nothing was published
    assert not connection.connected and producer.__connection__ is connection
    assert producer.connection is connection and not connection.connected
    # Then
    assert producer.channel is connection.default_channel and connection.connected
    assert producer.exchange.channel is producer.channel


def test_without_a_channel_a_producer_waits_to_be_revived(channel):
    # Given
    producer = Producer(None, Exchange("e"))
    # When
    producer.revive(channel)
    producer.publish(b"x")
    # Then
    assert producer.channel is channel and channel.verbs() == ["exchange_declare", "basic_publish"]
    assert producer.connection is channel.connection.client


@pytest.mark.parametrize("options", [{}, {"retry": True}])
def test_publishing_without_a_channel_says_what_is_missing(options):
    with pytest.raises(NotBoundError, match="no channel: give it one by revive"):
        Producer(None).publish(b"x", **options)


def test_retrying_needs_a_connection(channel):
    # Given a channel that has lost it
    channel.connection = None
    with pytest.raises(RecoverableConnectionError, match="cannot retry"):
        Producer(channel).publish(b"x", retry=True)


def test_a_pickled_producer_has_its_defaults_and_no_channel(channel):
    # Given
    producer = Producer(channel, Exchange("e"), "rk", "pickle", False, "gzip")
    # When
    again = pickle.loads(pickle.dumps(producer))
    # Then
    assert (again.exchange, again.routing_key, again.serializer) == (Exchange("e"), "rk", "pickle")
    assert (again.auto_declare, again.compression, again.channel) == (False, "gzip", None)


def test_a_producer_is_a_context_and_leaves_the_channel_open(channel):
    producer = Producer(channel)
    with producer as entered:
        assert entered is producer
    assert "close" not in channel.verbs()
    assert producer.release() is None and producer.close() is None


def test_subclasses_may_set_defaults_on_the_class(channel):
    class Mine(Producer):
        exchange = Exchange("mine")
        routing_key = "rk"
        auto_declare = False

    publish(Mine(channel))
    assert channel.published()[0][1]["exchange"] == "mine" and channel.published()[0][1]["routing_key"] == "rk"


def test_unroutable_messages_come_back_to_on_return(connection):
    # Given
    returned = []
    producer = Producer(connection, on_return=lambda *details: returned.append(details))
    # When
    producer.publish({"a": 1}, exchange="", routing_key="nowhere", mandatory=True)
    # Then
    ((exc, exchange, routing_key, message),) = returned
    assert "NO_ROUTE" in str(exc) or exc.reply_code == 312
    assert (exchange, routing_key, message.payload) == ("", "nowhere", {"a": 1})


# -- time


def test_limits_are_passed_on_only_when_given(producer):
    _, plain = publish(producer)
    _, limited = publish(producer, timeout=3, confirm_timeout=4)
    assert "timeout" not in plain and "confirm_timeout" not in plain
    assert 0 < limited["timeout"] <= 3 and limited["confirm_timeout"] == 4


def test_one_deadline_is_in_force_while_declaring_and_publishing(channel, producer):
    # Given a channel that looks at the clock
    seen = []
    channel.exchange_declare = lambda **kwargs: seen.append(deadline.current())
    channel.basic_publish = lambda *args, **kwargs: seen.append(deadline.current())
    # When
    producer.publish(b"x", declare=[Exchange("e")], timeout=5)
    # Then both have the same one, which is gone afterwards
    assert len(seen) == 2 and seen[0] is seen[1] and seen[0].timeout == 5
    assert deadline.current() is None


def test_nothing_is_published_when_the_time_is_over(channel, producer):
    # Given a declaration that takes all of it
    channel.exchange_declare = lambda **kwargs: threading.Event().wait(0.06)
    # When / Then
    with pytest.raises(DeadlineExceeded, match=r"did not finish within 0.05 s"):
        producer.publish(b"x", declare=[Exchange("e")], timeout=0.05)
    assert channel.published() == []


def test_a_drivers_own_timeout_at_the_deadline_is_the_deadline(channel, producer):
    # Given a driver that raises its own timeout when the time is over
    def publish(*args, **kwargs):
        threading.Event().wait(0.06)
        raise TimeoutError("recv")

    channel.basic_publish = publish
    # When / Then
    with pytest.raises(DeadlineExceeded) as raised:
        producer.publish(b"x", timeout=0.05)
    assert str(raised.value.__cause__) == "recv"


def test_a_drivers_own_timeout_before_the_deadline_is_passed_on(channel, producer):
    channel.fail = {"basic_publish": TimeoutError("recv")}
    with pytest.raises(TimeoutError, match="recv") as raised:
        producer.publish(b"x", timeout=5)
    assert not isinstance(raised.value, DeadlineExceeded)


def test_a_delay_needs_a_transport_that_can(channel, producer):
    with pytest.raises(UnsupportedCapability, match="the transport paper cannot delay messages"):
        producer.publish(b"x", delay=3)
    assert channel.published() == []
    able = Producer(PaperChannel(delay=True))
    assert publish(able, delay=3)[1]["delay"] == 3


# -- retries


def lost():
    return ConnectionError("connection reset")


def test_retry_goes_on_after_connection_errors(flaky):
    # Given a connection that breaks twice, and what is not durable has to be declared again
    script = flaky.transport_options["script"]
    script += [lost(), lost()]
    told, revived = [], []
    policy = {
        "max_retries": 5,
        "timeout": 30,
        "interval_start": 0,
        "interval_step": 0,
        "errback": lambda exc, interval: told.append(exc),
        "on_revive": revived.append,
    }
    before = dict(policy)
    queue = Queue("q")
    producer = flaky.Producer()
    # When
    producer.publish({"n": 1}, routing_key="q", declare=[queue], retry=True, retry_policy=policy)
    # Then it arrived once, on another channel, and the policy is as it was
    assert len(told) == 2 and len(revived) == 2
    assert queue(flaky).get(no_ack=True).payload == {"n": 1} and queue(flaky).get() is None
    assert policy == before


def test_a_retry_policy_is_for_one_message(flaky):
    # Given a message published with a policy of its own
    producer = flaky.Producer()
    options = dict(flaky.transport_options)
    policy = {"max_retries": 7, "timeout": 3}
    producer.publish(b"x", routing_key="q", declare=[Queue("q")], retry=True, retry_policy=policy)
    # Then the connection knows nothing of it, and no deadline stays
    assert flaky.transport_options == options and deadline.current() is None
    # And the next one fails at once
    flaky.transport_options["script"].append(lost())
    with pytest.raises(ConnectionError):
        producer.publish(b"x", routing_key="q")


def test_max_retries_ends_it(flaky):
    flaky.transport_options["script"] += [lost() for _ in range(10)]
    producer = flaky.Producer()
    with pytest.raises(OperationalError, match="connection reset"):
        producer.publish(
            b"x", routing_key="q", retry=True, retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0}
        )
    assert len(flaky.transport_options["script"]) == 7


@pytest.mark.parametrize("how", [{"timeout": 0.4}, {"retry_policy": {"timeout": 0.4}}])
def test_the_time_limit_holds_however_often_it_is_retried(flaky, how):
    # Given a connection that breaks every time
    flaky.transport_options["script"] += [lost() for _ in range(1000)]
    producer = flaky.Producer()
    how = {**how, "retry_policy": {"interval_start": 0.02, "interval_max": 0.02, **how.get("retry_policy", {})}}
    # When
    started = monotonic()
    with pytest.raises(DeadlineExceeded) as raised:
        producer.publish(b"x", routing_key="q", retry=True, **how)
    # Then
    assert 0.35 < monotonic() - started < 10
    assert isinstance(raised.value.__cause__, ConnectionError)
    assert len(flaky.transport_options["script"]) < 998


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"retry": True}, deadline.DEFAULT_PUBLISH_TIMEOUT),
        ({"retry": True, "retry_policy": {"interval_max": 1}}, deadline.DEFAULT_PUBLISH_TIMEOUT),
        ({"retry": True, "retry_policy": {"max_retries": 3}}, None),
        ({"retry": True, "retry_policy": {"timeout": 7}}, 7),
        ({"retry": True, "retry_policy": {"timeout": 7}, "timeout": 5}, 5),
        ({"retry": True, "timeout": 5}, 5),
        ({"declare": [Exchange("e")]}, None),
    ],
)
def test_how_long_publishing_may_take(connection, options, limit):
    # Given a channel that looks at the clock
    seen = []
    channel = connection.channel()
    channel.basic_publish = lambda *args, **kwargs: seen.append(deadline.current())
    # When
    Producer(channel).publish(b"x", **options)
    # Then
    assert [found and found.timeout for found in seen] == [limit]


def test_a_slow_publish_ends_at_the_deadline(flaky):
    flaky.transport_options["script"].append(30)
    started = monotonic()
    with pytest.raises(DeadlineExceeded):
        flaky.Producer().publish(b"x", routing_key="q", timeout=0.1)
    assert monotonic() - started < 5


# -- batches


class BatchChannel(PaperChannel):
    def __init__(self):
        super().__init__(batch_publish=True)
        self.batches = []

    def basic_publish_many(self, publications):
        self.note("basic_publish_many", len(publications))
        self.batches.append([message["body"] for message, *_ in publications])


@pytest.fixture
def batching():
    return Producer(BatchChannel())


def test_a_batch_is_handed_over_together_when_it_ends(batching):
    # When
    with batching.batch() as batch:
        for body in (b"1", b"2", b"3"):
            assert batching.publish(body, exchange="", routing_key="q") is None
        assert batch.active and batching.channel.batches == []
    # Then
    assert batching.channel.batches == [[b"1", b"2", b"3"]] and not batch.active
    # And what follows is published at once
    assert publish(batching, b"4")[0]["body"] == b"4"


def test_what_a_batch_hands_over_is_complete(batching):
    # Given a channel that keeps what it gets
    given = []
    batching.channel.basic_publish_many = given.extend
    # When
    with batching.batch():
        options = {"mandatory": True, "confirm_timeout": 2, "headers": {"h": 1}}
        batching.publish([1], exchange=Exchange("e"), routing_key="k", **options)
    # Then
    ((message, exchange, routing_key, options),) = given
    assert (message["body"], message["headers"], exchange, routing_key) == ("[1]", {"h": 1}, "e", "k")
    assert options == {"mandatory": True, "immediate": False, "confirm_timeout": 2}


def test_a_full_batch_is_handed_over_at_once(batching):
    with batching.batch(max_size=2):
        for body in (b"1", b"2", b"3"):
            batching.publish(body)
        assert batching.channel.batches == [[b"1", b"2"]]
    assert batching.channel.batches == [[b"1", b"2"], [b"3"]]


def test_a_batch_can_be_flushed_by_hand(batching):
    with batching.batch() as batch:
        batching.publish(b"1")
        batch.flush()
        assert batching.channel.batches == [[b"1"]]
    assert batching.channel.batches == [[b"1"]]


def test_an_exception_discards_what_was_not_handed_over(batching):
    with pytest.raises(ValueError, match="oops"):
        with batching.batch(max_size=2):
            for body in (b"1", b"2", b"3"):
                batching.publish(body)
            raise ValueError("oops")
    assert batching.channel.batches == [[b"1", b"2"]]
    # And nothing of it comes later
    with batching.batch():
        batching.publish(b"4")
    assert batching.channel.batches[1:] == [[b"4"]]


def test_nested_batches_are_handed_over_by_the_outermost(batching):
    with batching.batch():
        batching.publish(b"1")
        with batching.batch():
            batching.publish(b"2")
        assert batching.channel.batches == []
        batching.publish(b"3")
    assert batching.channel.batches == [[b"1", b"2", b"3"]]


def test_an_exception_in_an_inner_batch_discards_its_own_messages(batching):
    with batching.batch():
        batching.publish(b"1")
        with pytest.raises(ValueError, match="oops"), batching.batch():
            batching.publish(b"2")
            raise ValueError("oops")
        batching.publish(b"3")
    assert batching.channel.batches == [[b"1", b"3"]]


def test_a_failed_batch_says_so_and_is_not_sent_again(batching):
    # Given
    batching.channel.fail = {"basic_publish_many": OSError("gone")}
    # When
    with pytest.raises(Exception, match=r"a batch of 2 messages was not published, or only in part.*gone") as raised:
        with batching.batch():
            batching.publish(b"1")
            batching.publish(b"2")
    # Then
    assert type(raised.value).__name__ == "BatchPublishError"
    assert raised.value.outcomes == () and isinstance(raised.value.__cause__, OSError)
    batching.channel.fail = {}
    with batching.batch():
        pass
    assert batching.channel.batches == []


def test_what_the_transport_knows_of_a_failed_batch_is_passed_on(batching):
    # Given a transport that tells what became of each message
    from kombu.exceptions import BatchPublishError, MessageNacked

    nack = MessageNacked("full")
    batching.channel.fail = {"basic_publish_many": BatchPublishError("1 of 2 refused", outcomes=(None, nack))}
    # When / Then
    with pytest.raises(BatchPublishError) as raised:
        with batching.batch():
            batching.publish(b"1")
            batching.publish(b"2")
    assert raised.value.outcomes == (None, nack)


def test_each_thread_has_a_batch_of_its_own(batching):
    # Given a batch in this thread
    with batching.batch():
        batching.publish(b"1")
        # When another thread publishes with the same producer
        other = threading.Thread(target=batching.publish, args=(b"2",))
        other.start()
        other.join(60)
        # Then that one went out at once
        assert [message["body"] for message, _ in batching.channel.published()] == [b"2"]
    assert batching.channel.batches == [[b"1"]]


def test_declarations_of_a_batch_are_made_at_once(batching):
    with batching.batch():
        batching.publish(b"1", declare=[Queue("q")])
        assert batching.channel.verbs() == ["queue_declare"]


def test_where_batches_save_nothing_messages_go_out_at_once(producer):
    assert not producer.supports_batch_publish
    with producer.batch() as batch:
        producer.publish(b"1")
        assert len(producer.channel.published()) == 1 and not batch.active
        batch.flush()
    assert len(producer.channel.published()) == 1


@pytest.mark.parametrize("size", [0, -1, "x", 2.5])
def test_the_size_of_a_batch_is_a_positive_integer(producer, size):
    with pytest.raises(ValueError, match="max_size must be a positive integer"):
        producer.batch(size)


def test_batches_reach_consumers(connection):
    # Given
    queue = Queue("q")
    got = []
    producer = connection.Producer()
    # When
    with producer.batch(max_size=3):
        for number in range(10):
            producer.publish({"n": number}, routing_key="q", declare=[queue])
    # Then
    with Consumer(connection, queue, callbacks=[lambda body, message: got.append(body["n"])], no_ack=True):
        while len(got) < 10:
            connection.drain_events(timeout=5)
    assert got == list(range(10))
