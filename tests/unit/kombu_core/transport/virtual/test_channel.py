"""The verbs over a small backend of our own: what hooks are called, and what happens to messages on odd ways."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from queue import Empty

import pytest

from kombu import Connection, Queue
from kombu.exceptions import (
    MessageNacked,
    NotFound,
    PreconditionFailed,
    RecoverableConnectionError,
    UnsupportedCapability,
)
from kombu.transport import virtual


class Channel(virtual.Channel):
    """Lists of envelopes that live with the transport's class made for one test; three messages in one go."""

    fetch_size = 3

    @property
    def lists(self):
        return self.connection.lists

    def _get(self, queue, timeout=None):
        self.connection.fetches += 1
        try:
            return self.lists[queue].popleft()
        except IndexError:
            raise Empty from None

    def _get_many(self, queue, limit):
        self.connection.limits.append(limit)
        return super()._get_many(queue, limit)

    def _put(self, queue, message):
        self.lists[queue].append(message)

    def _requeue(self, queue, message):
        self.lists[queue].appendleft(message)

    def _size(self, queue):
        return len(self.lists[queue])

    def _ack(self, queue, message):
        self.connection.settled.append((queue, message["body"]))


@pytest.fixture
def transport():
    """A transport class of its own for each test: nothing is shared."""

    class Transport(virtual.Transport):
        lists: defaultdict = defaultdict(deque)
        fetches = 0
        polling_interval = 0.001

        def __init__(self, client, **kwargs):
            super().__init__(client, **kwargs)
            self.limits: list[int] = []
            self.settled: list[tuple] = []

    Transport.Channel = type("OwnChannel", (Channel,), {"body_encoding": None})
    return Transport


@pytest.fixture
def connection(transport):
    with Connection(transport=transport) as connection:
        yield connection


@pytest.fixture
def channel(connection):
    channel = connection.channel()
    channel.queue_declare("q")
    return channel


def publish(channel, *bodies, queue="q", **options):
    for body in bodies:
        channel.basic_publish(channel.prepare_message(body), "", queue, **options)


def bodies(channel, queue="q"):
    return [message["body"] for message in channel.lists[queue]]


class TestFetchingAhead:
    def test_messages_are_fetched_together_and_delivered_one_by_one(self, connection, channel):
        got = []
        publish(channel, *"abcd")
        channel.basic_consume("q", callback=got.append)
        connection.drain_events(timeout=1)
        assert [message.body for message in got] == ["a"]
        assert (connection.transport.limits, bodies(channel)) == ([3], ["d"])
        for _ in range(3):
            connection.drain_events(timeout=1)
        assert [message.body for message in got] == ["a", "b", "c", "d"]

    def test_never_beyond_the_prefetch_limit(self, connection, channel):
        publish(channel, *"abcd")
        channel.basic_qos(0, 2, False)
        channel.basic_consume("q", callback=lambda message: None)
        connection.drain_events(timeout=1)
        assert bodies(channel) == ["c", "d"]

    @pytest.mark.parametrize("end", ["cancel", "close"])
    def test_what_was_not_delivered_goes_back_in_order_and_uncounted(self, connection, channel, end):
        # Given one message delivered and two fetched ahead
        publish(channel, *"abcd")
        tag = channel.basic_consume("q", callback=lambda message: None)
        connection.drain_events(timeout=1)
        # When
        channel.basic_cancel(tag) if end == "cancel" else channel.close()
        # Then
        left = list("bcd") if end == "cancel" else list("abcd")
        assert bodies(channel) == left
        counts = [message["properties"].get("delivery_count") for message in channel.lists["q"]]
        assert counts == [None] * 3 if end == "cancel" else [1, None, None, None]


class TestSettling:
    def test_the_backend_hears_of_each_message_once(self, connection, channel):
        publish(channel, *"abc")
        tags = [channel.basic_get("q").delivery_tag for _ in range(3)]
        channel.basic_ack(tags[1], multiple=True)
        channel.basic_reject(tags[2], requeue=False)
        assert connection.transport.settled == [("q", "a"), ("q", "b"), ("q", "c")]

    def test_no_ack_settles_at_delivery(self, connection, channel):
        publish(channel, "a")
        assert channel.basic_get("q", no_ack=True).body == "a"
        assert connection.transport.settled == [("q", "a")]

    def test_an_unknown_tag_is_406_and_the_channel_ends(self, channel):
        publish(channel, "a")
        channel.basic_get("q")
        with pytest.raises(PreconditionFailed, match="unknown delivery tag 7"):
            channel.basic_ack(7)
        assert bodies(channel) == ["a"]
        with pytest.raises(RecoverableConnectionError, match="closed"):
            publish(channel, "b")

    def test_nack_of_several(self, channel):
        publish(channel, *"abc")
        last = [channel.basic_get("q") for _ in range(3)][-1]
        channel.basic_nack(last.delivery_tag, multiple=True, requeue=True)
        assert bodies(channel) == ["a", "b", "c"]

    def test_copies_of_one_message_on_one_channel_are_told_apart(self, channel):
        # Given a message in two queues
        channel.exchange_declare("ex", "fanout")
        for name in ("q", "q2"):
            channel.queue_declare(name)
            channel.queue_bind(name, "ex")
        channel.basic_publish(channel.prepare_message("a"), "ex", "")
        one, other = channel.basic_get("q"), channel.basic_get("q2")
        # When one is settled
        one.ack()
        # Then the other still is not
        other.requeue()
        assert (bodies(channel, "q"), bodies(channel, "q2")) == ([], ["a"])
        envelopes = [one._raw, other._raw]
        assert envelopes[0]["properties"]["delivery_tag"] != envelopes[1]["properties"]["delivery_tag"]


class TestUnroutable:
    def test_it_is_said_in_the_log(self, channel, caplog):
        channel.exchange_declare("ex", "direct")
        with caplog.at_level(logging.WARNING):
            channel.basic_publish(channel.prepare_message("a"), "ex", "nowhere")
        assert "'nowhere'" in caplog.text
        assert "dropped" in caplog.text

    def test_it_is_kept_in_the_channels_dead_letter_queue(self, transport):
        with Connection(transport=transport, transport_options={"deadletter_queue": "lost"}) as connection:
            channel = connection.channel()
            channel.exchange_declare("ex", "direct")
            with pytest.warns(virtual.UndeliverableWarning, match="lost"):
                channel.basic_publish(channel.prepare_message("a"), "ex", "nowhere")
            assert bodies(channel, "lost") == ["a"]

    def test_a_dead_letter_that_leads_nowhere_is_said_in_the_log(self, channel, caplog):
        channel.queue_declare("work", arguments={"x-dead-letter-exchange": "gone"})
        publish(channel, "a", queue="work")
        with caplog.at_level(logging.WARNING):
            channel.basic_get("work").reject()
        assert "'gone'" in caplog.text


class TestWhatTheBackendCannot:
    def test_delay_is_refused(self, channel):
        with pytest.raises(UnsupportedCapability, match="delay"):
            publish(channel, "a", delay=1)
        assert bodies(channel) == []

    def test_limiting_bytes_is_refused(self, channel):
        channel.queue_declare("small", arguments={"x-max-length-bytes": 10})
        with pytest.raises(UnsupportedCapability, match="bytes"):
            publish(channel, "a", queue="small")

    def test_an_argument_without_effect_is_said_in_the_log(self, channel, caplog):
        with caplog.at_level(logging.WARNING):
            channel.queue_declare("prio", arguments={"x-max-priority": 5})
        assert "x-max-priority" in caplog.text


class TestLimits:
    def test_all_queues_get_theirs_before_a_refusal_is_reported(self, channel):
        # Given a fanout to a full queue that refuses, and one with room
        channel.exchange_declare("ex", "fanout")
        channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
        for name in ("full", "q"):
            channel.queue_bind(name, "ex")
        # When
        with pytest.raises(MessageNacked, match="full"):
            channel.basic_publish(channel.prepare_message("a"), "ex", "")
        # Then
        assert (bodies(channel, "full"), bodies(channel)) == ([], ["a"])


class TestBackendsThatRoute:
    def test_by_the_table_they_list(self, transport):
        class Listing(transport.Channel):
            def get_table(self, exchange):
                return [("a.*", None, "q"), ("b", None, "q2")]

        transport.Channel = Listing
        with Connection(transport=transport) as connection:
            channel = connection.channel()
            channel.exchange_declare("ex", "topic")
            channel.basic_publish(channel.prepare_message("x"), "ex", "a.1")
            assert (bodies(channel, "q"), bodies(channel, "q2")) == (["x"], [])

    def test_by_broadcasting(self, transport):
        class Broadcasting(transport.Channel):
            def _put_fanout(self, exchange, message, routing_key, **kwargs):
                self.lists["all"].append((exchange, message["body"]))

        transport.Channel = Broadcasting
        with Connection(transport=transport) as connection:
            channel = connection.channel()
            channel.exchange_declare("ex", "fanout")
            channel.basic_publish(channel.prepare_message("x"), "ex", "")
            assert list(channel.lists["all"]) == [("ex", "x")]

    def test_by_an_exchange_type_of_their_own(self, transport):
        class Everywhere(virtual.exchange.DirectExchange):
            type = "x-everywhere"

            def lookup(self, table, exchange, routing_key, default):
                return ["q", "q2"]

        class Special(transport.Channel):
            exchange_types = {**virtual.Channel.exchange_types, "x-everywhere": Everywhere}

        transport.Channel = Special
        with Connection(transport=transport) as connection:
            channel = connection.channel()
            channel.exchange_declare("ex", "x-everywhere")
            channel.basic_publish(channel.prepare_message("x"), "ex", "k")
            assert (bodies(channel, "q"), bodies(channel, "q2")) == (["x"], ["x"])


class TestOnTheWire:
    def test_the_envelope_is_kombu_5s(self, transport):
        transport.Channel.body_encoding = "base64"
        with Connection(transport=transport) as connection:
            Queue("q")(connection).declare()
            connection.Producer().publish(
                b"\x00\xff",
                routing_key="q",
                content_type="application/data",
                headers={"h": 1},
                correlation_id="c",
            )
            (envelope,) = transport.lists["q"]
        properties = envelope.pop("properties")
        assert envelope == {
            "body": "AP8=",
            "content-type": "application/data",
            "content-encoding": "binary",
            "headers": {"h": 1},
        }
        assert len(properties.pop("delivery_tag")) == 36
        assert properties == {
            "correlation_id": "c",
            "delivery_mode": 2,
            "priority": 0,
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "q"},
        }

    def test_what_kombu_5_put_there_is_read(self, connection, channel):
        channel.lists["q"].append(
            {
                "body": "AP8=",
                "content-type": "application/data",
                "content-encoding": "binary",
                "headers": {},
                "properties": {
                    "body_encoding": "base64",
                    "delivery_tag": "0d9e",
                    "delivery_mode": 2,
                    "priority": 0,
                    "delivery_info": {"exchange": "ex", "routing_key": "k"},
                },
            }
        )
        message = channel.basic_get("q")
        assert message.payload == b"\x00\xff"
        assert message.delivery_info["exchange"] == "ex"
        message.requeue()
        assert channel.basic_get("q").delivery_count == 1


def test_a_message_that_a_backend_pushes_goes_to_the_queues_consumer_or_back(connection, channel):
    got, envelope = [], channel.prepare_message("pushed")
    tag = channel.basic_consume("q", callback=got.append)
    connection.transport.on_message_ready(channel, envelope, "q")
    assert [message.body for message in got] == ["pushed"]
    got[0].ack()
    channel.basic_cancel(tag)
    connection.transport.on_message_ready(channel, envelope, "q")
    assert bodies(channel) == ["pushed"]


def test_what_is_bound_can_be_listed(channel):
    channel.exchange_declare("ex", "topic")
    channel.queue_bind("q", "ex", "a.#")
    assert list(channel.list_bindings()) == [("q", "ex", "a.#")]
    assert channel.get_table("ex") == [("a.#", r"^a\..*?$", "q")]
    assert "ex" in channel.get_exchanges()
    manager = channel.connection.get_manager()
    assert manager.get_bindings() == [{"destination": "q", "source": "ex", "routing_key": "a.#"}]
    manager.close()


def test_a_closed_channel_says_so(channel):
    channel.close()
    channel.close()
    for use in (
        lambda: channel.queue_declare("x"),
        lambda: channel.basic_get("q"),
        lambda: channel.basic_ack(1),
    ):
        with pytest.raises(RecoverableConnectionError, match="closed"):
            use()


def test_consuming_from_a_deleted_queue_is_404_at_a_backend_that_can_tell(transport):
    class Telling(transport.Channel):
        def _has_queue(self, queue, **kwargs):
            return queue in self.state.queues

    transport.Channel = Telling
    with Connection(transport=transport) as connection, pytest.raises(NotFound, match="nope"):
        connection.channel().basic_consume("nope", callback=print)


@pytest.mark.parametrize("way", ["consumer", "basic_get"])
def test_a_body_that_cannot_be_decoded_is_an_error_and_the_message_goes_back_in_the_end(transport, way):
    # Given a message whose body is not what it says
    with Connection(transport=transport) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        message = channel.prepare_message("no base64", properties={"body_encoding": "base64"})
        channel.basic_publish({**message, "body": "x"}, "", "q")
        # When it is received
        with pytest.raises(ValueError, match="padding|base64"):
            if way == "basic_get":
                channel.basic_get("q")
            else:
                channel.basic_consume("q", callback=print)
                connection.drain_events(timeout=1)
        assert channel._size("q") == 0
        channel.close()
        # Then it is still there when the channel has closed
        assert [kept["body"] for kept in transport.lists["q"]] == ["x"]


def test_channels_have_numbers_for_who_reads_a_log(connection):
    assert connection.default_channel.channel_id == 1
    assert "chan:2" in repr(Queue("q")(connection.channel()))
