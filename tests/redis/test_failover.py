"""Failovers under load: three servers, three sentinels, and programs that go on with whichever is the master.

``--failovers 17`` makes 51 of them, of three kinds, and prints how long work and broadcasts were away.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from tests.redis.load import running
from tests.support import namespaces
from tests.support.redis_sentinel import NAME, Sentinels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.filterwarnings("ignore:A node named"), pytest.mark.timeout(3600)]

OPTIONS = {
    "master_name": NAME,
    "socket_timeout": 1.5,
    "socket_connect_timeout": 1.5,
    "health_check_interval": 1,
    "lease": 2,
    # (a replica has what is confirmed: without it the last moments before a failover are lost, as they may)
    "wait_replicas": 1,
}

ASIDE = Queue("aside")

#: Seconds from the end of a master until work and news go on; a sentinel that is not elected tries again after four.
BACK = 60


@pytest.fixture
def sentinels(tmp_path: Path, redis_server: Any) -> Iterator[Sentinels]:
    made = Sentinels(tmp_path, replicas=2)
    try:
        yield made.start()
    finally:
        made.stop()


def fail_over(
    sentinels: Sentinels, how: str, count: int, end: Callable[[RedisServer], Any], begin: Callable[[RedisServer], Any]
) -> None:
    """End the master under load, so many times: everything goes on with another, and nothing is lost."""
    back: list[float] = []
    with running(sentinels.url, sentinels.url, **OPTIONS) as load:
        for number in range(count):
            old = sentinels.until(sentinels.settled, "all replicas are complete", BACK)
            # When
            began = monotonic()
            end(old)
            # Then
            new = lambda: sentinels.master() not in (None, old)  # noqa: B023, E731
            sentinels.until(new, "there is a new master", BACK)
            load.await_going(f"{how} {number}: all goes on", BACK)
            back.append(monotonic() - began)
            load.await_answer(BACK)
            # And the old one comes back
            begin(old)
        sentinels.until(sentinels.settled, "the old master is a replica", BACK)
        with as_promised(sentinels, count):
            load.stop(BACK)
        print(f"\n{len(load.publisher.confirmed)} confirmed of {load.publisher.number}, all of them received")
    print(f"\n{count} failovers by {how}: back after {median(back):.1f} s (median), {max(back):.1f} s (longest)")


@contextmanager
def as_promised(sentinels: Sentinels, count: int) -> Iterator[None]:
    """Nothing is lost, unless a slow machine made the sentinels depose a master that was alive.

    Such a one goes on to confirm what one replica has, while the other is promoted: one of two is no promise then.
    """
    try:
        yield
    except AssertionError as exc:
        if sentinels.switches() <= count:
            raise
        print(f"\n{sentinels.switches() - count} masters too many were deposed: {exc}")


def test_masters_that_are_killed(sentinels: Sentinels, request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--failovers")
    fail_over(sentinels, "SIGKILL", count, lambda old: old.kill(), sentinels.bring_back)


def test_masters_that_stand_still_and_wake_up(sentinels: Sentinels, request: pytest.FixtureRequest) -> None:
    """One takes itself for the master until the sentinels tell it, and what it is given meanwhile is thrown away."""
    count = request.config.getoption("--failovers")
    with Connection(sentinels.url, transport_options=OPTIONS) as idle:
        producer = idle.Producer()

        def stop(old: RedisServer) -> None:
            producer.publish("to the master", routing_key="aside", declare=[ASIDE])
            old.pause()

        def wake(old: RedisServer) -> None:
            old.resume()
            assert old.client().info("replication")["role"] == "master"
            producer.publish("while there are two", routing_key="aside", retry=True, timeout=BACK)

        fail_over(sentinels, "SIGSTOP", count, stop, wake)
    got = received(sentinels)
    with as_promised(sentinels, count):
        assert got.count("to the master") >= count
        assert got.count("while there are two") >= count


def received(sentinels: Sentinels) -> list[Any]:
    """All messages of the queue."""
    found = []
    with Connection(sentinels.url, transport_options=OPTIONS) as connection:
        while (message := connection.default_channel.basic_get("aside", no_ack=True)) is not None:
            found.append(message.payload)
    return found


# -- a cut network


@cache
def no_network() -> str:
    return namespaces.unavailable()


@pytest.fixture
def network() -> Iterator[namespaces.Network]:
    """Three hosts, and the test on a fourth."""
    if reason := no_network():
        pytest.skip(reason)
    with namespaces.Network(3) as made, made.inside(made.own):
        yield made


@pytest.fixture
def scattered(tmp_path: Path, redis_server: Any, network: namespaces.Network) -> Iterator[Sentinels]:
    """A server and a sentinel on each host."""
    with ExitStack() as stack:
        made = Sentinels(tmp_path, replicas=2, hosts=network.hosts, at=network.inside)
        stack.callback(made.stop)
        yield made.start()


def test_masters_that_are_cut_off(
    scattered: Sentinels, network: namespaces.Network, request: pytest.FixtureRequest
) -> None:
    """With a program each, whose sentinel and master are content: nobody tells it that what it publishes is safe."""
    count = request.config.getoption("--failovers")

    def cut(old: RedisServer) -> None:
        network.cut(old.host)
        url = "".join(f"sentinel://{host}:{port}" for host, port in scattered.addresses if host == old.host)
        with network.inside(old.host), Connection(url, transport_options=OPTIONS) as connection:
            with pytest.raises(connection.recoverable_connection_errors, match="NOREPLICAS"):
                connection.Producer().publish("lost", routing_key="aside", retry=False)

    def mend(old: RedisServer) -> None:
        network.mend(old.host)
        with network.inside(old.host), Connection(scattered.url, transport_options=OPTIONS) as connection:
            connection.Producer().publish("kept", routing_key="aside", retry=True, timeout=BACK)

    with Connection(scattered.url, transport_options=OPTIONS) as connection:
        ASIDE(connection.default_channel).declare()
    fail_over(scattered, "a cut network", count, cut, mend)
    got = received(scattered)
    with as_promised(scattered, count):
        assert got.count("kept") >= count
        assert "lost" not in got
