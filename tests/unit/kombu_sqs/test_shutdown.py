"""A stop gives everything back: nothing stays in flight that was not finished."""

from __future__ import annotations

import signal
import subprocess
import sys
from time import sleep
from typing import TYPE_CHECKING

import pytest

from tests.support.sqs import Endpoint
from tests.support.sqs_proxy import refusal
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from tests.support.sqs_proxy import HttpProxy

#: A worker as people write them: SIGTERM ends the program, and the connection closes on the way out.
WORKER = """
import signal, sys, threading
from kombu import Connection, Consumer, Queue

def stop(*args):
    raise SystemExit

signal.signal(signal.SIGTERM, stop)
url, name, prefetch, wait, stop, closes = sys.argv[1:]
options = {"wait_time_seconds": int(wait), "stop_timeout": float(stop)}
connection = Connection(url, transport_options=options)
seen = []

def handle(body, message):
    seen.append(message)
    print(len(seen), flush=True)

consumer = Consumer(connection.channel(), [Queue(name)], callbacks=[handle], prefetch_count=int(prefetch))
consumer.consume()
print("ready", flush=True)
try:
    while True:
        connection.drain_events()
finally:
    if closes == "yes":
        connection.release()
"""


class Worker:
    def __init__(self, url: str, queue: str, wait: int = 1, stop: float = 2.0, closes: str = "yes") -> None:
        arguments = [url, queue, "5", str(wait), str(stop), closes]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.lines = self.process.stdout

    def read(self) -> str:
        line = self.lines.readline()
        assert line, "it ended"
        return line.strip()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def finish(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self.lines.close()


@pytest.mark.parametrize("closes", ["yes", "no"])
def test_after_sigterm_nothing_is_in_flight(sqs_endpoint: Endpoint, sqs_name: str, closes: str) -> None:
    # Given: a worker that holds five messages, of more, and may have fetched others
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 20)
    worker = Worker(sqs_endpoint.url, sqs_name, closes=closes)
    try:
        while worker.read() != "5":
            pass
        assert sqs_endpoint.in_flight(queue) >= 5
        # When
        worker.terminate()
        # Then: whether the program closes its connection or just ends, long before SQS would have them back
        until(lambda: sqs_endpoint.in_flight(queue) == 0, "all go back", seconds=15)
        assert sqs_endpoint.ready(queue) == 20
        worker.process.wait(30)
    finally:
        worker.finish()


@pytest.mark.parametrize(("wait", "stop", "late"), [(1, 2.0, 0.0), (2, 0.2, 0.6)])
def test_what_a_receive_in_flight_takes_goes_back(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, wait: int, stop: float, late: float
) -> None:
    # Given: a worker whose receive waits at the server, for longer than closing a connection takes or not
    queue = sqs_endpoint.create(sqs_name)
    worker = Worker(Endpoint(sqs_proxy.port).url, sqs_name, wait=wait, stop=stop)
    try:
        until(lambda: sqs_proxy.count("ReceiveMessage"), "it asks for messages")
        # When: messages come after it was told to stop
        worker.terminate()
        sleep(late)
        sqs_endpoint.fill(queue, 3)
        # Then
        until(
            lambda: sqs_endpoint.in_flight(queue) == 0 and sqs_endpoint.ready(queue) == 3,
            "all three are there for others",
            seconds=15,
        )
        worker.process.wait(30)
        assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 3)
    finally:
        worker.finish()


def test_cancelling_gives_back_what_was_fetched_ahead(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given: eight fetched, one delivered
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 8)
    with connect(sqs_endpoint.url) as connection:
        inbox = Inbox(connection, sqs_name, prefetch=8)
        connection.drain_events(timeout=30)
        assert len(inbox) == 1
        # When
        inbox.channel.basic_cancel(inbox.tag)
        # Then: what was delivered stays ours
        assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (1, 7)
        inbox[0].ack()
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 7)


def test_what_nobody_has_room_for_goes_to_others(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given: one message at a time for the whole channel, from two queues that are asked at once
    queues = [sqs_endpoint.create(f"{sqs_name}-{number}") for number in range(2)]
    with connect(sqs_endpoint.url, wait_time_seconds=1) as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, True)
        seen: list[object] = []
        for number in range(2):
            channel.basic_consume(f"{sqs_name}-{number}", callback=seen.append)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        for queue in queues:
            sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody="work")
        connection.drain_events(timeout=30)
        # When: the one is being worked on for long
        until(lambda: sum(map(sqs_endpoint.in_flight, queues)) == 1, "the other goes back")
        # Then
        assert len(seen) == 1
        assert sum(map(sqs_endpoint.ready, queues)) == 1


#: A program that ends with several connections open, all but one of which cannot be closed.
LEAVING = """
import sys
from kombu import Connection, Queue
good, bad, name = sys.argv[1:]
connections = [Connection(url) for url in (bad, bad, good, bad)]
seen = []
for number, connection in enumerate(connections):
    channel = connection.channel()
    if number == 2:
        channel.basic_consume(name, callback=seen.append)
        while not seen:
            connection.drain_events()
    else:
        Queue(f"{name}-{number}", auto_delete=True, channel=channel).declare()
        channel.basic_consume(f"{name}-{number}", callback=seen.append)
"""


def test_connections_that_cannot_be_closed_do_not_keep_others_open(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody="held at the end")
    sqs_proxy.rule = lambda action, number: refusal("InvalidAction", 400) if action == "DeleteQueue" else None
    # When
    command = [sys.executable, "-c", LEAVING, sqs_endpoint.url, Endpoint(sqs_proxy.port).url, sqs_name]
    subprocess.run(command, timeout=120, check=True)
    # Then
    assert sqs_proxy.count("DeleteQueue") == 3
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 1)
