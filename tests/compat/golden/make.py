"""Makes the golden files: run by an interpreter that has kombu 5.7.0, PyYAML, msgpack and brotli installed.

    python tests/compat/golden/make.py

Each case is a Python expression, so that the tests can build the same value again (see ``NAMESPACE``).
"""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import enum
import json
import pathlib
import platform
import sys
import uuid
import zlib

HERE = pathlib.Path(__file__).parent


class Point:
    """Says of itself what JSON should have."""

    def __json__(self):
        return {"x": 1, "when": datetime.date(2024, 2, 29)}


class Money:
    """Taught by register_type."""

    def __init__(self, cents):
        self.cents = cents

    def __eq__(self, other):
        return isinstance(other, Money) and self.cents == other.cents

    def __repr__(self):
        return f"Money({self.cents})"


class Colour(enum.IntEnum):
    RED = 1


Pair = collections.namedtuple("Pair", "a b")
NAMESPACE = {
    "Colour": Colour,
    "Money": Money,
    "Pair": Pair,
    "Point": Point,
    "collections": collections,
    "datetime": datetime,
    "decimal": decimal,
    "inf": float("inf"),
    "tz": datetime.timezone(datetime.timedelta(hours=5, minutes=45)),
    "utc": datetime.timezone.utc,
    "uuid": uuid,
}

JSON_CASES = """
None
True
0
-1
2**64
2**200 + 1
0.1
1e100
-0.0
inf
-inf
''
'plain'
'\\u00e9 \\u4e16 \\U0001f600 \\u2028 "quoted" \\\\ / \\n \\x00 \\x7f'
'\\ud800'
[]
{}
[1, [2, [3, [None, True]]]]
(1, 2)
Pair(1, 2)
Colour.RED
{'b': 1, 'a': {'nested': [1.5, 'x']}}
{1: 'int', 2.5: 'float', True: 'bool', None: 'null'}
collections.OrderedDict([('z', 1), ('a', 2)])
b''
b'ascii'
'\\u00e9'.encode()
b'\\xff\\x00\\xfe'
bytes(range(256))
datetime.datetime(2024, 2, 29, 12, 30, 45)
datetime.datetime(2024, 2, 29, 12, 30, 45, 678)
datetime.datetime(2024, 2, 29, 12, 30, 45, 678000, tzinfo=utc)
datetime.datetime(1, 1, 1)
datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=tz)
datetime.date(2024, 2, 29)
datetime.time(0)
datetime.time(12, 30, 45, 678)
datetime.time(12, 30, tzinfo=tz)
decimal.Decimal('1.10')
decimal.Decimal('1E+50')
decimal.Decimal('-0')
decimal.Decimal('Infinity')
uuid.UUID(int=0)
uuid.UUID('886313e1-3b8a-5372-9b90-0c9aee199e5d')
Point()
Money(1999)
[Money(1), {'price': Money(2), 'at': datetime.datetime(2024, 1, 1), 'raw': b'x'}]
{'__type__': 'mine', 'other': 1}
{'__type__': 'mine', '__value__': 1, 'third': 2}
"""

DATA = "{'text': 'h\\u00e9llo', 'n': [1, 2.5, None, True, -7], 'deep': {'list': ['a'] * 3, 'empty': {}}}"
SERIALIZER_CASES = [(DATA, serializer) for serializer in (None, "json", "pickle", "yaml", "msgpack")] + [
    ("'h\\u00e9llo'", None),
    ("'h\\u00e9llo'", "raw"),
    ("'h\\u00e9llo'", "json"),
    ("'h\\u00e9llo'", "pickle"),
    ("'h\\u00e9llo'", "msgpack"),
    ("b'\\xff\\x00bytes'", None),
    ("b'\\xff\\x00bytes'", "raw"),
    ("b'\\xff\\x00bytes'", "json"),
    ("b'\\xff\\x00bytes'", "pickle"),
    ("b'\\xff\\x00bytes'", "yaml"),
    ("b'\\xff\\x00bytes'", "msgpack"),
    ("datetime.datetime(2024, 2, 29, 12, 30)", "yaml"),
    ("datetime.datetime(2024, 2, 29, 12, 30)", "pickle"),
]

SAMPLES = ["b''", "b'x'", "b'hello world ' * 300", "bytes(range(256)) * 40"]
METHODS = ("gzip", "zlib", "bzip2", "bzip", "lzma", "xz", "brotli")


def build(expression):
    return eval(expression, dict(NAMESPACE))  # our own expressions, from this file or made from it


def teach(register_type):
    """Register Money, the same way on both sides."""
    register_type(Money, "money", lambda m: {"cents": m.cents}, lambda v: Money(v["cents"]))


def main():
    import kombu
    import kombu.compression
    import kombu.serialization
    import kombu.utils.json

    teach(kombu.utils.json.register_type)
    source = {
        "kombu": kombu.__version__,
        "python": platform.python_version(),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    typed = []
    for value in JSON_CASES.strip().splitlines():
        wire = kombu.utils.json.dumps(build(value))
        typed.append({"value": value, "wire": wire, "read": repr(kombu.utils.json.loads(wire))})
    write("json.json", source, typed)
    serialized = []
    for value, serializer in SERIALIZER_CASES:
        content_type, content_encoding, payload = kombu.serialization.dumps(
            build(value), serializer=serializer
        )
        serialized.append(
            {
                "value": value,
                "serializer": serializer,
                "content_type": content_type,
                "content_encoding": content_encoding,
                "text": isinstance(payload, str),
                "payload": encode(payload.encode() if isinstance(payload, str) else payload),
            }
        )
    write("serializers.json", source, serialized)
    compressed = []
    for method in METHODS:
        for sample in SAMPLES:
            body, content_type = kombu.compression.compress(build(sample), method)
            compressed.append(
                {"method": method, "sample": sample, "content_type": content_type, "body": encode(body)}
            )
    write("compression.json", source, compressed)


def encode(data):
    return base64.b64encode(data).decode()


def write(name, source, cases):
    text = json.dumps({"made_by": source, "cases": cases}, indent=1)
    (HERE / name).write_text(text + "\n")
    print(f"{name}: {len(cases)} cases", file=sys.stderr)


if __name__ == "__main__":
    main()
