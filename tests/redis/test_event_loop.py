"""In an event loop: it delivers without starving the rest, from whatever thread room appears."""

from __future__ import annotations

from threading import Timer
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub
from tests.support.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def publish(url: str, *bodies: Any) -> None:
    with Connection(url) as connection:
        producer = connection.Producer()
        for body in bodies:
            producer.publish(body, routing_key="q", declare=[Queue("q")], retry=False)


def test_an_acknowledgement_of_another_thread_makes_room_at_once(redis_url: str, hub: Hub) -> None:
    # Given: a consumer of one at a time, and nothing else that wakes the loop
    publish(redis_url, *range(10))
    got: list[Any] = []

    def settle(message: Any) -> None:
        got.append(message.payload)
        Timer(0.05, message.ack).start()  # when the loop sleeps

    with Connection(redis_url) as connection:
        with Consumer(connection.channel(), [Queue("q")], on_message=settle, prefetch_count=1):
            connection.register_with_event_loop(hub)
            loop = hub.create_loop()
            began = monotonic()
            # When
            while len(got) < 10:
                next(loop)
                assert monotonic() < began + 6, got
            # Then: without the second that a loop sleeps at most
            assert got == list(range(10))


def test_the_loop_has_its_turn_while_messages_keep_coming(redis_url: str, hub: Hub) -> None:
    # Given: each message brings another one
    got: list[Any] = []
    with Connection(redis_url) as connection:
        producer = connection.Producer()

        def go_on(message: Any) -> None:
            got.append(message.payload)
            if len(got) < 5000:
                producer.publish(len(got), routing_key="q", retry=False)
            message.ack()

        publish(redis_url, 0)
        with Consumer(connection.channel(), [Queue("q")], on_message=go_on):
            connection.register_with_event_loop(hub)
            loop = hub.create_loop()
            # When
            for _ in range(3):
                next(loop)
            # Then
            assert 0 < len(got) < 1000
            # and it does not sleep before it is done
            before = len(got)
            with Stopwatch() as watch:
                next(loop)
            assert watch.seconds < 0.95
            assert len(got) > before


def test_a_loop_that_goes_on_after_the_waiting_socket_was_lost(redis_victim: Any, hub: Hub) -> None:
    # Given
    got: list[Any] = []
    with Connection(redis_victim.url) as connection:
        consumer = Consumer(
            connection.channel(), [Queue("q")], on_message=lambda message: got.append(message.payload)
        )
        with consumer:
            connection.register_with_event_loop(hub)
            loop = hub.create_loop()
            next(loop)
            # When
            admin = redis_victim.client()
            (waiting,) = [one["id"] for one in admin.client_list() if one["cmd"] == "brpop"]
            admin.client_kill_filter(_id=waiting)
            began = monotonic()
            failed = False
            while not failed:
                try:
                    next(loop)
                except connection.connection_errors:
                    failed = True
                assert monotonic() < began + 30
            # Then: what comes is heard at once
            loop = hub.create_loop()
            next(loop)
            publish(redis_victim.url, "new")
            with Stopwatch() as watch:
                while not got:
                    next(loop)
            assert watch.seconds < 0.95


def test_a_loop_that_was_busy_for_longer_than_an_answer_may_take(redis_url: str, hub: Hub) -> None:
    # Given
    got: list[Any] = []
    with Connection(redis_url, transport_options={"socket_timeout": 0.5}) as connection:
        with Consumer(
            connection.channel(), [Queue("q")], on_message=lambda message: got.append(message.payload)
        ):
            connection.register_with_event_loop(hub)
            loop = hub.create_loop()
            hub.on_tick.add(lambda: hub.call_soon(str))  # (rounds do not sleep)
            next(loop)
            publish(redis_url, "new")
            # When: somebody else uses the thread
            sleep(1.8)
            # Then: the answer has come, and is just not read yet
            for _ in range(3):
                next(loop)
            assert got == ["new"]
