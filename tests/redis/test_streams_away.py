"""Consumers of streams (``fanout="stream"``) that are away, killed, cut off or idle."""

from __future__ import annotations

from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.mixins import ConsumerMixin
from tests.redis.test_streams import publish
from tests.redis.test_waiting import latencies
from tests.redis.wire import until
from tests.support.idle import IDLE, least_shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet import Fleet
    from tests.support.proxy import Proxy

NEWS = {"name": "inbox", "exchange": "news", "type": "fanout"}


@pytest.fixture
def streams(make_fleet: Callable[..., Fleet], redis_url: str) -> Fleet:
    """A fleet with streams, and leases of a second."""
    return make_fleet(redis_url, lease=1, fanout="stream")


def test_a_consumer_that_was_away_gets_all_in_order_once(
    streams: Fleet, redis_url: str, request: Any
) -> None:
    # Given: it is killed, and another that hears everything goes on
    first = streams.start().consume(NEWS)
    other = streams.start().consume({**NEWS, "name": "other"})
    with Connection(redis_url) as connection:
        publish(connection, "before")
        first.wait_for("acked")
        first.kill()
        # When: (a second is as long as 30: nothing happens meanwhile but that its lease ends)
        publish(connection, *range(500))
        sleep(30 if request.config.getoption("--kills") > 20 else 1.5)
        publish(connection, *range(500, 1000))
        second = streams.start().consume(NEWS)
        second.wait_for("acked", 1000)
        publish(connection, "after")
        second.wait_for("acked", 1001)
    # Then
    assert first.all("got") == ["before"]
    assert second.all("got") == [*range(1000), "after"]
    assert not any(second.all("redelivered"))
    assert other.wait_for("got", 1002) == ["before", *range(1000), "after"]


def test_what_a_killed_consumer_held_comes_back(streams: Fleet, redis_url: str) -> None:
    # Given: it holds ten, acknowledged none, and more are in the stream
    first = streams.start().consume(NEWS, prefetch=10, then="hold")
    with Connection(redis_url) as connection:
        publish(connection, *range(100))
    assert first.wait_for("got", 10) == list(range(10))
    # When
    first.kill()
    second = streams.start().consume(NEWS, prefetch=10)
    second.wait_for("acked", 100)
    # Then
    assert sorted(second.all("got")) == list(range(100))
    back = [body for body, count in zip(second.all("got"), second.all("count"), strict=True) if count]
    assert back == list(range(10))


def test_programs_of_all_kinds_share_an_exchange(streams: Fleet, old_kombu: str) -> None:
    # Given
    listeners = [
        streams.start(fanout=fanout).consume({**NEWS, "name": fanout, "key": ""})
        for fanout in ("pubsub", "queue", "stream")
    ]
    old = streams.start(old_kombu).consume({**NEWS, "name": "old", "key": ""})
    # When: whatever the option of who publishes
    for number, fanout in enumerate(("pubsub", "queue", "stream")):
        publisher = streams.start(fanout=fanout)
        publisher.ask("publish", bodies=[number], exchange="news", type="fanout")
    # Then
    for listener in (*listeners, old):
        assert listener.wait_for("acked", 3) == [0, 1, 2]


class Listener(ConsumerMixin):
    """Hears broadcasts until it has 1001 different ones, whatever happens to its connection."""

    def __init__(self, url: str) -> None:
        self.connection = Connection(url, transport_options={"fanout": "stream", "lease": 1})
        self.got: list[int] = []

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        return [
            consumer([Queue("inbox", Exchange("news", "fanout"))], on_message=self.receive, prefetch_count=20)
        ]

    def receive(self, message: Any) -> None:
        self.got.append(message.decode())
        message.ack()
        self.should_stop = len(set(self.got)) > 1000


def test_a_connection_that_is_cut(redis_url: str, redis_proxy: Proxy, redis_proxy_url: str) -> None:
    # Given
    listener = Listener(redis_proxy_url)
    thread = Thread(target=listener.run, daemon=True)
    with Connection(redis_url) as connection:
        thread.start()
        until(lambda: listener.got or publish(connection, 0), 30, "it listens")
        # When
        for number in range(1, 1001):
            publish(connection, number)
            if number in (200, 600):
                redis_proxy.fail("rst")
                redis_proxy.heal()
        thread.join(30)
    # Then: just what was under way when it was cut comes again
    assert not thread.is_alive()
    assert set(listener.got) == set(range(1001))
    assert len(listener.got) <= 1001 + listener.got.count(0) + 2 * 20
    listener.connection.release()


def test_idle_costs_nothing_and_a_broadcast_wakes_at_once(streams: Fleet, redis_url: str) -> None:
    # Given
    member = streams.start(lease=30).consume(NEWS, "work")
    with Connection(redis_url) as connection:
        publish(connection, -1)
        member.wait_for("acked")
        # When
        used = least_shares([member.pid])
        events = []
        for body in range(20):
            events.append({"published": body, "at": monotonic()})
            publish(connection, body)
            member.wait_for("acked", body + 2)
    # Then
    assert used[0] < IDLE
    assert member.sockets() <= 3
    late = sorted(latencies(member, events))
    assert late[10] < 0.2, late
