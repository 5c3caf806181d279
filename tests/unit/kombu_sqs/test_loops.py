"""Working in an event loop, after a fork, and from several threads."""

from __future__ import annotations

import subprocess
import sys
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Queue
from kombu.asynchronous import Hub
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sqs import Endpoint


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


def run(hub: Hub, happened: Any, seconds: float = 10.0) -> None:
    loop = hub.create_loop()
    hub.call_repeatedly(0.05, lambda: None)
    deadline = monotonic() + seconds
    while not happened():
        assert monotonic() < deadline, "did not happen in the loop"
        next(loop)


class TestEventLoop:
    def test_more_than_one_turn_takes(self, sqs_endpoint: Endpoint, sqs_name: str, hub: Hub) -> None:
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.fill(queue, 25)
        with connect(sqs_endpoint.url) as connection:
            connection.register_with_event_loop(hub)
            inbox = Inbox(connection, sqs_name, prefetch=0)
            run(hub, lambda: len(inbox) == 25)
            connection.transport.unregister_from_event_loop(connection.connection, hub)

    def test_room_that_is_made_later_is_noticed(
        self, sqs_endpoint: Endpoint, sqs_name: str, hub: Hub
    ) -> None:
        # Given: a worker with room for two, which acknowledges from another thread when it is done
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.fill(queue, 4)
        with connect(sqs_endpoint.url) as connection:
            inbox = Inbox(connection, sqs_name, prefetch=2)
            connection.register_with_event_loop(hub)
            run(hub, lambda: len(inbox) == 2)
            # When
            finishing = Thread(target=lambda: [message.ack() for message in list(inbox)])
            finishing.start()
            # Then
            run(hub, lambda: len(inbox) == 4)
            finishing.join(60)

    def test_a_consumer_that_starts_later_is_served(
        self, sqs_endpoint: Endpoint, sqs_name: str, hub: Hub
    ) -> None:
        queue = sqs_endpoint.create(sqs_name)
        sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody="hello")
        with connect(sqs_endpoint.url) as connection:
            connection.register_with_event_loop(hub)
            inboxes: list[Inbox] = []
            hub.call_later(0.1, lambda: inboxes.append(Inbox(connection, sqs_name)))
            run(hub, lambda: inboxes and len(inboxes[0]) == 1)

    def test_closing_leaves_nothing_in_the_loop(
        self, sqs_endpoint: Endpoint, sqs_name: str, hub: Hub
    ) -> None:
        # Given
        sqs_endpoint.create(sqs_name)
        connection = connect(sqs_endpoint.url)
        transport, link = connection.transport, connection.connection
        connection.register_with_event_loop(hub)
        assert len(hub.readers) == 1
        # When
        connection.release()
        # Then: its descriptor may be somebody else's by now
        assert len(hub.readers) == 0
        transport.unregister_from_event_loop(link, hub)


#: A program that forks while it consumes: the child connects anew, and gives back nothing that its parent holds.
FORKING = """
import os, sys
from kombu import Connection, Queue
url, name = sys.argv[1:]
connection = Connection(url, transport_options={"wait_time_seconds": 1})
channel = connection.channel()
seen = []
channel.basic_consume(name, callback=seen.append)
while not seen:
    connection.drain_events()
child = os.fork()
if child == 0:
    connection.Producer().publish("from the child", routing_key=name + "-other")
    connection.release()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
seen[0].ack()
connection.release()
"""


def test_a_forked_child(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given
    queue, other = sqs_endpoint.create(sqs_name), sqs_endpoint.create(f"{sqs_name}-other")
    sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody="held by the parent")
    # When
    command = [sys.executable, "-c", FORKING, sqs_endpoint.url, sqs_name]
    subprocess.run(command, check=True, timeout=120)
    # Then
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)
    assert sqs_endpoint.ready(other) == 1


def test_settling_from_other_threads(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 30)
    with connect(sqs_endpoint.url, batch_deletes=True) as connection:
        inbox = Inbox(connection, sqs_name, prefetch=5)
        done: list[Any] = []
        threads = []
        # When: each message is acknowledged by a thread of its own, which makes room for the next
        while len(done) < 30:
            until(lambda: len(inbox) > len(done), "the next comes", connection)
            message = inbox[len(done)]
            done.append(message)
            threads.append(Thread(target=message.ack))
            threads[-1].start()
        for thread in threads:
            thread.join(60)
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)


def test_a_queue_that_is_deleted_elsewhere_cancels_its_consumers(
    sqs_endpoint: Endpoint, sqs_name: str
) -> None:
    # Given
    queue = sqs_endpoint.create(sqs_name)
    with connect(sqs_endpoint.url) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
        cancelled: list[str] = []
        connection.channel().basic_consume(
            sqs_name, callback=print, consumer_tag="tag", on_cancel=cancelled.append
        )
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        # When
        sqs_endpoint.client().delete_queue(QueueUrl=queue)
        # Then
        until(lambda: cancelled == ["tag"], "the consumer is told", connection)
