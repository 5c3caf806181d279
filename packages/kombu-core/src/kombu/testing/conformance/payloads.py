"""Bodies and names of every kind arrive as they were sent."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kombu.testing.rig import Rig

MEGABYTE = 1024 * 1024
#: Code points in one message: at four bytes each within the limits of small brokers.
PORTION = 16 * 1024
SURROGATES = range(0xD800, 0xE000)

JSON: list[Any] = [
    None,
    True,
    0,
    -1.5,
    2**60,
    "",
    "text\x00with\nnull",
    [],
    {},
    [1, [2, [3]]],
    {"": "empty key", "ä": {"nested": None}},
    "🐇" * 10,
]


class TestPayloads:
    def test_no_bytes(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        # When
        rig.send(queue, b"", b"x")
        # Then
        assert rig.payloads(queue, 2) == [b"", b"x"]

    def test_empty_text(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.send(queue, "")
        assert rig.payloads(queue, 1) == [""]

    def test_no_bytes_to_a_consumer(self, rig: Rig) -> None:
        queue = rig.queue()
        inbox = rig.consume(queue)
        rig.send(queue, b"")
        rig.receive(1, inbox)
        assert inbox.payloads == [b""]

    @pytest.mark.parametrize("size", [1, 4096, 131072 - 8, 131072, 131073, MEGABYTE])
    def test_random_bytes(self, rig: Rig, size: int) -> None:
        queue, body = rig.queue(), os.urandom(size)
        rig.send(queue, body)
        assert rig.get(queue).payload == body

    def test_every_byte(self, rig: Rig) -> None:
        queue, body = rig.queue(), bytes(range(256)) * 2
        rig.send(queue, body)
        assert rig.payloads(queue, 1) == [body]

    def test_the_body_is_bytes_whatever_made_it(self, rig: Rig) -> None:
        queue, producer = rig.queue(), rig.connection.Producer(rig.channel)
        for sent in ({"a": 1}, "text", b"bytes"):
            producer.publish(sent, routing_key=queue)
        assert [rig.get(queue).body for _ in range(3)] == [b'{"a": 1}', b"text", b"bytes"]

    @pytest.mark.parametrize("serializer", ["json", None])
    def test_all_of_unicode(self, rig: Rig, serializer: str | None) -> None:
        # Given: every character there is, in portions
        queue, producer = rig.queue(), rig.connection.Producer(rig.channel)
        for start in range(0, sys.maxunicode + 1, PORTION):
            codes = range(start, min(start + PORTION, sys.maxunicode + 1))
            text = "".join(chr(code) for code in codes if code not in SURROGATES)
            # When
            if serializer:
                producer.publish(text, routing_key=queue, serializer=serializer)
            else:
                rig.send(queue, text)
            # Then
            assert rig.get(queue).payload == text

    @pytest.mark.parametrize("value", JSON, ids=repr)
    def test_json(self, rig: Rig, value: Any) -> None:
        queue = rig.queue()
        rig.connection.Producer(rig.channel).publish(value, routing_key=queue, serializer="json")
        payload = rig.get(queue).payload
        assert payload == value
        assert type(payload) is type(value)

    def test_a_foreign_content_type_is_left_alone(self, rig: Rig) -> None:
        # Given
        queue, body = rig.queue(), b'{"not": parsed'
        message = rig.channel.prepare_message(body, content_type="a/mine", content_encoding="binary")
        # When
        rig.channel.basic_publish(message, exchange="", routing_key=queue)
        # Then
        assert rig.get(queue).payload == body

    @pytest.mark.parametrize("name", ["ünïcode-größe", "with space", "a/b:c?d=e&f#g", "*#.", "{}[]%s\\"])
    def test_names_of_every_kind(self, rig: Rig, name: str) -> None:
        # Given
        queue, exchange = rig.queue(f"{rig.name()}.{name}"), rig.exchange("direct", f"{rig.name()}.{name}")
        rig.bind(queue, exchange, name)
        # When
        rig.publish("hello", exchange, name)
        # Then
        message = rig.get(queue)
        assert message.delivery_info["exchange"] == exchange
        assert message.delivery_info["routing_key"] == name

    def test_a_long_key(self, rig: Rig) -> None:
        # AMQP's short string: 255 bytes
        exchange, key = rig.exchange("direct"), "ä" * 127 + "x"
        queue = rig.bound(exchange, key)
        rig.publish("hello", exchange, key)
        assert rig.get(queue).delivery_info["routing_key"] == key

    def test_a_large_header(self, rig: Rig) -> None:
        queue, value = rig.queue(), "ä" * 10_000
        rig.send(queue, "hello", headers={"large": value})
        assert rig.get(queue).headers["large"] == value
