"""What a message costs the server does not depend on how many queues are waited for, and waiting for them is cheap.

``benchmarks/redis_cost.py`` draws it, next to Kombu 5.7.
"""

from __future__ import annotations

from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu import Connection, Queue

if TYPE_CHECKING:
    from tests.support.redis_server import RedisServer


def commands(client: Any) -> int:
    """How many commands the server has carried out, those inside scripts too, apart from INFO."""
    stats = client.info("commandstats")
    return sum(about["calls"] for name, about in stats.items() if name != "cmdstat_info")


def cost(url: str, client: Any, count: int) -> tuple[float, float]:
    """Commands for a message to one of so many queues, and for half a second of waiting for all of them."""
    got: list[Any] = []
    queues = [Queue(f"{count}-{number}") for number in range(count)]
    with Connection(url) as connection, Connection(url) as other:
        producer = other.Producer()
        with connection.Consumer(queues, on_message=lambda message: (got.append(1), message.ack())):
            drain(connection, 1)
            each = []
            for number in range(60):
                before = commands(client)
                producer.publish("x", routing_key=f"{count}-{number % count}")
                while len(got) <= number:
                    drain(connection, 5)
                each.append(commands(client) - before)
            drain(connection, 1)  # (which settles the last one)
            before, began = commands(client), monotonic()
            drain(connection, 3)
            waiting = (commands(client) - before) / (monotonic() - began) / 2
    return median(each), waiting


def drain(connection: Connection, seconds: float) -> None:
    try:
        connection.drain_events(timeout=seconds)
    except TimeoutError:
        pass


def test_more_queues_cost_no_more(redis_victim: RedisServer) -> None:
    # Given
    client = redis_victim.client()
    # When
    few, waiting_for_few = cost(redis_victim.url, client, 2)
    many, waiting_for_many = cost(redis_victim.url, client, 60)
    most, waiting_for_most = cost(redis_victim.url, client, 300)
    # Then
    assert many <= few + 2, (few, many)
    assert most <= few + 7, (few, most)  # (five to be told of it in another way)
    assert waiting_for_most <= waiting_for_few + 30, (waiting_for_few, waiting_for_most)
    assert waiting_for_many <= waiting_for_few + 10, (waiting_for_few, waiting_for_many)
