"""The wire of kombu-amqp against plain py-amqp: CPU and wall time of the client, message by message.

    python benchmarks/amqp_wire.py [amqp://...] [--messages N] [--rounds N]

Each measurement is a process of its own, and the two take turns; the figures are medians. 1 KB JSON bodies, a named
exchange, persistent messages.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.parse import unquote, urlsplit

DRIVERS = ("py-amqp", "wire")
SCENARIOS = ("publish", "publish_ids", "publish_many", "consume100", "consume1", "no_ack", "roundtrip")
NAME = "kombu.bench.wire"
BODY = json.dumps({"id": 1, "name": "x" * 200, "values": list(range(150)), "text": "y" * 100}).encode()


def connect(driver: str, url: str) -> Any:
    import amqp

    parts = urlsplit(url)
    options = {
        "userid": unquote(parts.username or "guest"),
        "password": unquote(parts.password or "guest"),
        "virtual_host": unquote(parts.path[1:]) or "/",
    }
    cls: Any = amqp.Connection
    if driver == "wire":
        from amqp_driver import WireConnection

        cls = WireConnection
    connection = cls(f"{parts.hostname}:{parts.port or 5672}", **options)
    connection.connect()
    return connection


def make_message(unique: int = 0) -> Any:
    import amqp

    properties: dict[str, Any] = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "application_headers": {},
        "delivery_mode": 2,
        "priority": 0,
    }
    if unique:
        properties |= {
            "correlation_id": f"id-{unique}",
            "application_headers": {"id": f"id-{unique}", "task": "tasks.add", "retries": 0, "origin": "gen@host"},
        }
    return amqp.Message(BODY, **properties)


def publish(channel: Any, count: int, unique: bool = False) -> None:
    basic_publish = channel.basic_publish
    for number in range(1, count + 1):
        basic_publish(make_message(number if unique else 0), exchange=NAME, routing_key=NAME)


def publish_many(channel: Any, count: int) -> None:
    if not hasattr(channel.connection, "wire"):
        return publish(channel, count)
    for _ in range(count // 100):
        messages = (make_message() for _ in range(100))
        channel.connection.wire.publish_many(
            channel.channel_id, ((NAME, NAME, False, False, m.properties, m.body) for m in messages)
        )


def consume(channel: Any, count: int, prefetch: int) -> None:
    left = count

    def on_message(message: Any) -> None:
        nonlocal left
        left -= 1
        if prefetch:
            channel.basic_ack(message.delivery_info["delivery_tag"])

    if prefetch:
        channel.basic_qos(0, prefetch, False)
    tag = channel.basic_consume(NAME, callback=on_message, no_ack=not prefetch)
    drain = channel.connection.drain_events
    while left > 0:
        drain(timeout=10)
    channel.basic_cancel(tag)


def roundtrip(channel: Any, count: int) -> None:
    got: list[Any] = []
    tag = channel.basic_consume(NAME, callback=got.append, no_ack=True)
    drain = channel.connection.drain_events
    for number in range(1, count + 1):
        channel.basic_publish(make_message(), exchange=NAME, routing_key=NAME)
        while len(got) < number:
            drain(timeout=10)
    channel.basic_cancel(tag)


def measure(driver: str, scenario: str, url: str, count: int) -> None:
    connection = connect(driver, url)
    channel = connection.channel()
    channel.exchange_declare(NAME, "direct", durable=True, auto_delete=False)
    channel.queue_declare(NAME, durable=True, auto_delete=False)
    channel.queue_bind(NAME, NAME, NAME)
    channel.queue_purge(NAME)
    if scenario in ("consume100", "consume1", "no_ack"):
        publish(channel, count)
        while channel.queue_declare(NAME, passive=True).message_count < count:
            time.sleep(0.05)
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    if scenario.startswith("consume"):
        consume(channel, count, int(scenario[7:]))
    elif scenario == "no_ack":
        consume(channel, count, 0)
    elif scenario == "roundtrip":
        roundtrip(channel, count)
    elif scenario == "publish_many":
        publish_many(channel, count)
    else:
        publish(channel, count, unique=scenario == "publish_ids")
    channel.queue_declare(NAME, passive=True)  # (everything has arrived)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    channel.queue_delete(NAME)
    connection.close()
    print(json.dumps({"cpu": cpu / count * 1e6, "rate": count / wall}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url", nargs="?", default="amqp://guest:guest@127.0.0.1:5672//")
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=SCENARIOS)
    parser.add_argument("--measure", nargs=2, metavar=("DRIVER", "SCENARIO"))
    args = parser.parse_args()
    if args.measure:
        measure(*args.measure, args.url, args.messages)
        return
    print(f"{'':14}{'':10}{'CPU us':>8}{'msgs/s':>9}")
    for scenario in args.only:
        count = args.messages // 5 if scenario == "roundtrip" else args.messages
        results: dict[str, list[dict[str, float]]] = {driver: [] for driver in DRIVERS}
        for _ in range(args.rounds):
            for driver in DRIVERS:
                command = [sys.executable, __file__, args.url, "--messages", str(count), "--measure", driver, scenario]
                results[driver].append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
        medians = {
            driver: {key: statistics.median(r[key] for r in runs) for key in ("cpu", "rate")}
            for driver, runs in results.items()
        }
        for driver, figures in medians.items():
            print(f"{scenario:14}{driver:10}{figures['cpu']:8.1f}{figures['rate']:9.0f}")
        old, new = (medians[driver] for driver in DRIVERS)
        print(f"{'':14}CPU {old['cpu'] / new['cpu']:.1f}x less, rate {new['rate'] / old['rate']:.2f}x", flush=True)


if __name__ == "__main__":
    main()
