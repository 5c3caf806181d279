"""Pickles of one kombu loaded by another; runs with kombu 5.7.0 as well as with this one.

    python pickles.py make URL          -> {name: [pickle in base64, description]} on standard output
    python pickles.py load URL <that    -> {name: description}

What is described is what a program sees of the object. Connections are used at the broker that URL names.
"""

from __future__ import annotations

import json
import pickle
import sys
from base64 import b64decode, b64encode

from kombu import Connection, Consumer, Exchange, Producer, Queue, binding, exceptions
from kombu.clocks import timetuple
from kombu.message import Message
from kombu.pools import connections
from kombu.utils.functional import LRUCache
from kombu.utils.limits import TokenBucket

ALTERNATES = "amqp://ann:s%20cret@one:5673/first;amqp://bob:pw@two:5674/second"

#: Errors that both have, with arguments.
ERRORS = {
    "KombuError": ("text",),
    "OperationalError": ("text",),
    "NotBoundError": ("text",),
    "MessageStateError": ("text",),
    "LimitExceeded": (3,),
    "ConnectionLimitExceeded": (3,),
    "ChannelLimitExceeded": (3,),
    "VersionMismatch": ("text",),
    "SerializerNotInstalled": ("text",),
    "SerializationError": ("text",),
    "EncodeError": ("text",),
    "DecodeError": ("text",),
    "ContentDisallowed": ("text",),
    "BatchPublishError": ("text",),
    "HttpError": (404, "text", None),
}

#: Those are py-amqp's in kombu 5.7, which mixes up their arguments when it is pickled.
OF_THE_BROKER = ("ConnectionError", "ChannelError", "ResourceError", "InconsistencyError")


def objects(url):
    exchange = Exchange("orders", "topic", durable=False, auto_delete=True, arguments={"x": 1}, delivery_mode=1)
    bindings = [binding(exchange, "a.*", {"n": 1}, {"m": 2}), binding(Exchange("other", "fanout"))]
    queue = Queue(
        "orders-queue", exchange, "orders.#", bindings=bindings, durable=False, exclusive=True, auto_delete=True,
        no_ack=True, alias="o", queue_arguments={"x-mine": 1}, binding_arguments={"b": 1}, expires=60.0,
        message_ttl=30.0, max_length=10, max_length_bytes=1000, max_priority=5, consumer_arguments={"c": 1},
    )  # fmt: skip
    full = Connection(
        ALTERNATES, heartbeat=3, connect_timeout=7, transport_options={"confirm_publish": True},
        failover_strategy="shuffle", ssl={"ca_certs": "file"},
    )  # fmt: skip
    message = Message(
        body=b"body", delivery_tag=7, content_type="text/plain", content_encoding="utf-8", headers={"h": 1},
        properties={"correlation_id": "c"}, delivery_info={"routing_key": "k"},
    )  # fmt: skip
    lru = LRUCache(2)
    lru.update({"a": 1, "b": 2, "c": 3})
    found = {
        "connection": Connection(url),
        "connection with all": full,
        "connection of keywords": Connection(
            hostname="host", userid="u", password="p", virtual_host="3", port=1234, transport="redis"
        ),
        "connection in memory": Connection("memory://"),
        "exchange": exchange,
        "default exchange": Exchange(""),
        "queue": queue,
        "plain queue": Queue("plain"),
        "binding": bindings[0],
        "producer": Producer(None, exchange, "key", "json", False, "gzip"),
        "message": message,
        "timetuple": timetuple(3, 4.5, "id", {"o": 1}),
        "lru": lru,
        "bucket": TokenBucket(5, 2),
    }
    for name, arguments in ERRORS.items():
        found[name] = getattr(exceptions, name)(*arguments)
    for name in OF_THE_BROKER:
        found[name] = getattr(exceptions, name)("text", (50, 10), "method", 404)
    return found


def describe(name, found, url):
    if isinstance(found, Connection):
        pooled = connections[found] is connections[pickle.loads(pickle.dumps(found))]
        told = {key: value for key, value in found.info().items() if key not in NOT_COMPARED}
        # (in memory connections of kombu 5.7 have no name that pools know them by)
        told["pooled"] = pooled or told["transport"] == "memory"
        return {**told, "uri": found.as_uri(include_password=True), "alternates": found.alt}
    if isinstance(found, Exchange):
        return [found.as_dict(recurse=True), repr(found), found.is_bound]
    if isinstance(found, Queue):
        told = found.as_dict(recurse=True)
        told["bindings"] = sorted(map(str, told["bindings"]))  # (a set, in kombu 5.7)
        return [told, found.is_bound, found.exchange and found.exchange.name]
    if isinstance(found, binding):
        return [found.exchange.name, found.routing_key, found.arguments, found.unbind_arguments]
    if isinstance(found, Producer):
        return [found.exchange.name, found.routing_key, found.serializer, found.auto_declare, found.compression]
    if isinstance(found, Message):
        told = [found.body.decode(), found.delivery_tag, found.content_type, found.content_encoding, found.headers]
        return [*told, found.properties, found.delivery_info, found.payload]
    if isinstance(found, timetuple):
        return [list(found), found.clock, found.timestamp, found.id, found.obj]
    if isinstance(found, LRUCache):
        return [sorted(found.items()), found.limit]
    if isinstance(found, TokenBucket):
        return [found.fill_rate, found.capacity, found.can_consume()]
    return [type(found).__name__, "" if name in OF_THE_BROKER else str(found)]


#: What kombu 5.7 fills in when the transport is asked.
NOT_COMPARED = {"login_method"}


def use(connection, declared):
    """Whether a message goes through the loaded queue, by way of the loaded connection and producer."""
    queue = Queue("pickled", declared["exchange"], "orders.x", auto_delete=True)
    got = []
    with connection, connection.channel() as channel, connection.channel() as another:
        producer = declared["producer"]
        producer.revive(another)
        with Consumer(channel, [queue], no_ack=True, callbacks=[lambda body, message: got.append(body)]):
            producer.publish({"n": 1}, routing_key="orders.x")
            connection.drain_events(timeout=20)
    return got == [{"n": 1}]


def main(verb, url):
    if verb == "make":
        made = objects(url)
        out = {
            name: [b64encode(pickle.dumps(found, 4)).decode(), describe(name, found, url)]
            for name, found in made.items()
        }
    else:
        out, loaded = {}, {}
        for name, text in json.load(sys.stdin).items():
            try:
                loaded[name] = pickle.loads(b64decode(text))
                out[name] = describe(name, loaded[name], url)
            except Exception as exc:
                out[name] = f"cannot be loaded: {exc!r}"
        try:
            out["used"] = use(loaded["connection"], loaded)
        except Exception as exc:
            out["used"] = repr(exc)
    print(json.dumps(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
