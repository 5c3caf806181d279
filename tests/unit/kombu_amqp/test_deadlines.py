"""One deadline: whatever the broker does, a call ends when its time is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import deadline_scope
from kombu_amqp.errors import ConnectionLost
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitMQ
from tests.support.stopwatch import Stopwatch

TIMEOUT = 1.0

#: Seconds that a slow machine may add.
GRACE = 0.6

QUEUE = Queue("deadlines", Exchange("deadlines"), "key")


@pytest.fixture(params=["stopped", "paused", "blackholed"])
def failing(request: pytest.FixtureRequest, victim: RabbitMQ) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The URL of a broker, and what makes it fail."""
    with Proxy(("127.0.0.1", victim.port)) as proxy:
        if request.param == "blackholed":
            yield proxy.url, lambda: proxy.fail("blackhole")
        else:
            yield victim.url, victim.pause if request.param == "paused" else victim.stop


def within(seconds: float, call: Callable[[], Any], *errors: type[BaseException]) -> float:
    """The call raises one of ``errors`` within ``seconds``, a tenth, and what a busy machine adds; what it took."""
    with Stopwatch() as watch, pytest.raises(errors or OSError):
        call()
    assert watch.seconds <= seconds * 1.1 + GRACE
    return watch.elapsed


@pytest.mark.parametrize("before", [0, 1, 3])
def test_publish(failing: Any, before: int) -> None:
    # Given: a broker that fails before the first, second and fourth publish
    url, fail = failing
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        producer = connection.Producer()

        def publish(body: Any, timeout: float = TIMEOUT) -> None:
            producer.publish(
                body, exchange=QUEUE.exchange, routing_key="key", declare=[QUEUE], retry=True, timeout=timeout
            )

        for number in range(before):
            publish(number, 30)
        fail()
        # When, Then: a small message, and one that no buffer takes
        within(TIMEOUT, lambda: publish("small"), DeadlineExceeded)
        within(TIMEOUT, lambda: publish("x" * 20_000_000), DeadlineExceeded)
        connection.collect(0.1)


def test_publish_without_confirms(failing: Any) -> None:
    # Given
    url, fail = failing
    with Connection(url) as connection:
        producer = connection.Producer()
        producer.publish("x", exchange=QUEUE.exchange, routing_key="key", declare=[QUEUE])
        fail()
        for _ in range(3):
            # When: what is lost may go unnoticed
            with Stopwatch() as watch, suppress(DeadlineExceeded):
                producer.publish(
                    "x" * 20_000_000, exchange=QUEUE.exchange, routing_key="key", retry=True, timeout=TIMEOUT
                )
            # Then: but not the time
            assert watch.seconds <= TIMEOUT * 1.1 + GRACE
        connection.collect(0.1)


def test_declare(failing: Any) -> None:
    # Given
    url, fail = failing
    with Connection(url, transport_options={"reply_timeout": TIMEOUT}) as connection:
        channel = connection.default_channel
        fail()
        # When, Then: the documented default, and it is a connection error for those who retry
        within(TIMEOUT, lambda: channel.queue_declare("x"), *connection.recoverable_connection_errors)
        assert not connection.connected
        connection.collect(0.1)


def test_connect(failing: Any) -> None:
    url, fail = failing
    fail()
    within(TIMEOUT, lambda: Connection(url, connect_timeout=TIMEOUT).connect())
    within(TIMEOUT, lambda: Connection(url).ensure_connection(timeout=TIMEOUT), DeadlineExceeded)


def test_drain_events_counts_from_the_start(rabbitmq: RabbitMQ) -> None:
    # Given: something comes all the time, but never an event
    with Connection(rabbitmq.url, heartbeat=1) as connection:
        connection.connect()
        # When, Then: heartbeats do not begin the wait anew
        assert within(2.5, lambda: connection.drain_events(timeout=2.5), TimeoutError) >= 2.4


@pytest.mark.parametrize("retry", [{"retry": True}, {"retry": True, "timeout": 30}])
def test_after_a_time_out_the_next_publish_connects_anew(proxy: Proxy, retry: dict[str, Any]) -> None:
    # Given a connection that went silent, and a publish that was given up
    with Connection(proxy.url, transport_options={"confirm_publish": True}) as connection:
        producer = connection.Producer()
        producer.publish("a", exchange=QUEUE.exchange, routing_key="key", declare=[QUEUE])
        proxy.fail("dead")
        with pytest.raises(DeadlineExceeded):
            producer.publish("b", routing_key="deadlines", retry=True, timeout=0.5)
        # When, Then: to who waits it is lost, and not silent; who publishes gets another one
        with pytest.raises(ConnectionLost):
            connection.drain_events(timeout=5)
        producer.publish("c", routing_key="deadlines", **retry)
        assert connection.connected


def test_a_late_answer_is_not_the_next_ones(proxy: Proxy) -> None:
    # Given: a question that is held up, while the broker goes on talking
    with Connection(proxy.url, heartbeat=2) as connection:
        channel = connection.channel()
        channel.queue_declare("late-1", exclusive=True)
        channel.queue_declare("late-2", exclusive=True)
        channel.basic_publish(channel.prepare_message(b"one"), routing_key="late-2")
        channel.queue_declare("late-2", passive=True)
        proxy.fail("hold")
        with deadline_scope(1.5), pytest.raises(DeadlineExceeded, match="queue.declare_ok"):
            channel.queue_declare("late-1", passive=True)
        # When
        assert connection.connected
        proxy.heal()
        # Then: the answer about late-1 goes to nobody
        assert channel.queue_declare("late-2", passive=True)[:2] == ("late-2", 1)
