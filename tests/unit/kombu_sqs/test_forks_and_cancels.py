"""A fork at a bad moment, and consumers that are cancelled while their queues are asked."""

from __future__ import annotations

import subprocess
import sys
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu import Exchange, Queue
from kombu.utils.deadline import deadline_scope
from tests.support.sqs import Endpoint
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    import pytest

    from tests.support.sqs_proxy import HttpProxy

#: A program that forks while another thread has every lock that connections of a process share.
FORKING = """
import os, signal, sys
from threading import Event, Thread
from kombu import Connection
from kombu_sqs import broker, clients
url, name = sys.argv[1:]
connection = Connection(url)
connection.Producer().publish("from the parent", routing_key=name)
shared = next(iter(broker._brokers.values()))
held, done = Event(), Event()

def hold():
    with clients.sessions.lock, broker._registry_lock, shared.lock:
        held.set()
        done.wait()

Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    connection.Producer().publish("from the child", routing_key=name)
    with Connection(url) as another:
        another.Producer().publish("from another connection", routing_key=name)
    os._exit(0)
status = os.waitpid(child, 0)[1]
done.set()
assert status == 0, status
"""


def test_a_child_does_not_inherit_locks(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    command = [sys.executable, "-c", FORKING, sqs_endpoint.url, sqs_name]
    subprocess.run(command, check=True, timeout=120)
    assert sqs_endpoint.ready(queue) == 3


def test_cancelling_waits_for_nothing(sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
    # Given: consumers of several queues, each asked with a receive that takes long
    names = [f"{sqs_name}-{number}" for number in range(5)]
    for name in names:
        sqs_endpoint.create(name)
    go_on = Event()
    sqs_proxy.rule = lambda action, number: (
        None if action != "ReceiveMessage" or go_on.wait(30) else "not reached"
    )
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        inboxes = [Inbox(connection, name) for name in names]
        until(lambda: sqs_proxy.count("ReceiveMessage") == 5, "all are asked", connection)
        # When
        started = monotonic()
        for inbox in inboxes:
            inbox.channel.basic_cancel(inbox.tag)
        # Then
        took = monotonic() - started
        go_on.set()
        assert took < 5, "two seconds for each otherwise"


def test_a_queue_that_goes_with_its_consumer_is_no_trouble(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given: a receive waits when its queue is deleted
    sqs_proxy.rule = lambda action, number: 0.3 if action == "ReceiveMessage" else None
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        channel = connection.channel()
        queue = Queue(sqs_name, Exchange(sqs_name, "direct"), auto_delete=True, channel=channel)
        queue.declare()
        inbox = Inbox(connection, sqs_name)
        until(lambda: sqs_proxy.count("ReceiveMessage"), "it is asked", connection)
        # When
        inbox.channel.basic_cancel(inbox.tag)
    # Then
    assert sqs_proxy.count("DeleteQueue") == 1
    assert "failed" not in caplog.text


def test_a_receive_is_not_given_up_at_the_server(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: little time
    sqs_endpoint.create(sqs_name)
    with connect(Endpoint(sqs_proxy.port).url, wait_time_seconds=5) as connection:
        channel: Any = connection.channel()
        with deadline_scope(1.5):
            assert channel.basic_get(sqs_name) is None
    # Then: it does not wait there, since what came after the time was over would be lost for long
    assert [request["WaitTimeSeconds"] for request in sqs_proxy.requests("ReceiveMessage")] == [0]
