"""Publishing: properties, order, confirmation, and what comes back because it cannot be routed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig

PROPERTIES = {
    "correlation_id": "correlation-1",
    "reply_to": "reply.queue",
    "message_id": "message-1",
    "type": "order.created",
    "app_id": "conformance",
    "timestamp": 1700000000,
    "delivery_mode": 2,
}

HEADERS: dict[str, Any] = {
    "text": "grün",
    "ünïcode": "key",
    "integer": 42,
    "negative": -1,
    "large": 2**40,
    "float": 1.5,
    "true": True,
    "false": False,
    "none": None,
    "empty": "",
    "list": [1, "two", [3.0]],
    "dict": {"nested": {"deep": "value"}},
}


class TestPublish:
    def test_in_order(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        bodies = [f"message {number}" for number in range(50)]
        # When
        rig.send(queue, *bodies)
        # Then
        assert rig.payloads(queue, 50) == bodies

    @pytest.mark.parametrize("name", PROPERTIES)
    def test_property_arrives(self, rig: Rig, name: str) -> None:
        queue = rig.queue()
        rig.send(queue, "hello", **{name: PROPERTIES[name]})
        assert rig.get(queue).properties[name] == PROPERTIES[name]

    def test_content_type_and_encoding_arrive(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.send(queue, b"\x00\xff")
        message = rig.get(queue)
        assert (message.content_type, message.content_encoding) == ("application/data", "binary")

    def test_priority_arrives(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.send(queue, "hello", priority=7)
        assert rig.get(queue).properties["priority"] == 7

    @pytest.mark.parametrize("name", HEADERS)
    def test_header_arrives(self, rig: Rig, name: str) -> None:
        # Given
        queue = rig.queue()
        # When
        rig.send(queue, "hello", headers={name: HEADERS[name]})
        # Then: with its type
        value = rig.get(queue).headers[name]
        assert value == HEADERS[name]
        assert type(value) is type(HEADERS[name])

    def test_delivery_info_tells_where_it_was_published(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "the.key")
        # When
        rig.publish("by exchange", exchange, "the.key")
        rig.send(queue, "by name")
        # Then
        for expected in ((exchange, "the.key"), ("", queue)):
            info = rig.get(queue).delivery_info
            assert (info["exchange"], info["routing_key"]) == expected

    def test_producer_serializes_and_compresses(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        body = {"numbers": list(range(100)), "text": "Straße"}
        producer = rig.connection.Producer()
        # When
        producer.publish(body, routing_key=queue)
        producer.publish(body, routing_key=queue, serializer="json", compression="zlib", headers={"a": 1})
        # Then
        plain, compressed = rig.get(queue), rig.get(queue)
        assert plain.payload == compressed.payload == body
        assert compressed.headers["a"] == 1
        assert compressed.headers["compression"]

    def test_producer_declares_what_it_is_given(self, rig: Rig) -> None:
        # Given: a queue nobody declared
        from kombu import Exchange, Queue

        queue = Queue(rig.name(), Exchange(rig.name(), "direct"), routing_key="key")
        # When
        with rig.connection.Producer() as producer:
            producer.publish("hello", exchange=queue.exchange, routing_key="key", declare=[queue])
        # Then
        assert rig.payloads(queue.name, 1) == ["hello"]
        rig.channel.queue_delete(queue=queue.name)
        rig.channel.exchange_delete(exchange=queue.exchange.name)

    def test_unroutable_is_no_error(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key")
        # When
        rig.publish("to nobody", exchange, "other")
        rig.publish("hello", exchange, "key")
        # Then
        assert rig.payloads(queue, 1) == ["hello"]


class TestBatch:
    def test_arrives_in_order(self, rig: Rig) -> None:
        # Given
        queues, producer = [rig.queue(), rig.queue()], rig.connection.Producer(rig.channel)
        # When
        with producer.batch(max_size=4):
            for number in range(10):
                producer.publish(number, routing_key=queues[number % 2])
        # Then: where batches are not claimed, each was published at once
        assert [rig.payloads(queue, 5) for queue in queues] == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]

    def test_is_held_back_until_it_is_full_or_over(self, rig: Rig) -> None:
        # Given
        rig.skip_without("batch_publish")
        queue, producer = rig.queue(), rig.connection.Producer(rig.channel)
        counts = []
        # When
        with producer.batch(max_size=3):
            for number in range(4):
                producer.publish(number, routing_key=queue)
                counts.append(rig.count(queue))
        # Then
        assert [*counts, rig.count(queue)] == [0, 0, 3, 3, 4]


@requires("confirm")
class TestConfirm:
    def test_what_is_confirmed_is_there(self, rig: Rig) -> None:
        # Given: two connections, so that nothing but the confirmation orders what they do
        queue = rig.queue()
        publisher, observer = rig.new_channel(rig.connect()), rig.new_channel(rig.connect())
        for number in range(20):
            # When
            rig.send(queue, str(number), channel=publisher)
            # Then
            assert observer.queue_declare(queue=queue, passive=True).message_count == number + 1


@requires("mandatory")
class TestMandatory:
    def test_unroutable_comes_back(self, rig: Rig) -> None:
        # Given
        returned: list[tuple[Any, ...]] = []
        rig.channel.events["basic_return"].add(lambda *event: returned.append(event))
        exchange = rig.exchange()
        rig.bound(exchange, "key")
        # When
        rig.publish("lost", exchange, "other", mandatory=True, headers={"a": 1}, correlation_id="c")
        # Then
        rig.until(lambda: bool(returned), "basic.return")
        [(error, where, key, raw)] = returned
        assert error.reply_code == 312
        assert "NO_ROUTE" in str(error)
        assert (where, key) == (exchange, "other")
        assert raw.body in (b"lost", "lost")
        assert raw.headers["a"] == 1
        assert raw.properties["correlation_id"] == "c"

    def test_to_a_missing_queue_comes_back(self, rig: Rig) -> None:
        returned: list[str] = []
        rig.channel.events["basic_return"].add(lambda error, exchange, key, message: returned.append(key))
        missing = rig.name()
        rig.send(missing, "lost", mandatory=True)
        rig.until(lambda: returned == [missing], "basic.return")

    def test_queues_of_other_connections_count(self, rig: Rig) -> None:
        # Given a queue that another connection declared
        returned: list[str] = []
        rig.channel.events["basic_return"].add(lambda error, exchange, key, message: returned.append(key))
        other = rig.new_channel(rig.connect())
        queue = rig.queue(channel=other)
        # When a message is sent to it by its name
        rig.send(queue, "kept", mandatory=True)
        # Then it is there
        assert rig.payloads(queue, 1) == ["kept"]
        assert returned == []
        # And when that one deletes it, the next one comes back
        other.queue_delete(queue)
        rig.send(queue, "lost", mandatory=True)
        rig.until(lambda: returned == [queue], "basic.return")
        assert not rig.exists(queue)

    def test_only_what_is_mandatory_and_unroutable(self, rig: Rig) -> None:
        # Given
        returned: list[str] = []
        rig.channel.events["basic_return"].add(lambda error, exchange, key, message: returned.append(key))
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key")
        # When
        rig.publish("not mandatory", exchange, "nowhere")
        rig.publish("routed", exchange, "key", mandatory=True)
        rig.publish("last", exchange, "last", mandatory=True)
        # Then
        rig.until(lambda: "last" in returned, "basic.return")
        assert returned == ["last"]
        assert rig.payloads(queue, 1) == ["routed"]

    def test_producer_calls_on_return(self, rig: Rig) -> None:
        # Given
        returned: list[tuple[Any, ...]] = []
        producer = rig.connection.Producer(rig.channel, on_return=lambda *event: returned.append(event))
        # When
        producer.publish({"a": 1}, routing_key=rig.name(), mandatory=True)
        # Then
        rig.until(lambda: bool(returned), "on_return")
        error, exchange, _key, _message = returned[0]
        assert (error.reply_code, exchange) == (312, "")
