"""What 100,000 queued messages of 1 KB, each of its own text, take of the process's resident memory."""

from __future__ import annotations

import gc
import json
import os
from collections import deque
from pathlib import Path
from typing import Any

from common import BODY, main

MESSAGES = 100_000


def body(number: int) -> dict[str, Any]:
    return {**BODY, "id": f"{number:036d}"}


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def kombu() -> dict[str, Any]:
    from kombu import Connection, Exchange, Producer, Queue

    with Connection("memory://") as connection:
        channel = connection.channel()
        exchange = Exchange("bench", "direct")
        queue = Queue("bench", exchange, routing_key="bench")(channel)
        queue.declare()
        producer = Producer(channel, exchange=exchange)
        producer.publish(body(0), routing_key="bench")
        before = resident()
        for number in range(MESSAGES):
            producer.publish(body(number), routing_key="bench")
        grown = resident() - before
        assert queue.purge() == MESSAGES + 1
    return {"bytes": grown}


def floor() -> dict[str, Any]:
    queue: deque[bytes] = deque()
    queue.append(json.dumps(body(0)).encode())
    before = resident()
    for number in range(MESSAGES):
        queue.append(json.dumps(body(number)).encode())
    return {"bytes": resident() - before}


main(kombu, floor)
