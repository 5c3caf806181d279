"""Publishing a 1 KB dictionary as JSON to a queue bound to a named direct exchange of ``memory://``."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from common import BODY, main, timed

CALLS = 5000


def kombu() -> dict[str, Any]:
    from kombu import Connection, Exchange, Producer, Queue

    with Connection("memory://") as connection:
        channel = connection.channel()
        exchange = Exchange("bench", "direct")
        queue = Queue("bench", exchange, routing_key="bench")(channel)
        queue.declare()
        producer = Producer(channel, exchange=exchange)

        def publish(calls: int) -> None:
            for _ in range(calls):
                producer.publish(BODY, routing_key="bench")

        return timed(publish, CALLS, after=queue.purge)


def floor() -> dict[str, Any]:
    queue: deque[str] = deque()

    def publish(calls: int) -> None:
        for _ in range(calls):
            queue.append(json.dumps(BODY))

    return timed(publish, CALLS, after=queue.clear)


main(kombu, floor)
