"""Properties, tables and per-message methods: the same bytes as py-amqp's, and the same values read back."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from decimal import Decimal
from struct import pack
from typing import Any

import amqp
import pytest
from amqp.exceptions import FrameSyntaxError
from amqp.serialization import decode_properties_basic, dumps, loads
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from kombu_amqp.codec import (
    PROPERTIES,
    Decoder,
    Encoder,
    ack_frame,
    decode_properties,
    encode_properties,
    nack_frame,
    reject_frame,
)
from kombu_amqp.frames import FrameParser
from kombu_amqp.tables import decode_table, encode_table

SHORT = st.text(max_size=60)
INT64 = st.integers(-(2**63), 2**63 - 1)
DECIMALS = st.builds(
    lambda number, places: Decimal(number).scaleb(-places), st.integers(-(2**31) + 1, 2**31 - 1), st.integers(0, 20)
)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(lambda moment: moment.replace(microsecond=0))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), INT64, st.floats(allow_nan=False), st.text(), DECIMALS, TIMES),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(SHORT, children, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(SHORT, VALUES, max_size=6)
KINDS = {"s": SHORT, "F": TABLES, "o": st.integers(0, 255), "L": st.integers(0, 2**64 - 1)}
BLOCKS = st.fixed_dictionaries({}, optional={name: KINDS[kind] | st.none() for name, kind in PROPERTIES.items()})


def without_none(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value is not None}


@given(TABLES)
@example({"zero": -0.0, "big": 2**63 - 1, "edge": -(2**31), "surrogate": "\ud800"})
def test_a_table_has_the_drivers_bytes_and_comes_back(table: dict[str, Any]) -> None:
    # When it is encoded
    encoded = encode_table(table)
    # Then the driver would have sent the same, and both read the same from it
    assert encoded == dumps("F", [table])
    assert decode_table(encoded, 0) == (table, len(encoded))
    assert loads("F", encoded, 0) == ([table], len(encoded))


@given(st.lists(TABLES, max_size=5))
def test_remembered_keys_change_nothing(tables: list[dict[str, Any]]) -> None:
    # Given a memory that has seen other tables, and keys as text and as octets
    names: dict[Any, bytes] = {}
    for table in tables:
        for keyed in (table, {key.encode("utf-8", "surrogatepass"): value for key, value in table.items()}):
            # Then the bytes are those of a table encoded alone
            assert encode_table(keyed, names) == encode_table(keyed)


@given(BLOCKS)
def test_properties_have_the_drivers_bytes_and_come_back(properties: dict[str, Any]) -> None:
    # When they are encoded, by themselves and remembered
    block, encoder, decoder = encode_properties(properties), Encoder(), Decoder()
    # Then the driver would have sent the same, and both read the same from it, again and again
    assert block == amqp.Message(**properties)._serialize_properties()
    assert encoder.properties(properties) == encoder.properties(dict(properties)) == block
    assert decode_properties(block) == without_none(properties)
    assert decoder.properties(block) == decoder.properties(block) == without_none(properties)
    assert decode_properties_basic(block, 0)[0] == without_none(properties)


@given(st.binary(max_size=80))
@example(b"\x20\x00\x00\x00\x00\x05\x01aZ\x00\x00")
@example(b"\x20\x00\xff\xff\xff\xff")
@example(b"\x20\x00\x00\x00\x00\x0b\x01aT\xff\xff\xff\xff\xff\xff\xff\xff")
def test_any_octets_are_properties_or_a_syntax_error(block: bytes) -> None:
    # When something from the network is decoded, Then it has a meaning or is refused, and nothing else happens
    try:
        properties = decode_properties(block)
    except FrameSyntaxError:
        return
    assert set(properties) <= set(PROPERTIES)


@given(TABLES, st.data())
def test_a_table_cut_short_is_refused(table: dict[str, Any], data: st.DataObject) -> None:
    encoded = encode_table(table)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(FrameSyntaxError):
        decode_table(encoded[:cut], 0)


@given(BLOCKS, st.data())
def test_properties_cut_short_are_refused(properties: dict[str, Any], data: st.DataObject) -> None:
    block = encode_properties(properties)
    cut = data.draw(st.integers(0, len(block) - 1))
    with pytest.raises(FrameSyntaxError):
        decode_properties(block[:cut])


@pytest.mark.parametrize(
    "inside", [b"\x01k", b"\x01kS\x00\x00\x00\x02a", b"\x01kI\x00\x00\x00", b"\x01kF\x00\x00\x00\x01"]
)
def test_a_value_does_not_reach_beyond_its_table(inside: bytes) -> None:
    # Given a table whose last value is longer than the table, with other data behind it
    with pytest.raises(FrameSyntaxError):
        decode_table(pack(">I", len(inside)) + inside + b"VVVVVVVV", 0)


def test_bodies_around_the_size_of_a_frame() -> None:
    for size, frames in ((4088 - 1, 1), (4088, 1), (4088 + 1, 2), (2 * 4088, 2), (2 * 4088 + 1, 3)):
        encoded = Encoder().publish(1, "", "q", False, False, {}, b"x" * size, 4096)
        parser = FrameParser(4096)
        content = encoded[8 + int.from_bytes(encoded[3:7], "big") :]
        parser.feed(b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x3c\xce" + content)
        assert parser.events.pop()[3] == b"x" * size
        assert encoded.count(b"\x03\x00\x01") == frames


def test_values_that_look_like_names_are_not_mixed_up() -> None:
    # Given a message whose values are the names of another's properties
    encoder = Encoder()
    one = {"content_type": "delivery_mode", "content_encoding": "priority", "application_headers": {}}
    one |= {"delivery_mode": 2, "priority": 0}
    encoder.properties(one)
    # Then the other has its own bytes
    other = {"delivery_mode": 2, "priority": 0}
    assert encoder.properties(other) == encode_properties(other)


LETTERS = {
    "b": (">b", -5), "B": (">B", 250), "s": (">h", -300), "U": (">h", -300), "u": (">H", 60000), "I": (">i", -70000),
    "i": (">I", 4000000000), "l": (">q", -(2**40)), "L": (">q", -(2**40)), "f": (">f", 0.5), "d": (">d", 0.1),
}  # fmt: skip


@pytest.mark.parametrize("letter", LETTERS)
def test_every_number_that_rabbitmq_sends_is_read(letter: str) -> None:
    code, value = LETTERS[letter]
    body = b"\x01k" + letter.encode() + pack(code, value)
    encoded = pack(">I", len(body)) + body
    assert decode_table(encoded, 0)[0] == {"k": value} == loads("F", encoded, 0)[0][0]


def test_octets_that_are_no_text_stay_octets() -> None:
    # Given a byte string in both ways of sending one, and a key that is no UTF-8
    body = b"\x01xx\x00\x00\x00\x02\xff\xfe" + b"\x01SS\x00\x00\x00\x02\xff\xfe" + b"\x01\xffV"
    encoded = pack(">I", len(body)) + body
    # Then neither is guessed at
    assert decode_table(encoded, 0)[0] == {"x": b"\xff\xfe", "S": b"\xff\xfe", b"\xff": None}
    # And a property that is no UTF-8 is shown with escapes: text is what is promised there
    assert decode_properties(b"\x80\x00\x02a\xff") == {"content_type": "a\\xff"}


def test_times_are_sent_as_utc() -> None:
    aware = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert decode_table(encode_table({"at": aware}), 0)[0] == {"at": aware.replace(tzinfo=None)}


@pytest.mark.parametrize(
    ("culprit", "properties"),
    [
        ("priority", {"priority": 256}),
        ("priority", {"priority": "high"}),
        ("correlation_id", {"correlation_id": 5}),
        ("correlation_id", {"correlation_id": "x" * 256}),
        ("reply_to", {"reply_to": []}),
        ("timestamp", {"timestamp": -1}),
        ("application_headers", {"application_headers": ["no", "table"]}),
        ("key", {"application_headers": {"key": object()}}),
        ("key", {"application_headers": {"key": 2**63}}),
        ("deep", {"application_headers": {"key": [{"deep": object()}]}}),
        ("k" * 256, {"application_headers": {"k" * 256: 1}}),
        (5, {"application_headers": {5: 1}}),
        ("key", {"application_headers": {"key": Decimal("NaN")}}),
        ("key", {"application_headers": {"key": Decimal("1E+30")}}),
    ],
)
def test_what_cannot_be_sent_is_named(culprit: Any, properties: dict[str, Any]) -> None:
    with pytest.raises(FrameSyntaxError) as caught:
        Encoder().properties(properties)
    assert repr(culprit) in str(caught.value)


def test_a_table_inside_itself_is_refused() -> None:
    table: dict[str, Any] = {}
    table["me"] = table
    with pytest.raises(FrameSyntaxError, match="deep"):
        encode_table(table)


def test_nesting_without_end_is_refused() -> None:
    # Given arrays in arrays, each length right, far deeper than anything real
    encoded = b""
    for _ in range(20000):
        encoded = b"A" + pack(">I", len(encoded)) + encoded
    body = b"\x01k" + encoded
    with pytest.raises(FrameSyntaxError, match="deep"):
        decode_table(pack(">I", len(body)) + body, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"k": 1}, {"k": True}),
        ({"k": 0.0}, {"k": -0.0}),
        ({"k": 1}, {"k": 1.0}),
        ({"k": "1"}, {"k": b"1"}),
        ({"k": [1]}, {"k": [True]}),
        ({}, None),
    ],
)
def test_values_that_are_equal_but_sent_differently_are_not_mixed_up(one: Any, other: Any) -> None:
    # Given an encoder that has seen one of them
    encoder = Encoder()
    encoder.properties({"application_headers": one})
    # When the other is sent, Then its bytes are its own
    assert encoder.properties({"application_headers": other}) == encode_properties({"application_headers": other})


def test_what_was_read_belongs_to_the_reader() -> None:
    # Given messages with the same properties
    block = encode_properties({"content_type": "a/b", "application_headers": {"k": "v", "deep": {"list": [1]}}})
    flat = encode_properties({"content_type": "a/b", "application_headers": {"k": "v"}})
    for raw in (block, flat):
        decoder = Decoder()
        expected = decode_properties(raw)
        for _ in range(3):
            # When one is changed, Then the next does not show it
            properties = decoder.properties(raw)
            assert properties == expected
            properties["content_type"] = "changed"
            headers = properties["application_headers"]
            headers["k"] = "changed"
            headers.get("deep", {"list": []})["list"].append(2)


def test_what_is_remembered_has_a_limit() -> None:
    # Given thousands of different messages
    encoder, decoder = Encoder(), Decoder()
    for number in range(5000):
        block = encoder.properties({"type": str(number), "application_headers": {f"k{number}": 1}})
        decoder.properties(block)
        decoder.deliver(deliver_method(f"tag{number}", number, False, "x", f"key{number}"))
        encoder.publish(1, "x", f"key{number}", False, False, {}, b"", 131072)
    # Then a few hundred are kept of each
    for memory in (encoder._blocks, encoder._methods, encoder._names, decoder._blocks, decoder._tags, decoder._routes):
        assert 0 < len(memory) <= 512


def deliver_method(tag: str, delivery_tag: int, redelivered: bool, exchange: str, routing_key: str) -> bytes:
    arguments: bytes = dumps("sLbss", [tag, delivery_tag, redelivered, exchange, routing_key])
    return b"\x00\x3c\x00\x3c" + arguments


@given(SHORT, st.integers(0, 2**64 - 1), st.booleans(), SHORT, SHORT)
def test_a_delivery_is_read_as_the_driver_reads_it(
    tag: str, delivery_tag: int, redelivered: bool, exchange: str, routing_key: str
) -> None:
    decoder = Decoder()
    method = deliver_method(tag, delivery_tag, redelivered, exchange, routing_key)
    for _ in range(2):
        assert decoder.deliver(method) == (tag, delivery_tag, redelivered, exchange, routing_key)
    for cut in range(4, len(method)):
        with pytest.raises(FrameSyntaxError):
            Decoder().deliver(method[:cut])


@given(SHORT, SHORT, st.booleans(), st.booleans(), BLOCKS, st.binary(max_size=5000), st.integers(4096, 4200))
@settings(max_examples=60)
def test_a_publish_is_the_method_the_header_and_the_body_in_frames(
    exchange: str, routing_key: str, mandatory: bool, immediate: bool, properties: Any, body: bytes, frame_max: int
) -> None:
    assume(len(encode_properties(properties)) <= frame_max - 20)
    # When a message is encoded
    encoder = Encoder()
    arguments = (7, exchange, routing_key, mandatory, immediate, properties, body, frame_max)
    frames = encoder.publish(*arguments)
    # Then the driver's decoder understands every frame, and none is larger than agreed
    kinds, content = [], b""
    rest = frames
    while rest:
        kind, size = rest[0], int.from_bytes(rest[3:7], "big")
        payload = rest[7 : 7 + size]
        assert rest[1:3] == b"\x00\x07"
        assert rest[7 + size] == 0xCE
        assert kind != 3 or size + 8 <= frame_max
        kinds.append(kind)
        if kind == 1:
            assert payload[:4] == b"\x00\x3c\x00\x28"
            assert loads("Bssbb", payload, 4)[0] == [0, exchange, routing_key, mandatory, immediate]
        elif kind == 2:
            assert payload[:12] == b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big")
            assert payload[12:] == encode_properties(properties)
        else:
            content += payload
        rest = rest[8 + size :]
    assert kinds == [1, 2] + [3] * math.ceil(len(body) / (frame_max - 8))
    assert content == body
    # And it is the same the next time
    assert encoder.publish(*arguments) == frames


def test_headers_fit_one_frame_or_are_refused() -> None:
    # Given the largest headers that the frame of 4096 octets takes
    room = 4096 - 20 - len(encode_properties({"application_headers": {"k": ""}}))
    fits: dict[str, Any] = {"application_headers": {"k": "x" * room}}
    Encoder().publish(1, "", "q", False, False, fits, b"", 4096)
    # When there is one more, Then the broker, which would close the connection, is not sent it
    fits["application_headers"]["k"] += "x"
    with pytest.raises(FrameSyntaxError, match="4077 octets.*4096"):
        Encoder().publish(1, "", "q", False, False, fits, b"", 4096)


@pytest.mark.parametrize(
    ("body", "properties", "sent", "encoding"),
    [
        ("grün", {}, "grün".encode(), "utf-8"),
        ("grün", {"content_encoding": "latin-1"}, "grün".encode("latin-1"), "latin-1"),
        (bytearray(b"ab"), {}, b"ab", None),
        (memoryview(b"ab"), {}, b"ab", None),
        (None, {}, b"", None),
    ],
)
def test_bodies_of_other_types(body: Any, properties: Any, sent: bytes, encoding: str | None) -> None:
    frames = Encoder().publish(1, "", "q", False, False, properties, body, 131072)
    # (a parser knows no basic.publish; what follows the method is the content of a delivery as well)
    content = frames[8 + int.from_bytes(frames[3:7], "big") :]
    parser = FrameParser()
    parser.feed(b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x3c\xce" + content)
    _, _, block, received = parser.events.popleft()
    assert received == sent
    assert decode_properties(block or b"").get("content_encoding") == encoding


@pytest.mark.parametrize("names", [("x" * 256, "k"), ("x", "k" * 256), (5, "k"), ("x", object()), ([], "k")])
def test_an_impossible_exchange_or_key_is_refused(names: Any) -> None:
    with pytest.raises(FrameSyntaxError, match="octets"):
        Encoder().publish(1, *names, False, False, {}, b"", 131072)


@given(st.integers(1, 65535), st.integers(0, 2**64 - 1), st.booleans(), st.booleans())
def test_settling_has_the_drivers_bytes(channel: int, tag: int, one: bool, other: bool) -> None:
    def frame(number: int, arguments: bytes) -> bytes:
        return pack(">BHI", 1, channel, 13) + pack(">HH", 60, number) + arguments + b"\xce"

    assert ack_frame(channel, tag, one) == frame(80, dumps("Lb", [tag, one]))
    assert reject_frame(channel, tag, one) == frame(90, dumps("Lb", [tag, one]))
    assert nack_frame(channel, tag, one, other) == frame(120, dumps("Lbb", [tag, one, other]))
