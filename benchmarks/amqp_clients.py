"""The Python clients of RabbitMQ, each doing the same jobs in its own best way; one measurement a process.

    python amqp_clients.py CLIENT JOB MESSAGES amqp://...

prints the client's version, and its CPU and wall time for each message in seconds. ``amqp_run.py`` prepares the broker
and lets the clients take turns. 1 KB bodies that are encoded already, a named exchange, persistent messages.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from importlib.metadata import version
from typing import Any

NAME = "kombu.bench"
BODY = b'{"text": "%s"}' % (b"x" * 1000)
PROPERTIES = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2}
#: Messages that are confirmed together, where a client can: kombu's batch, and what aio-pika's documentation advises.
BATCH, GATHERED = 100, 50


class Client:
    """One client; ``confirm`` has the broker confirm what is published."""

    def __init__(self, url: str, confirm: bool) -> None:
        raise NotImplementedError

    def publish(self, count: int) -> None:
        """Publish one message after the other, each confirmed if that was asked for."""
        raise NotImplementedError

    def confirm(self, count: int) -> None:
        """Publish and have all confirmed, in the fastest way that the client offers."""
        self.publish(count)

    def arrived(self) -> None:
        """Ask the broker something, so that all that was published before has come to it."""
        raise NotImplementedError

    def consume(self, count: int, prefetch: int) -> None:
        """Receive and acknowledge; without acknowledgements when ``prefetch`` is 0."""
        raise NotImplementedError

    def roundtrip(self, count: int) -> None:
        """Publish one and wait until it is there, again and again; without acknowledgements."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Kombu(Client):
    def __init__(self, url: str, confirm: bool) -> None:
        from kombu import Connection, Exchange, Producer, Queue

        self.connection = Connection(url, transport_options={"confirm_publish": confirm})
        self.channel = self.connection.channel()
        exchange = Exchange(NAME, durable=True)
        self.queue = Queue(NAME, exchange, NAME)(self.channel)
        self.producer = Producer(self.channel, exchange=exchange, routing_key=NAME, auto_declare=False)

    def publish(self, count: int) -> None:
        publish = self.producer.publish
        for _ in range(count):
            publish(BODY, content_type="application/json", content_encoding="utf-8")

    def confirm(self, count: int) -> None:
        if not hasattr(self.producer, "batch"):
            return self.publish(count)
        for _ in range(count // BATCH):
            with self.producer.batch(BATCH):
                self.publish(BATCH)

    def arrived(self) -> None:
        self.queue.queue_declare(passive=True)

    def consume(self, count: int, prefetch: int) -> None:
        from kombu import Consumer

        left = count

        def on_message(message: Any) -> None:
            nonlocal left
            left -= 1
            message.ack()

        options = {"prefetch_count": prefetch} if prefetch else {"no_ack": True}
        with Consumer(self.channel, [self.queue], on_message=on_message, **options):
            while left > 0:
                self.connection.drain_events(timeout=10)

    def roundtrip(self, count: int) -> None:
        from kombu import Consumer

        got: list[Any] = []
        with Consumer(self.channel, [self.queue], on_message=got.append, no_ack=True):
            for number in range(1, count + 1):
                self.publish(1)
                while len(got) < number:
                    self.connection.drain_events(timeout=10)

    def close(self) -> None:
        self.connection.close()


class PyAmqp(Client):
    def __init__(self, url: str, confirm: bool) -> None:
        import amqp

        self.amqp: Any = amqp
        host = url.split("@")[-1].split("/")[0]
        self.connection = amqp.Connection(host, confirm_publish=confirm)
        self.connection.connect()
        self.channel = self.connection.channel()

    def publish(self, count: int) -> None:
        for _ in range(count):
            message = self.amqp.Message(BODY, **PROPERTIES, application_headers={}, priority=0)
            self.channel.basic_publish(message, exchange=NAME, routing_key=NAME)

    def arrived(self) -> None:
        self.channel.queue_declare(NAME, passive=True)

    def consume(self, count: int, prefetch: int) -> None:
        left = count

        def on_message(message: Any) -> None:
            nonlocal left
            left -= 1
            if prefetch:
                self.channel.basic_ack(message.delivery_tag)

        if prefetch:
            self.channel.basic_qos(0, prefetch, False)
        self.channel.basic_consume(NAME, callback=on_message, no_ack=not prefetch)
        while left > 0:
            self.connection.drain_events(timeout=10)

    def roundtrip(self, count: int) -> None:
        got: list[Any] = []
        self.channel.basic_consume(NAME, callback=got.append, no_ack=True)
        for number in range(1, count + 1):
            self.publish(1)
            while len(got) < number:
                self.connection.drain_events(timeout=10)

    def close(self) -> None:
        self.connection.close()


class Pika(Client):
    def __init__(self, url: str, confirm: bool) -> None:
        import pika

        self.pika: Any = pika
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        if confirm:
            self.channel.confirm_delivery()

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.channel.basic_publish(NAME, NAME, BODY, self.pika.BasicProperties(**PROPERTIES))

    def arrived(self) -> None:
        self.channel.queue_declare(NAME, passive=True)

    def consume(self, count: int, prefetch: int) -> None:
        left = count
        self.channel.basic_qos(prefetch_count=prefetch)
        for method, _, _ in self.channel.consume(NAME, auto_ack=not prefetch):
            left -= 1
            if prefetch:
                self.channel.basic_ack(method.delivery_tag)
            if not left:
                return

    def roundtrip(self, count: int) -> None:
        messages = self.channel.consume(NAME, auto_ack=True, inactivity_timeout=10)
        for _ in range(count):
            self.publish(1)
            next(messages)

    def close(self) -> None:
        self.connection.close()


class AmqpStorm(Client):
    def __init__(self, url: str, confirm: bool) -> None:
        import amqpstorm

        self.connection = amqpstorm.UriConnection(url)
        self.channel = self.connection.channel()
        if confirm:
            self.channel.confirm_deliveries()

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.channel.basic.publish(BODY, NAME, NAME, properties=dict(PROPERTIES))

    def arrived(self) -> None:
        self.channel.queue.declare(NAME, passive=True)

    def consume(self, count: int, prefetch: int) -> None:
        left = count

        def on_message(message: Any) -> None:
            nonlocal left
            left -= 1
            if prefetch:
                message.ack()

        self.channel.basic.qos(prefetch)
        self.channel.basic.consume(on_message, NAME, no_ack=not prefetch)
        while left > 0:
            self.channel.process_data_events(auto_decode=False)

    def roundtrip(self, count: int) -> None:
        got: list[Any] = []
        self.channel.basic.consume(got.append, NAME, no_ack=True)
        for number in range(1, count + 1):
            self.publish(1)
            while len(got) < number:
                self.channel.process_data_events(auto_decode=False)

    def close(self) -> None:
        self.connection.close()


class AioPika(Client):
    def __init__(self, url: str, confirm: bool) -> None:
        import aio_pika

        async def connect() -> None:
            self.connection = await aio_pika.connect(url)
            self.channel = await self.connection.channel(publisher_confirms=confirm)
            self.exchange = await self.channel.get_exchange(NAME)
            self.queue = await self.channel.get_queue(NAME)

        self.message = lambda: aio_pika.Message(BODY, **PROPERTIES)
        self.loop = asyncio.new_event_loop()
        self.run = self.loop.run_until_complete
        self.run(connect())

    async def _publish(self) -> None:
        await self.exchange.publish(self.message(), NAME)

    def publish(self, count: int) -> None:
        async def one_by_one() -> None:
            for _ in range(count):
                await self._publish()

        self.run(one_by_one())

    def confirm(self, count: int) -> None:
        async def together() -> None:
            for _ in range(count // GATHERED):
                await asyncio.gather(*(self._publish() for _ in range(GATHERED)))

        self.run(together())

    def arrived(self) -> None:
        self.run(self.channel.declare_queue(NAME, passive=True))

    def consume(self, count: int, prefetch: int) -> None:
        left = count
        done = asyncio.Event()

        async def on_message(message: Any) -> None:
            nonlocal left
            left -= 1
            if prefetch:
                await message.ack()
            if not left:
                done.set()

        async def receive() -> None:
            await self.channel.set_qos(prefetch)
            await self.queue.consume(on_message, no_ack=not prefetch)
            await done.wait()

        self.run(receive())

    def roundtrip(self, count: int) -> None:
        got: asyncio.Queue[Any] = asyncio.Queue()

        async def there_and_back() -> None:
            await self.queue.consume(got.put, no_ack=True)
            for _ in range(count):
                await self._publish()
                await got.get()

        self.run(there_and_back())

    def close(self) -> None:
        self.run(self.connection.close())


CLIENTS = {
    "kombu": (Kombu, "kombu-core"),
    "kombu-5.7": (Kombu, "kombu"),
    "py-amqp": (PyAmqp, "amqp"),
    "pika": (Pika, "pika"),
    "amqpstorm": (AmqpStorm, "amqpstorm"),
    "aio-pika": (AioPika, "aio-pika"),
}


def measure(name: str, job: str, count: int, url: str) -> dict[str, Any]:
    """CPU and wall seconds for each message."""
    kind, distribution = CLIENTS[name]
    client = kind(url, job == "confirm")
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    if job.startswith("consume_") or job == "no_ack":
        client.consume(count, int(job.removeprefix("consume_")) if job != "no_ack" else 0)
    else:
        getattr(client, job)(count)
        client.arrived()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    client.close()
    return {"version": version(distribution), "cpu": cpu / count, "wall": wall / count}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
