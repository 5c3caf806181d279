"""AMQP field tables, arrays and strings as RabbitMQ and py-amqp understand them. Pure.

The letters follow RabbitMQ's errata to the AMQP 0-9-1 specification, and the Python types those of py-amqp.
"""

from __future__ import annotations

from calendar import timegm
from datetime import datetime, timezone
from decimal import Decimal
from struct import Struct, error, pack
from typing import Any

from amqp.exceptions import FrameSyntaxError

__all__ = ("OCTETS", "decode_short", "decode_table", "encode_short", "encode_table")

_LENGTH = Struct(">I").pack
_STRING = Struct(">cI").pack
_INT = Struct(">ci").pack
_LONG = Struct(">cq").pack
_DOUBLE = Struct(">cd").pack
_READ_LENGTH = Struct(">I").unpack_from

#: The length of a short string, and the letter and length of a long string that is short: made once.
OCTETS = tuple(bytes((length,)) for length in range(256))
_STRINGS = tuple(_STRING(b"S", length) for length in range(256))

#: Letter -> how to read a number of fixed size.
_NUMBERS = {
    ord(letter): Struct(">" + code)
    for letter, code in {
        "b": "b",
        "B": "B",
        "s": "h",
        "U": "h",
        "u": "H",
        "I": "i",
        "i": "I",
        "l": "q",
        "L": "q",
        "f": "f",
        "d": "d",
    }.items()
}

#: Keys that are remembered at most.
_MOST_NAMES = 512


def encode_short(value: str | bytes) -> bytes:
    """A short string: one octet of length, at most 255 octets of UTF-8.

    Raises:
        ValueError: it is longer.
        TypeError, AttributeError: it is no string.
    """
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    if len(raw) > 255:
        raise ValueError(f"{value!r} has {len(raw)} octets, a short string at most 255")
    return OCTETS[len(raw)] + raw


def decode_short(data: bytes, pos: int) -> tuple[str, int]:
    """The short string at ``pos`` and where it ends. Octets that are no UTF-8 come as escapes.

    Raises:
        IndexError: it is cut short.
    """
    stop = pos + 1 + data[pos]
    if stop > len(data):
        raise IndexError(stop)
    return data[pos + 1 : stop].decode("utf-8", "backslashreplace"), stop


def encode_table(table: dict[Any, Any], names: dict[Any, bytes] | None = None) -> bytes:
    """A field table with its length.

    Arguments:
        names: where encoded keys are remembered for the next table, of limited size.

    Raises:
        FrameSyntaxError: a key or value cannot be sent.
        AttributeError: it is no dictionary.
    """
    items = table.items()
    if names is None:
        names = {}
    parts: list[bytes] = []
    append = parts.append
    key = value = None
    try:
        for key, value in items:
            try:
                append(names[key])
            except KeyError:
                append(_encode_name(key, names))
            kind = type(value)
            if kind is str:
                raw = value.encode("utf-8", "surrogatepass")
                size = len(raw)
                append(_STRINGS[size] if size < 256 else _STRING(b"S", size))
                append(raw)
            elif value is None:
                append(b"V")
            elif kind is int and -2147483647 <= value <= 2147483647:
                append(_INT(b"I", value))
            else:
                _encode_item(value, parts)
    except (error, TypeError, AttributeError, ValueError):
        raise FrameSyntaxError(
            f"table type {type(value)!r} for key {key!r} not handled by amqp [value: {value!r}]"
        ) from None
    except RecursionError:
        raise FrameSyntaxError("a table is nested too deeply, or holds itself") from None
    encoded = b"".join(parts)
    return _LENGTH(len(encoded)) + encoded


def _encode_name(key: Any, names: dict[Any, bytes]) -> bytes:
    if not isinstance(key, (str, bytes)):
        raise FrameSyntaxError(f"the key {key!r} is no text")
    raw = key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")
    if len(raw) > 255:
        raise FrameSyntaxError(f"the key {key!r} has {len(raw)} octets, at most 255 can be sent")
    if len(names) >= _MOST_NAMES:
        names.clear()
    name = names[key] = OCTETS[len(raw)] + raw
    return name


def _encode_array(values: Any) -> bytes:
    parts: list[bytes] = []
    for value in values:
        _encode_item(value, parts)
    encoded = b"".join(parts)
    return _LENGTH(len(encoded)) + encoded


def _encode_item(value: Any, parts: list[bytes]) -> None:
    """Append the letter and the value; ValueError when there is no letter for its type."""
    append = parts.append
    if isinstance(value, (str, bytes)):
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        append(_STRING(b"S", len(raw)))
        append(raw)
    elif isinstance(value, bool):
        append(b"t\x01" if value else b"t\x00")
    elif isinstance(value, float):
        append(_DOUBLE(b"d", value))
    elif isinstance(value, int):
        append(_INT(b"I", value) if -2147483647 <= value <= 2147483647 else _LONG(b"L", value))
    elif isinstance(value, Decimal):
        append(_encode_decimal(value))
    elif isinstance(value, datetime):
        append(pack(">cQ", b"T", timegm(value.utctimetuple())))
    elif isinstance(value, dict):
        append(b"F")
        append(encode_table(value))
    elif isinstance(value, (list, tuple)):
        append(b"A")
        append(_encode_array(value))
    elif value is None:
        append(b"V")
    else:
        raise ValueError(value)


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(value)  # NaN and infinity
    number = int("".join(map(str, digits)) or "0")
    if exponent > 0:
        number *= 10 ** min(exponent, 10)  # ten more digits do not fit in 32 bits anyway
        exponent = 0
    return pack(">cBi", b"D", -exponent, -number if sign else number)


def decode_table(data: bytes, pos: int) -> tuple[dict[Any, Any], int]:
    """The field table at ``pos`` and where it ends.

    Raises:
        FrameSyntaxError: it is cut short, or holds a type that nobody knows.
    """
    try:
        return _decode_table(data, pos, len(data))
    except (error, IndexError):
        raise FrameSyntaxError(f"a table is cut short (of {len(data)} octets)") from None
    except RecursionError:
        raise FrameSyntaxError("a table is nested too deeply") from None


def _limit(data: bytes, pos: int, end: int) -> int:
    """Where the value with its length at ``pos`` ends, inside ``end``."""
    (length,) = _READ_LENGTH(data, pos)
    limit: int = pos + 4 + length
    if limit > end:
        raise IndexError(limit)
    return limit


def _text(raw: bytes) -> str | bytes:
    """Text if it is UTF-8, else the octets."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw


def _decode_table(data: bytes, pos: int, end: int) -> tuple[dict[Any, Any], int]:
    limit = _limit(data, pos, end)
    pos += 4
    table: dict[Any, Any] = {}
    while pos < limit:
        start = pos + 1
        pos = start + data[pos]
        if pos >= limit:
            raise IndexError(pos)
        raw = data[start:pos]
        key: str | bytes
        try:
            key = str(raw, "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            key = raw  # (octets that are no text stay octets)
        if data[pos] == 0x53:  # S, by far the most frequent
            (size,) = _READ_LENGTH(data, pos + 1)
            start = pos + 5
            pos = start + size
            if pos > limit:
                raise IndexError(pos)
            raw = data[start:pos]
            try:
                table[key] = str(raw, "utf-8", "surrogatepass")
            except UnicodeDecodeError:
                table[key] = raw
        else:
            table[key], pos = _decode_item(data, pos, limit)
    return table, pos


def _decode_item(data: bytes, pos: int, end: int) -> tuple[Any, int]:
    letter = data[pos]
    pos += 1
    value: Any
    if letter == 0x53 or letter == 0x78:  # S, x
        limit = _limit(data, pos, end)
        raw = data[pos + 4 : limit]
        return (_text(raw) if letter == 0x53 else raw), limit
    number = _NUMBERS.get(letter)
    if number is not None:
        (value,) = number.unpack_from(data, pos)
        pos += number.size
    elif letter == 0x74:  # t
        value = bool(data[pos])
        pos += 1
    elif letter == 0x56:  # V
        value = None
    elif letter == 0x46:  # F
        value, pos = _decode_table(data, pos, end)
    elif letter == 0x41:  # A
        limit = _limit(data, pos, end)
        pos += 4
        value = []
        while pos < limit:
            item, pos = _decode_item(data, pos, limit)
            value.append(item)
    elif letter == 0x54:  # T
        value = _timestamp(int.from_bytes(data[pos : pos + 8], "big"))
        pos += 8
    elif letter == 0x44:  # D
        (digits,) = _NUMBERS[0x49].unpack_from(data, pos + 1)
        value = Decimal(digits) / Decimal(10 ** data[pos])
        pos += 5
    else:
        raise FrameSyntaxError(f"unknown type {chr(letter)!r} in a table")
    if pos > end:
        raise IndexError(pos)
    return value, pos


def _timestamp(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        raise FrameSyntaxError(f"the timestamp {seconds} in a table is beyond the year 9999") from None
