"""What :mod:`redis_cost` measures: consumers that wait, and messages for them, one by one. Runs under Kombu 5.7 too.

    python redis_cost_peer.py '{"url": ..., "options": {}, "queues": 1, "consumers": 1, "fanout": false}'

Each consumer is a connection with a thread. It says "ready" when all consume; each line "N" on standard input has it
publish N messages, each when the one before is settled, and say "done"; with "N at once" it does not wait in between.
A fanout is one queue for each consumer.
"""

from __future__ import annotations

import json
import sys
from queue import SimpleQueue
from threading import Thread
from time import sleep

from kombu import Connection, Consumer, Exchange, Queue

TASKS = Exchange("tasks", "direct")
NEWS = Exchange("news", "fanout")


def consume(about, queues, settled, ready):
    connection = Connection(about["url"], transport_options=about["options"])

    def receive(message):
        message.ack()
        settled.put(message.delivery_tag)

    consumer = Consumer(connection.channel(), queues, on_message=receive, prefetch_count=10)
    consumer.consume()
    ready.put(True)
    while True:
        try:
            connection.drain_events(timeout=5)
        except TimeoutError:
            pass


def main():
    about = json.loads(sys.argv[1])
    settled, ready = SimpleQueue(), SimpleQueue()
    tasks = [Queue(f"queue{number}", TASKS, f"key{number}") for number in range(about["queues"])]
    for number in range(about["consumers"]):
        queues = [Queue(f"inbox{number}", NEWS)] if about["fanout"] else tasks
        Thread(target=consume, args=(about, queues, settled, ready), daemon=True).start()
        ready.get()
    exchange, each = (NEWS, about["consumers"]) if about["fanout"] else (TASKS, 1)
    with Connection(about["url"], transport_options=about["options"]) as connection:
        producer = connection.Producer(exchange=exchange)
        sleep(2)  # (Kombu 5.7 subscribes while it drains)
        print("ready", flush=True)
        for line in sys.stdin:
            count, at_once = int(line.split()[0]), "at once" in line
            for number in range(count):
                key = "" if about["fanout"] else f"key{number % about['queues']}"
                producer.publish("x" * 1000, routing_key=key)
                for _ in range(0 if at_once else each):
                    settled.get()
            for _ in range(each * count if at_once else 0):
                settled.get()
            print("done", flush=True)


main()
