"""Messages of one kombu read by another; runs with kombu 5.7.0 as well as with this one.

    python messages.py publish URL QUEUE...     every case to each queue
    python messages.py consume URL QUEUE...     {queue: {name of the case: what a consumer sees}} on standard output
"""

from __future__ import annotations

import datetime
import decimal
import json
import sys
import uuid

from kombu import Connection, Consumer, Exchange, Queue

DATA = {"text": "h\u00e9llo", "n": [1, 2.5, None, True, -7], "deep": {"list": ["a"] * 3, "empty": {}}}
TYPED = {
    "at": datetime.datetime(2024, 2, 29, 12, 30, 45, 678000, tzinfo=datetime.timezone.utc),
    "day": datetime.date(2024, 2, 29),
    "price": decimal.Decimal("1.10"),
    "id": uuid.UUID("886313e1-3b8a-5372-9b90-0c9aee199e5d"),
    "raw": b"\xff\x00",
}
SERIALIZERS = ("json", "pickle", "yaml", "msgpack")
COMPRESSIONS = ("gzip", "zlib", "bzip2", "lzma", "brotli")

#: Name of the case: the body and the options of ``publish``.
CASES = {
    **{f"{name} plain": (DATA, {"serializer": name}) for name in SERIALIZERS},
    **{
        f"{name} {compression}": (DATA, {"serializer": name, "compression": compression})
        for name in SERIALIZERS
        for compression in COMPRESSIONS
    },
    "json with types": (TYPED, {}),
    "pickle with types": (TYPED, {"serializer": "pickle"}),
    "text": ("h\u00e9llo", {}),
    "bytes": (b"\xff\x00", {}),
    "raw": (b"\xff\x00", {"content_type": "application/x-own", "content_encoding": "binary"}),
    "latin": ("h\u00e9llo".encode("latin-1"), {"content_type": "text/plain", "content_encoding": "latin-1"}),
    "large": ({"text": "x" * 300_000}, {"compression": "gzip"}),
    "nothing": (None, {}),
    "headers": (DATA, {"headers": {"text": "\u00e9", "n": 1, "big": 2**40, "deep": {"a": [1, True, None]}, "f": 0.5}}),
    "priority": (DATA, {"priority": 6}),
    "expiration": (DATA, {"expiration": 600}),
    "transient": (DATA, {"delivery_mode": 1}),
    "properties": (
        DATA,
        {"correlation_id": "c-1", "reply_to": "answers", "message_id": "m-1", "type": "t", "app_id": "a"},
    ),
}  # fmt: skip

PROPERTIES = (
    "correlation_id", "reply_to", "message_id", "type", "app_id", "priority", "expiration", "delivery_mode",
)  # fmt: skip


def queue_of(name):
    return Queue(name, Exchange(name + "-exchange", "topic"), "case.#", max_priority=9, queue_arguments={})


def publish(connection, names):
    for name in names:
        queue = queue_of(name)
        queue(connection.default_channel).declare()
        producer = connection.Producer(exchange=queue.exchange)
        for case, (body, options) in CASES.items():
            options = dict(options)
            options["headers"] = {**options.get("headers", {}), "case": case}
            producer.publish(body, routing_key="case.one", **options)
    return {}


def seen(message, queue):
    headers = {key: value for key, value in message.headers.items() if key != "case"}
    payload = message.payload
    return {
        "payload": f"{type(payload).__name__} {payload!r:.2000}",
        "content": [message.content_type, message.content_encoding],
        "headers": headers,
        "properties": {name: message.properties.get(name) for name in PROPERTIES},
        "routed": [message.delivery_info["exchange"].replace(queue, ""), message.delivery_info["routing_key"]],
    }


def consume(connection, names):
    found = {}
    for name in names:
        got = found[name] = {}

        def receive(message, got=got, name=name):
            got[message.headers["case"]] = seen(message, name)
            message.ack()

        channel = connection.channel()
        accept = [*SERIALIZERS, "text/plain", "application/data", "application/x-own"]
        with Consumer(channel, [queue_of(name)], on_message=receive, accept=accept):
            while len(got) < len(CASES):
                connection.drain_events(timeout=20)
        got["empty"] = channel.basic_get(name) is None
        channel.close()
    return found


if __name__ == "__main__":
    with Connection(sys.argv[2]) as connection:
        print(json.dumps({"publish": publish, "consume": consume}[sys.argv[1]](connection, sys.argv[3:])))
