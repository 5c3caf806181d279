"""kombu on RabbitMQ against the other Python clients: CPU and wall time of the client, message by message.

    python benchmarks/amqp_clients.py [amqp://...] [--python NAME=INTERPRETER ...] [--messages N] [--rounds N]

Clients: ``kombu`` (whatever version its interpreter has), ``py-amqp``, ``pika``, ``amqpstorm``, ``aio-pika``. Each is
measured by the interpreter given for it, so that versions can be compared in one run, such as
``--python kombu=.venv/bin/python --python kombu-5.7=/venvs/old/bin/python --python pika=/venvs/peers/bin/python``.
Each measurement is a process of its own and the clients take turns; the figures are medians. 1 KB bodies, a named
exchange, persistent messages; ``confirm`` waits for each message, ``confirms`` for many at once, where a client can.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

SCENARIOS = ("publish", "consume100", "consume1", "no_ack", "roundtrip", "confirm", "confirms")
NAME = "kombu.bench.clients"
BODY = b'{"text": "%s"}' % (b"x" * 1000)
PROPERTIES = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2}
BATCH = 100


class Client:
    """One client; a method for each scenario, or None where it cannot do that."""

    confirms: Any = None

    def __init__(self, url: str, confirm: bool) -> None:
        raise NotImplementedError


class Kombu(Client):
    def __init__(self, url: str, confirm: bool) -> None:
        from kombu import Connection, Exchange, Producer, Queue

        self.connection = Connection(url, transport_options={"confirm_publish": confirm})
        self.channel = self.connection.channel()
        exchange = Exchange(NAME, durable=True)
        self.queue = Queue(NAME, exchange, NAME)(self.channel)
        self.producer = Producer(self.channel, exchange=exchange, routing_key=NAME, auto_declare=False)
        if hasattr(self.producer, "batch"):
            self.confirms = self._confirms

    def publish(self, count: int) -> None:
        publish = self.producer.publish
        for _ in range(count):
            publish(BODY, content_type="application/json", content_encoding="utf-8")

    def _confirms(self, count: int) -> None:
        for _ in range(count // BATCH):
            with self.producer.batch(BATCH):
                self.publish(BATCH)

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
            self.channel.process_data_events()

    def roundtrip(self, count: int) -> None:
        got: list[Any] = []
        self.channel.basic.consume(got.append, NAME, no_ack=True)
        for number in range(1, count + 1):
            self.publish(1)
            while len(got) < number:
                self.channel.process_data_events()

    def close(self) -> None:
        self.connection.close()


class AioPika(Client):
    """Publishing only: fifty at a time for ``confirms``, as its documentation advises."""

    consume: Any = None
    roundtrip: Any = None

    def __init__(self, url: str, confirm: bool) -> None:
        import aio_pika

        async def connect() -> tuple[Any, Any]:
            connection = await aio_pika.connect(url)
            channel = await connection.channel(publisher_confirms=confirm)
            return connection, await channel.get_exchange(NAME)

        self.loop = asyncio.new_event_loop()
        self.connection, self.exchange = self.loop.run_until_complete(connect())
        self.message = lambda: aio_pika.Message(BODY, **PROPERTIES)

    def publish(self, count: int) -> None:
        async def one_by_one() -> None:
            for _ in range(count):
                await self.exchange.publish(self.message(), NAME)

        self.loop.run_until_complete(one_by_one())

    def confirms(self, count: int) -> None:
        async def together() -> None:
            for _ in range(count // 50):
                await asyncio.gather(*(self.exchange.publish(self.message(), NAME) for _ in range(50)))

        self.loop.run_until_complete(together())

    def close(self) -> None:
        self.loop.run_until_complete(self.connection.close())


CLIENTS = {"kombu": Kombu, "py-amqp": PyAmqp, "pika": Pika, "amqpstorm": AmqpStorm, "aio-pika": AioPika}


def client_of(name: str) -> type[Any]:
    return CLIENTS[name] if name in CLIENTS else CLIENTS[name.rsplit("-", 1)[0]]


def measure(name: str, scenario: str, url: str, count: int) -> None:
    """One measurement, in the broker as ``prepare`` left it."""
    client = client_of(name)(url, scenario.startswith("confirm"))
    consuming = scenario.startswith(("consume", "no_ack"))
    work = getattr(client, {"confirm": "publish"}.get(scenario, "consume" if consuming else scenario))
    if work is None:
        print(json.dumps(None))
        client.close()
        return
    arguments = (count, int(scenario[7:] or 0) if scenario != "no_ack" else 0) if consuming else (count,)
    wall, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu / count * 1e6, "rate": count / wall}))
    client.close()


def prepare(channel: Any, messages: int) -> None:
    """An exchange with one queue of so many messages."""
    import amqp

    channel.queue_delete(NAME)
    channel.exchange_declare(NAME, "direct", durable=True, auto_delete=False)
    channel.queue_declare(NAME, durable=True, auto_delete=False)
    channel.queue_bind(NAME, NAME, NAME)
    for _ in range(messages):
        channel.basic_publish(amqp.Message(BODY, **PROPERTIES), exchange=NAME, routing_key=NAME)
    while channel.queue_declare(NAME, passive=True).message_count < messages:
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url", nargs="?", default="amqp://guest:guest@127.0.0.1:5672/%2F")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=INTERPRETER")
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=SCENARIOS)
    parser.add_argument("--measure", nargs=2, metavar=("CLIENT", "SCENARIO"))
    args = parser.parse_args()
    if args.measure:
        measure(*args.measure, args.url, args.messages)
        return
    pythons = dict(choice.split("=", 1) for choice in args.python)
    pythons = pythons or {"kombu": sys.executable, "py-amqp": sys.executable}
    helper = PyAmqp(args.url, False)
    print("CPU us a message, messages a second")
    print(f"{'':12}" + "".join(f"{name:>20}" for name in pythons))
    for scenario in args.only:
        count = args.messages // 10 if scenario in ("roundtrip", "confirm") else args.messages
        results: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
        for _ in range(args.rounds):
            for name, python in pythons.items():
                prepare(helper.channel, count if scenario.startswith(("consume", "no_ack")) else 0)
                command = [python, __file__, args.url, "--messages", str(count), "--measure", name, scenario]
                out = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300).stdout)
                if out:
                    results[name].append(out)
        cells = (
            f"{statistics.median(r['cpu'] for r in runs):10.1f}{statistics.median(r['rate'] for r in runs):10.0f}"
            if runs else f"{'-':>20}"
            for runs in results.values()
        )  # fmt: skip
        print(f"{scenario:12}" + "".join(cells), flush=True)
    helper.channel.queue_delete(NAME)
    helper.channel.exchange_delete(NAME)
    helper.close()


if __name__ == "__main__":
    main()
