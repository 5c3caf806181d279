"""Thread rules: one thread at a time, or a clear error; acknowledging from anywhere."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import pytest

from kombu import Connection
from kombu_amqp import ChannelInUse, ConnectionInUse
from kombu_amqp.errors import ConnectionLost
from tests.support.proxy import Proxy


def drain(connection: Connection) -> None:
    """Until nothing has come for a second."""
    try:
        while True:
            connection.drain_events(timeout=1)
    except TimeoutError:
        pass


def until_it_waits(channel: Any, future: Future[Any]) -> None:
    """Until the thread waits for an answer; what it raised instead is raised here."""
    while not channel.connection.waiting:
        if future.done():
            future.result()
        Event().wait(0.001)


def test_a_channel_used_by_two_threads(proxy: Proxy) -> None:
    # Given: a thread that waits on a channel for an answer
    with Connection(proxy.url) as connection, ThreadPoolExecutor(1) as pool:
        channel = connection.channel()
        channel.queue_declare("threads", exclusive=True)
        proxy.fail("pause")
        waiting = pool.submit(channel.queue_declare, "threads", passive=True)
        until_it_waits(channel, waiting)
        # When, Then
        with pytest.raises(ChannelInUse, match="another thread"):
            channel.basic_publish(channel.prepare_message(b"x"), routing_key="threads")
        with pytest.raises(ChannelInUse, match="another thread"):
            channel.queue_declare("threads", passive=True)
        with pytest.raises(ConnectionInUse, match="another thread"):
            connection.drain_events(timeout=1)
        proxy.heal()
        # and nothing is broken
        assert waiting.result(30).queue == "threads"
        channel.basic_publish(channel.prepare_message(b"x"), routing_key="threads")
        assert channel.basic_get("threads", no_ack=True).body == b"x"


def test_the_prefetch_count_may_be_set_while_another_thread_waits(proxy: Proxy) -> None:
    """As by a Celery worker with threads that has lost its connection."""
    with Connection(proxy.url) as connection, ThreadPoolExecutor(1) as pool:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True, auto_delete=False).queue
        # Given: a thread that waits for an answer, Then another for messages
        proxy.fail("pause")
        waiting = pool.submit(channel.queue_declare, queue, passive=True)
        until_it_waits(channel, waiting)
        channel.basic_qos(0, 5, False)
        proxy.heal()
        assert waiting.result(30).queue == queue
        draining = pool.submit(drain, connection)
        while channel.connection.may_read():
            assert not draining.done()
            Event().wait(0.001)
        # When
        channel.basic_qos(0, 2, False)
        # Then: it counts, and no answer is taken for another's
        got: list[object] = []
        channel.basic_consume(queue, nowait=True, callback=got.append)
        for _ in range(4):
            channel.basic_publish(channel.prepare_message(b"x"), routing_key=queue)
        draining.result(60)
        channel.basic_qos(0, 3, False)
        assert len(got) == 2


def test_closing_while_another_thread_waits(amqp_url: str) -> None:
    # Given: a thread that waits for messages, for as long as it takes
    connection = Connection(amqp_url).connect()

    def wait() -> None:
        while True:
            try:
                return connection.drain_events(timeout=60)
            except ConnectionInUse:  # (the test has looked in that moment)
                pass

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        with pytest.raises(ConnectionInUse):
            while True:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0)
        # When: it is closed, Then: who waits is told, and not who closes
        connection.close()
        with pytest.raises(ConnectionLost, match="was closed while a thread waited"):
            waiting.result(30)


def test_acknowledging_from_another_thread(amqp_url: str) -> None:
    with Connection(amqp_url) as connection, ThreadPoolExecutor(4) as pool:
        # Given
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True, auto_delete=False).queue
        channel.basic_qos(0, 10, False)
        acks = []

        def callback(raw: object) -> None:
            acks.append(pool.submit(channel.message_to_python(raw).ack))

        channel.basic_consume(queue, callback=callback)
        for _ in range(200):
            channel.basic_publish(channel.prepare_message(b"x" * 1000), routing_key=queue)
        # When
        while len(acks) < 200:
            connection.drain_events(timeout=5)
        for ack in acks:
            ack.result(30)
        # Then
        channel.close()
        with connection.channel() as other:
            assert other.queue_declare(queue, passive=True).message_count == 0
