"""Publishing to a topic exchange with 10 and with 10,000 bindings; one routing key, and one that is always new.

The body is bytes, so that what is compared is the routing.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from common import main, timed

QUEUES = 100


def kombu() -> dict[str, Any]:
    return {name: figures for bindings in (10, 10_000) for name, figures in topic(bindings).items()}


def topic(bindings: int) -> dict[str, Any]:
    from kombu import Connection, Exchange, Producer, Queue

    name = f"bench{bindings}"
    exchange = Exchange(name, "topic")
    with Connection("memory://") as connection:
        channel = connection.channel()
        queues = [Queue(f"{name}.{number}", exchange, "unused.key")(channel) for number in range(QUEUES)]
        for queue in queues:
            queue.declare()
        for number in range(bindings):
            queues[number % QUEUES].bind_to(name, f"region{number}.*.sold")
        producer = Producer(channel)
        region = f"region{bindings // 2}"
        target = queues[bindings // 2 % QUEUES]
        cities = count()

        def same(calls: int) -> None:
            for _ in range(calls):
                publish(
                    b"sold", exchange=name, routing_key=key, content_type=binary, content_encoding="binary"
                )

        def new(calls: int) -> None:
            for _ in range(calls):
                fresh = f"{region}.city{next(cities)}.sold"
                publish(
                    b"sold", exchange=name, routing_key=fresh, content_type=binary, content_encoding="binary"
                )

        publish, key, binary = producer.publish, f"{region}.berlin.sold", "application/octet-stream"
        same(1)
        assert target.purge() == 1
        return {
            f"same_key_{bindings}": timed(same, after=target.purge),
            f"new_keys_{bindings}": timed(new, after=target.purge),
        }


main(kombu)
