"""oslo.messaging when its connections are cut, and when RabbitMQ is killed and starts again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet import Fleet
    from tests.support.proxy import Proxy
    from tests.support.rabbit import RabbitMQ

#: Seconds in which all must have found the broker again.
LONG = 90

#: (the defaults are made for data centers: seconds of pauses)
SOON = {"kombu_reconnect_delay": 0.1}


@pytest.mark.parametrize("eventlet", [False, pytest.param(True, marks=pytest.mark.clients)])
def test_connections_are_cut_in_the_middle(
    fleet_at: Callable[[str], Fleet], proxy: Proxy, topic: str, eventlet: bool
) -> None:
    # Given: a server and one who calls it, again and again
    fleet = fleet_at(proxy.url)
    serving, asking = (fleet.launch(eventlet=eventlet, **SOON) for _ in range(2))
    serving.ask("serve", topic=topic, name="one")
    asking.tell("sums", topic=topic, count=100)
    # When
    for after, fault in ((20, "rst"), (50, "fin")):
        asking.wait_for("answer", after)
        proxy.fail(fault)
    # Then: each is answered
    assert asking.wait_for("answer", 100, LONG) == list(range(1, 101))


@pytest.mark.clients
def test_the_broker_is_killed_under_notifications(
    fleet_at: Callable[[str], Fleet], victim: RabbitMQ, topic: str
) -> None:
    # Given: a listener, and one who notifies it, of queues that survive
    fleet = fleet_at(victim.url)
    options = {**SOON, "amqp_durable_queues": True}
    listening, telling = fleet.launch(**options), fleet.launch(**options)
    listening.ask("listen", topics=[topic])
    telling.tell("notify", topic=topic, payloads=list(range(500)))
    telling.wait_for("sent", 100)
    # When
    victim.stop()
    victim.start()
    # Then: nothing is lost
    telling.wait_for("sent", 500, LONG)
    assert telling.all("sent") == list(range(500))
    listening.wait(lambda: set(listening.all("heard")) == set(range(500)), "all is heard", LONG)


@pytest.mark.clients
@pytest.mark.parametrize("eventlet", [False, True])
def test_the_broker_is_killed_between_calls(
    fleet_at: Callable[[str], Fleet], victim: RabbitMQ, topic: str, eventlet: bool
) -> None:
    # Given: a server and a client that know each other
    fleet = fleet_at(victim.url)
    serving, asking = (fleet.launch(eventlet=eventlet, **SOON) for _ in range(2))
    serving.ask("serve", topic=topic, name="one")
    asking.ask("sums", topic=topic, count=3)
    # When: the broker forgets all queues
    victim.stop()
    victim.start()
    # Then: both come back by themselves
    asking.ask("knock", topic=topic, patience=LONG)
    asking.ask("sums", topic=topic, count=3, patience=LONG)
    assert asking.all("answer") == [1, 2, 3, "one", 1, 2, 3]


@pytest.mark.clients
def test_fanout_by_a_stream(fleet_at: Callable[[str], Fleet], proxy: Proxy, topic: str) -> None:
    # Given: servers that share a stream for their fanout
    fleet = fleet_at(proxy.url)
    options = {
        **SOON,
        "rabbit_quorum_queue": True,
        "rabbit_transient_quorum_queue": True,
        "rabbit_stream_fanout": True,
        "rabbit_qos_prefetch_count": 10,
    }
    servers = [fleet.launch(**options) for _ in range(2)]
    for number, server in enumerate(servers):
        server.ask("serve", topic=topic, name=str(number))
    asking = fleet.launch(**options)
    # When: connections are cut between two casts
    for cut in (False, True):
        asking.ask("cast", method="note", arguments={"text": f"cut {cut}"}, topic=topic, fanout=True)
        for server in servers:
            server.wait(lambda server=server, cut=cut: f"cut {cut}" in server.all("noted"), "each hears it", LONG)
        proxy.fail("rst")
    # Then: each has heard both
    for server in servers:
        assert set(server.all("noted")) == {"cut False", "cut True"}
