"""Receiving, decoding and acknowledging 1 KB JSON messages of ``memory://``, without and with a prefetch limit."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from common import BODY, main, timed

CALLS = 5000


def kombu() -> dict[str, Any]:
    return {"unlimited": consume(None), "prefetch_100": consume(100)}


def consume(prefetch: int | None) -> dict[str, float]:
    from kombu import Connection, Consumer, Exchange, Producer, Queue

    with Connection("memory://") as connection:
        channel = connection.channel()
        exchange = Exchange("bench", "direct")
        queue = Queue("bench", exchange, routing_key="bench")
        producer = Producer(channel, exchange=exchange)

        def fill(calls: int) -> None:
            for _ in range(calls):
                producer.publish(BODY, routing_key="bench")

        def receive(body: Any, message: Any) -> None:
            message.ack()

        def drain(calls: int) -> None:
            for _ in range(calls):
                connection.drain_events(timeout=5)

        with Consumer(channel, [queue], callbacks=[receive]) as consumer:
            if prefetch is not None:
                consumer.qos(prefetch_count=prefetch)
            figures = timed(drain, CALLS, before=fill)
            assert queue(channel).queue_declare(passive=True).message_count == 0
            return figures


def floor() -> dict[str, Any]:
    queue: deque[str] = deque()

    def fill(calls: int) -> None:
        queue.extend(json.dumps(BODY) for _ in range(calls))

    def drain(calls: int) -> None:
        for _ in range(calls):
            json.loads(queue.popleft())

    figures = timed(drain, CALLS, before=fill)
    return {"unlimited": figures, "prefetch_100": figures}


main(kombu, floor)
