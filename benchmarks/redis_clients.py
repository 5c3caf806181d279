"""The Python clients of Redis, each doing the same jobs in its own best way; one measurement a process.

    python redis_clients.py CLIENT JOB MESSAGES redis://...

prints the client's version, and its CPU and wall time for each message in seconds. ``redis_run.py`` prepares the server
and lets the clients take turns. Bodies that are encoded already, 1 KB or 64 KB, to a named exchange.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from base64 import b64decode, b64encode
from importlib.metadata import version
from typing import Any

NAME = "kombu.bench"
SMALL = b'{"text": "%s"}' % (b"x" * 1000)
LARGE = b'{"text": "%s"}' % (b"x" * 65_000)
PROPERTIES = {"content_type": "application/json", "content_encoding": "utf-8"}
BATCH = 100


class Client:
    """One client."""

    def __init__(self, url: str) -> None:
        raise NotImplementedError

    def prepare(self, job: str, count: int) -> None:
        """What the client needs to have at the server besides what ``redis_run.py`` put there."""

    def publish(self, count: int, body: bytes = SMALL) -> None:
        """Publish one message after the other."""
        raise NotImplementedError

    def batch(self, count: int) -> None:
        """Publish a hundred at a time."""
        raise NotImplementedError

    def consume(self, count: int, prefetch: int) -> None:
        """Receive and acknowledge."""
        raise NotImplementedError

    def roundtrip(self, count: int) -> None:
        """Publish one and wait until it is there, again and again."""
        raise NotImplementedError

    def empty_get(self, count: int) -> None:
        """Ask an empty queue for a message."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Kombu(Client):
    def __init__(self, url: str) -> None:
        from kombu import Connection, Exchange, Producer, Queue

        self.connection = Connection(url)
        self.channel = self.connection.channel()
        exchange = Exchange(NAME)
        self.queue = Queue(NAME, exchange, NAME)(self.channel)
        self.producer = Producer(self.channel, exchange=exchange, routing_key=NAME, auto_declare=False)

    def prepare(self, job: str, count: int) -> None:
        if job.startswith("bindings"):
            self.producer.exchange.type = "topic"
        if hasattr(self.producer, "batch"):
            return
        # Kombu 5 knows the type of an exchange only where it was declared.
        self.producer.exchange.declare()

    def publish(self, count: int, body: bytes = SMALL) -> None:
        publish = self.producer.publish
        for _ in range(count):
            publish(body, content_type="application/json", content_encoding="utf-8")

    def batch(self, count: int) -> None:
        if not hasattr(self.producer, "batch"):
            return self.publish(count)
        with self.producer.batch(BATCH):
            self.publish(count)

    def consume(self, count: int, prefetch: int) -> None:
        from kombu import Consumer

        left = count

        def on_message(message: Any) -> None:
            nonlocal left
            left -= 1
            message.ack()

        with Consumer(self.channel, [self.queue], on_message=on_message, prefetch_count=prefetch):
            while left > 0:
                self.connection.drain_events(timeout=10)

    def roundtrip(self, count: int) -> None:
        from kombu import Consumer

        got = 0

        def on_message(message: Any) -> None:
            nonlocal got
            got += 1

        with Consumer(self.channel, [self.queue], on_message=on_message, no_ack=True):
            for number in range(1, count + 1):
                self.publish(1)
                while got < number:
                    self.connection.drain_events(timeout=10)

    def empty_get(self, count: int) -> None:
        get = self.queue.get
        for _ in range(count):
            get()

    def close(self) -> None:
        self.connection.close()


class RedisPy(Client):
    """The driver alone, with the payloads that kombu has."""

    #: Takes messages, notes that they are being worked on, and forgets those whose tags follow: in one round trip.
    TAKE = """
    if #ARGV > 2 then redis.call('HDEL', KEYS[2], unpack(ARGV, 3)) end
    local found = redis.call('RPOP', KEYS[1], ARGV[1])
    if not found then return {} end
    local notes = {}
    for at, payload in ipairs(found) do
      notes[2 * at - 1], notes[2 * at] = ARGV[2] + at, payload
    end
    redis.call('HSET', KEYS[2], unpack(notes))
    return found
    """

    def __init__(self, url: str) -> None:
        from redis import Redis

        self.redis = Redis.from_url(url)
        self.take = self.redis.register_script(self.TAKE)

    @staticmethod
    def payload(body: bytes) -> bytes:
        return b'{"body": "%b", "more": "%b"}' % (b64encode(body), b" " * 350)

    def publish(self, count: int, body: bytes = SMALL) -> None:
        payload, push = self.payload(body), self.redis.lpush
        for _ in range(count):
            push(NAME, payload)

    def batch(self, count: int) -> None:
        payload = self.payload(SMALL)
        for _ in range(count // BATCH):
            pipeline = self.redis.pipeline(transaction=False)
            for _ in range(BATCH):
                pipeline.lpush(NAME, payload)
            pipeline.execute()

    def consume(self, count: int, prefetch: int) -> None:
        tags: list[int] = []
        at = 0
        while at < count:
            found = self.take([NAME, f"{NAME}.unacked"], [prefetch, at, *tags])
            for payload in found:
                b64decode(json.loads(payload)["body"])
            tags = list(range(at + 1, at + len(found) + 1))
            at += len(found)
        self.redis.hdel(f"{NAME}.unacked", *tags)

    def roundtrip(self, count: int) -> None:
        payload = self.payload(SMALL)
        for _ in range(count):
            self.redis.lpush(NAME, payload)
            self.redis.brpop([NAME], 10)

    def empty_get(self, count: int) -> None:
        for _ in range(count):
            self.redis.rpop(NAME)

    def close(self) -> None:
        self.redis.close()


class Dramatiq(Client):
    def __init__(self, url: str) -> None:
        import dramatiq
        from dramatiq.brokers.redis import RedisBroker

        self.broker: Any = RedisBroker(url=url, middleware=[])
        self.broker.declare_queue(NAME)
        self.new = dramatiq.Message

    def prepare(self, job: str, count: int) -> None:
        if job.startswith("consume"):
            self.publish(count, LARGE if job.endswith("64k") else SMALL)

    def publish(self, count: int, body: bytes = SMALL) -> None:
        text = body.decode()
        for _ in range(count):
            self.broker.enqueue(
                self.new(queue_name=NAME, actor_name="bench", args=(text,), kwargs={}, options={})
            )

    def consume(self, count: int, prefetch: int) -> None:
        consumer = self.broker.consume(NAME, prefetch=prefetch)
        for _ in range(count):
            message = None
            while message is None:
                message = next(consumer)
            consumer.ack(message)

    def roundtrip(self, count: int) -> None:
        consumer = self.broker.consume(NAME, prefetch=1)
        for _ in range(count):
            self.publish(1)
            message = None
            while message is None:
                message = next(consumer)
            consumer.ack(message)

    def close(self) -> None:
        self.broker.close()


CLIENTS = {
    "kombu": (Kombu, "kombu-core"),
    "kombu-5.7": (Kombu, "kombu"),
    "redis-py": (RedisPy, "redis"),
    "dramatiq": (Dramatiq, "dramatiq"),
}


def measure(name: str, job: str, count: int, url: str) -> dict[str, Any]:
    """CPU and wall seconds for each message."""
    kind, distribution = CLIENTS[name]
    client = kind(url)
    client.prepare(job, count)
    if job.startswith("bindings"):
        client.publish(1)  # which reads the bindings once
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    if job == "consume_64k":
        client.consume(count, 10)
    elif job.startswith("consume"):
        client.consume(count, int(job.removeprefix("consume_")))
    elif job == "publish_64k":
        client.publish(count, LARGE)
    elif job.startswith("bindings"):
        client.publish(count)
    else:
        getattr(client, job)(count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    client.close()
    return {"version": version(distribution), "cpu": cpu / count, "wall": wall / count}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
