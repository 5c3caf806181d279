"""A child of fork() gets connections of its own, and leaves its parent's alone."""

from __future__ import annotations

import os
import sys
import traceback
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.pools import producers
from kombu.pools import reset as reset_pools
from tests.redis.wire import delivered, ready, snapshot, until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_child(work: Callable[[], Any]) -> None:
    """Run ``work`` in a child, which has to end well; it ends as a process does, with what runs at exit left out."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_publishes_by_the_same_connection(redis_url: str, redis_client: Any) -> None:
    # Given
    queue = Queue("q", Exchange("x"), "k")
    with Connection(redis_url) as connection, connection.Producer(exchange=queue.exchange) as producer:
        producer.publish(0, routing_key="k", declare=[queue])

        # When
        def work() -> None:
            for number in range(1, 11):
                producer.publish(number, routing_key="k", declare=[queue], retry=True, timeout=5)

        in_child(work)
        for number in range(11, 21):
            producer.publish(number, routing_key="k")
    # Then
    assert ready(redis_client, "q") == list(range(21))


def test_pools_after_a_fork(redis_url: str, redis_client: Any) -> None:
    connection = Connection(redis_url)

    def publish(body: Any) -> None:
        with producers[connection].acquire(block=True, timeout=5) as producer:
            producer.publish(body, routing_key="q", declare=[Queue("q")], retry=True, timeout=5)

    try:
        publish(0)
        in_child(lambda: publish(1))
        publish(2)
    finally:
        reset_pools()
    assert ready(redis_client, "q") == [0, 1, 2]


def test_what_the_parent_holds_stays_its_own(redis_url: str, redis_client: Any) -> None:
    # Given: a consumer with leases of a second holds three of six
    got: list[Any] = []
    with Connection(redis_url, transport_options={"lease": 1}) as connection:
        for number in range(6):
            connection.Producer().publish(number, routing_key="q", declare=[Queue("q")])
        consumer = connection.Consumer([Queue("q")], on_message=got.append, prefetch_count=3)
        consumer.consume()
        while len(got) < 3:
            connection.drain_events(timeout=5)

        # When: children close what they inherited, or let it be collected
        channel, transport = consumer.channel, connection.transport
        for end in (connection.release, channel.close, lambda: transport.close_connection(transport), lambda: None):
            in_child(end)
        sleep(1.5)
        # Then
        bodies = [message.payload for message in got]
        assert (bodies, sorted(delivered(redis_client)), ready(redis_client, "q")) == ([0, 1, 2], [0, 1, 2], [3, 4, 5])
        for message in got[:3]:
            message.ack()
        while len(got) < 6:
            connection.drain_events(timeout=5)
        for message in got[3:]:
            message.ack()
        consumer.cancel()
    assert [message.payload for message in got] == list(range(6))
    until(lambda: snapshot(redis_client, "q") == ([], []), 30, "all is acknowledged")


def test_a_child_consumes_by_the_same_connection(redis_url: str, redis_client: Any) -> None:
    with Connection(redis_url, transport_options={"lease": 1}) as connection:
        producer = connection.Producer()
        producer.publish("parent's", routing_key="q", declare=[Queue("q")])
        held = Queue("q")(connection.default_channel).get()
        producer.publish("child's", routing_key="q")

        def work() -> None:
            with connection.clone() as own:
                message = Queue("q")(own.default_channel).get()
                assert message.payload == "child's", message.payload
                message.ack()

        in_child(work)
        sleep(1.2)
        assert delivered(redis_client) == ["parent's"]
        held.ack()
    until(lambda: snapshot(redis_client, "q") == ([], []), 30, "all is acknowledged")
