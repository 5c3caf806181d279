"""How soon a consumer that waits in ``drain_events`` has a message that another thread publishes.

Seconds from just before ``publish`` to the consumer's callback. The consumer has been waiting for some milliseconds
when the message comes.
"""

from __future__ import annotations

import statistics
from threading import Event, Semaphore, Thread
from time import perf_counter, sleep
from typing import Any

from common import main

SAMPLES = 500
#: A version that polls takes about a second for each.
ENOUGH_SECONDS = 8.0


def kombu() -> dict[str, Any]:
    from kombu import Connection, Consumer, Exchange, Producer, Queue

    queue = Queue("bench", Exchange("bench", "direct"), routing_key="bench")
    delays: list[float] = []
    ready, stop = Semaphore(0), Event()

    def receive(body: Any, message: Any) -> None:
        delays.append(perf_counter() - body["sent"])
        message.ack()
        ready.release()

    def consume() -> None:
        with Connection("memory://") as connection, connection.channel() as channel:
            with Consumer(channel, [queue], callbacks=[receive]):
                ready.release()
                while not stop.is_set():
                    connection.drain_events(timeout=30)

    consumer = Thread(target=consume)
    consumer.start()
    with Connection("memory://") as connection, connection.channel() as channel:
        producer = Producer(channel, exchange=queue.exchange)
        began = perf_counter()
        for sample in range(SAMPLES + 1):
            ready.acquire()
            if sample == SAMPLES or perf_counter() - began > ENOUGH_SECONDS:
                stop.set()
            sleep(0.005 + sample % 7 / 1000)
            producer.publish({"sent": perf_counter()}, routing_key="bench")
            if stop.is_set():
                break
        consumer.join()
    cuts = statistics.quantiles(delays[1:], n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}


main(kombu)
