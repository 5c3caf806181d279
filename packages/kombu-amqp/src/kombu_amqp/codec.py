"""AMQP 0-9-1 values: tables, property blocks, and the methods that are sent and received for each message. No I/O.

The bytes are those of py-amqp (``amqp.serialization``), the tests compare the two. What repeats from message to message
is kept by value: the publish method by exchange and key, property blocks by their contents. So to publish costs one
join of byte strings. The memories belong to an :class:`Encoder` and a :class:`Decoder`, one of each a connection, and
are emptied when full.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Any, Final

from amqp.exceptions import FrameSyntaxError

from kombu_amqp.tables import OCTETS, decode_short, decode_table, encode_short, encode_table

__all__ = ("Decoder", "Encoder", "ack_frame", "method_frame", "nack_frame", "reject_frame")

#: Entries that each memory holds, and the greatest property block worth keeping, in octets.
_ENTRIES: Final = 512
_LARGEST_BLOCK: Final = 1024

#: Names of the properties in the order of the specification, and their types (s: short string, F: table, o: octet,
#: L: 64 bits). The first has the highest bit of the flags.
PROPERTIES: Final = {
    "content_type": "s",
    "content_encoding": "s",
    "application_headers": "F",
    "delivery_mode": "o",
    "priority": "o",
    "correlation_id": "s",
    "reply_to": "s",
    "expiration": "s",
    "message_id": "s",
    "timestamp": "L",
    "type": "s",
    "user_id": "s",
    "app_id": "s",
    "cluster_id": "s",
}
_IN_ORDER: Final = tuple((name, kind, 0x8000 >> index) for index, (name, kind) in enumerate(PROPERTIES.items()))
#: Name -> place in the block, type, flag.
_PLACES: Final = {name: (index + 1, kind, flag) for index, (name, kind, flag) in enumerate(_IN_ORDER)}
_EXPECTED: Final = {"s": "text of at most 255 octets", "F": "a dictionary", "o": "0-255", "L": "a number of seconds"}

#: Header values that are equal only if they are encoded alike, once their types are equal too.
_PLAIN: Final = frozenset((str, int, bool, type(None)))

_FRAME = Struct(">BHI").pack
_HEADER = Struct(">BHIHHQ").pack
_BODY = Struct(">BBHI").pack
_FLAGS = Struct(">H").pack
_OCTET = Struct(">B").pack
_LONGLONG = Struct(">Q").pack
_ACK = Struct(">BHIIQBB").pack
_READ_FLAGS = Struct(">H").unpack_from
_READ_LONGLONG = Struct(">Q").unpack_from
_READ_TAG = Struct(">QB").unpack_from

_END: Final = b"\xce"
_BASIC_PUBLISH: Final = b"\x00\x3c\x00\x28\x00\x00"


def ack_frame(channel: int, delivery_tag: int, multiple: bool) -> bytes:
    """basic.ack."""
    return _ACK(1, channel, 13, 0x003C0050, delivery_tag, 1 if multiple else 0, 0xCE)


def reject_frame(channel: int, delivery_tag: int, requeue: bool) -> bytes:
    """basic.reject."""
    return _ACK(1, channel, 13, 0x003C005A, delivery_tag, 1 if requeue else 0, 0xCE)


def nack_frame(channel: int, delivery_tag: int, multiple: bool, requeue: bool) -> bytes:
    """basic.nack, RabbitMQ's extension."""
    bits = (1 if multiple else 0) | (2 if requeue else 0)
    return _ACK(1, channel, 13, 0x003C0078, delivery_tag, bits, 0xCE)


def method_frame(channel: int, payload: bytes) -> bytes:
    """The frame of a method; ``payload`` begins with its class and number."""
    return b"".join((_FRAME(1, channel, len(payload)), payload, _END))


def encode_properties(properties: dict[str, Any], names: dict[Any, bytes] | None = None) -> bytes:
    """The flags and values of a message's properties; None leaves one out, unknown names are not sent.

    Arguments:
        names: see :func:`~kombu_amqp.tables.encode_table`.

    Raises:
        FrameSyntaxError: a value is not of its property's type.
    """
    flags = 0
    parts = [b""] * 15
    for name, value in properties.items():
        if value is None or name not in _PLACES:
            continue
        place, kind, flag = _PLACES[name]
        flags |= flag
        try:
            if kind == "s":
                if type(value) is str:
                    raw = value.encode("utf-8", "surrogatepass")
                    parts[place] = OCTETS[len(raw)] + raw
                else:
                    parts[place] = encode_short(value)
            elif kind == "F":
                parts[place] = encode_table(value, names)
            elif kind == "o":
                parts[place] = OCTETS[value] if value >= 0 else _OCTET(value)
            else:
                parts[place] = _LONGLONG(value)
        except (error, IndexError, TypeError, AttributeError, ValueError):
            raise FrameSyntaxError(
                f"the property {name!r} is {value!r}, and must be {_EXPECTED[kind]}"
            ) from None
    parts[0] = _FLAGS(flags)
    return b"".join(parts)


def decode_properties(block: bytes) -> dict[str, Any]:
    """The properties in a block made by :func:`encode_properties`, or by anyone else.

    Raises:
        FrameSyntaxError: the block is cut short or no block.
    """
    properties: dict[str, Any] = {}
    try:
        (flags,) = _READ_FLAGS(block, 0)
        pos = 2
        for name, kind, flag in _IN_ORDER:
            if not flags & flag:
                continue
            if kind == "s":
                start = pos + 1
                pos = start + block[pos]
                properties[name] = block[start:pos].decode("utf-8", "backslashreplace")
            elif kind == "F":
                properties[name], pos = decode_table(block, pos)
            elif kind == "o":
                properties[name] = block[pos]
                pos += 1
            else:
                (properties[name],) = _READ_LONGLONG(block, pos)
                pos += 8
        if pos > len(block):
            raise IndexError(pos)
    except (error, IndexError):
        raise FrameSyntaxError(f"a property block of {len(block)} octets is cut short") from None
    return properties


class Encoder:
    """Encodes what a connection publishes.

    Not to be shared by connections: the frames kept carry channel numbers.
    """

    __slots__ = ("_blocks", "_methods", "_names")

    def __init__(self) -> None:
        self._names: dict[Any, bytes] = {}
        self._methods: dict[tuple[Any, ...], bytes] = {}
        self._blocks: dict[tuple[Any, ...], bytes] = {}

    def publish(
        self,
        channel: int,
        exchange: str | None,
        routing_key: str | None,
        mandatory: bool,
        immediate: bool,
        properties: dict[str, Any],
        body: bytes | str,
        frame_max: int,
    ) -> bytes:
        """The frames of one basic.publish: the method, the content header, and the body in frames of ``frame_max``.

        Raises:
            FrameSyntaxError: a name, a property or a header cannot be sent.
        """
        try:
            method = self._methods[channel, exchange, routing_key, mandatory, immediate]
        except (KeyError, TypeError):
            method = self._publish_method(channel, exchange, routing_key, mandatory, immediate)
        return self.content(method, channel, properties, body, frame_max)

    def content(
        self, method: bytes, channel: int, properties: dict[str, Any], body: bytes | str, frame_max: int
    ) -> bytes:
        """The frame of a method, ``method``, followed by those of its content."""
        if type(body) is not bytes:
            body, properties = _as_bytes(body, properties)
        block = self.properties(properties)
        if len(block) > frame_max - 20:
            raise FrameSyntaxError(
                f"headers and properties are {len(block)} octets, and must fit one frame, of {frame_max} (frame_max):"
                " what is large belongs into the body"
            )
        size = len(body)
        header = _HEADER(2, channel, 12 + len(block), 60, 0, size)
        if not size:
            return b"".join((method, header, block, _END))
        if size <= frame_max - 8:
            return b"".join((method, header, block, _BODY(0xCE, 3, channel, size), body, _END))
        parts = [method, header, block, _END]
        step = frame_max - 8
        for start in range(0, size, step):
            chunk = body[start : start + step]
            parts += (_FRAME(3, channel, len(chunk)), chunk, _END)
        return b"".join(parts)

    def _publish_method(
        self, channel: int, exchange: str | None, routing_key: str | None, mandatory: bool, immediate: bool
    ) -> bytes:
        try:
            arguments = encode_short("" if exchange is None else exchange)
            arguments += encode_short("" if routing_key is None else routing_key)
        except (TypeError, AttributeError, ValueError):
            raise FrameSyntaxError(
                f"exchange {exchange!r} and routing key {routing_key!r} must be text of at most 255 octets"
            ) from None
        bits = (1 if mandatory else 0) | (2 if immediate else 0)
        frame = method_frame(channel, b"".join((_BASIC_PUBLISH, arguments, _OCTET(bits))))
        if len(self._methods) >= _ENTRIES:
            self._methods.clear()
        self._methods[channel, exchange, routing_key, mandatory, immediate] = frame
        return frame

    def properties(self, properties: dict[str, Any]) -> bytes:
        """:func:`encode_properties`, remembered by value unless the message carries an identity of its own."""
        if "correlation_id" in properties or "message_id" in properties:
            return encode_properties(properties, self._names)  # no other message will have these
        key: tuple[Any, ...]
        headers = properties.get("application_headers")
        try:
            if not headers and len(properties) == 5 and headers is not None:
                # What most messages have; other properties are a KeyError. Five values: other keys have even numbers.
                key = (
                    properties["content_type"], properties["content_encoding"], properties["delivery_mode"],
                    properties["priority"], None,
                )  # fmt: skip
            else:
                key = _key(properties, headers)
        except KeyError:
            key = _key(properties, headers)
        if not key:
            return encode_properties(properties, self._names)
        try:
            return self._blocks[key]
        except KeyError:
            pass
        except TypeError:  # a value that cannot be hashed: the encoder names it
            return encode_properties(properties, self._names)
        block = encode_properties(properties, self._names)
        if len(block) <= _LARGEST_BLOCK:
            if len(self._blocks) >= _ENTRIES:
                self._blocks.clear()
            self._blocks[key] = block
        return block


def _key(properties: dict[str, Any], headers: dict[Any, Any] | None) -> tuple[Any, ...]:
    """What equals only for properties that are encoded alike; empty when they are not worth remembering."""
    if headers is None:
        return (*properties, *properties.values())
    if type(headers) is not dict or not _PLAIN.issuperset(map(type, headers.values())):
        return ()
    values = headers.values()
    fixed = properties.copy()
    fixed["application_headers"] = (*headers, *values, *map(type, values))
    return (*fixed, *fixed.values())


def _as_bytes(body: Any, properties: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Text is encoded as ``content_encoding`` says; without one it is UTF-8, and said to be."""
    if isinstance(body, str):
        encoding = properties.get("content_encoding")
        if encoding is None:
            encoding = "utf-8"
            properties = {**properties, "content_encoding": encoding}
        return body.encode(encoding), properties
    return (b"" if body is None else bytes(body)), properties


class Decoder:
    """Decodes what a connection receives for each message."""

    __slots__ = ("_blocks", "_routes", "_tags")

    def __init__(self) -> None:
        self._tags: dict[bytes, str] = {}
        self._routes: dict[bytes, tuple[str, str]] = {}
        self._blocks: dict[bytes, tuple[dict[str, Any], dict[str, Any] | None]] = {}

    def deliver(self, method: bytes) -> tuple[str, int, bool, str, str]:
        """basic.deliver: ``(consumer tag, delivery tag, redelivered, exchange, routing key)``.

        Raises:
            FrameSyntaxError: the arguments are cut short.
        """
        try:
            stop = 5 + method[4]
            delivery_tag, redelivered = _READ_TAG(method, stop)
            raw_tag = method[5:stop]
            tail = method[stop + 9 :]
            try:
                consumer_tag = self._tags[raw_tag]
                exchange, routing_key = self._routes[tail]
            except KeyError:
                consumer_tag = self._tag(raw_tag)
                exchange, routing_key = self._route(tail)
        except (error, IndexError):
            raise FrameSyntaxError(f"basic.deliver of {len(method)} octets is cut short") from None
        return consumer_tag, delivery_tag, redelivered == 1, exchange, routing_key

    def _tag(self, raw: bytes) -> str:
        if len(self._tags) >= _ENTRIES:
            self._tags.clear()
        tag = self._tags[raw] = raw.decode("utf-8", "backslashreplace")
        return tag

    def _route(self, tail: bytes) -> tuple[str, str]:
        exchange, pos = decode_short(tail, 0)
        routing_key, pos = decode_short(tail, pos)
        if len(self._routes) >= _ENTRIES:
            self._routes.clear()
        self._routes[tail] = exchange, routing_key
        return exchange, routing_key

    def properties(self, block: bytes) -> dict[str, Any]:
        """:func:`decode_properties`, remembered by value; the dictionary and its headers are the caller's own."""
        known = self._blocks.get(block)
        if known is not None:
            properties = known[0].copy()
            if known[1] is not None:
                properties["application_headers"] = known[1].copy()
            return properties
        properties = decode_properties(block)
        headers = properties.get("application_headers")
        if (
            len(block) <= _LARGEST_BLOCK
            and "correlation_id" not in properties
            and "message_id" not in properties
            and (not headers or not any(type(value) in (dict, list) for value in headers.values()))
        ):
            if len(self._blocks) >= _ENTRIES:
                self._blocks.clear()
            self._blocks[block] = (properties.copy(), None if headers is None else headers.copy())
        return properties
