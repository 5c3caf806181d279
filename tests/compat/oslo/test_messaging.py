"""Calls, casts and notifications of oslo.messaging, on RabbitMQ and on ``memory://``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import Authority
from tests.support.fleet import Fleet, Process
from tests.support.tls_front import Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.rabbit import RabbitMQ


@pytest.fixture
def behind_tls(
    fleet_at: Callable[[str], Fleet], rabbitmq: RabbitMQ, tmp_path: Path
) -> Iterator[tuple[Fleet, dict[str, Any]]]:
    """Members of the broker behind a server that ends TLS, and the options by which they trust that."""
    authority = Authority(tmp_path)
    front = Front(rabbitmq.port, authority.issue("oslo", "localhost", "DNS:localhost"))
    yield fleet_at(f"amqp://guest:guest@localhost:{front.port}//"), {"ssl": True, "ssl_ca_file": authority.cafile}
    front.close()


@pytest.fixture(
    params=["amqp", "memory", *(pytest.param(name, marks=pytest.mark.clients) for name in ("amqps", "eventlet"))]
)
def sides(request: pytest.FixtureRequest, fleet_at: Callable[[str], Fleet]) -> tuple[Process, Process]:
    """Two members, who serve and who ask; on ``memory://``, which is one process's, they are the same."""
    if request.param == "memory":
        both = fleet_at("kombu+memory://").start()
        return both, both
    fleet, options = fleet_at(request.getfixturevalue("amqp_url")), {}
    if request.param == "eventlet":
        options = {"eventlet": True}
    elif request.param == "amqps":
        fleet, options = request.getfixturevalue("behind_tls")
    first, second = fleet.launch(**options), fleet.launch(**options)
    first.wait_for("started")
    second.wait_for("started")
    return first, second


def test_procedures(sides: tuple[Process, Process], topic: str) -> None:
    serving, asking = sides
    # Given: two servers of a topic
    serving.ask("serve", topic=topic, name="one")
    serving.ask("serve", topic=topic, name="two")
    # When, Then: calls are answered
    asking.ask("sums", topic=topic, count=20)
    assert asking.all("answer") == list(range(1, 21))
    (answer, _) = asking.ask("call", method="whoami", topic=topic, server="two", context={"user": "me"})
    assert answer["answer"]["server"] == "two" and answer["answer"]["context"]["user"] == "me"
    # an exception is the caller's
    asking.ask("call", method="fail", arguments={"text": "so it is"}, topic=topic)
    assert "ValueError" in asking.all("error")[-1] and "so it is" in asking.all("text")[-1]
    # a cast comes to one of them, a fanout to both
    asking.ask("cast", method="note", arguments={"text": "cast"}, topic=topic)
    serving.wait_for("noted")
    asking.ask("cast", method="note", arguments={"text": "fanout"}, topic=topic, fanout=True)
    serving.wait_for("noted", 3)
    noted = [(event["noted"], event["by"]) for event in serving.events if "noted" in event]
    assert noted[0][0] == "cast" and sorted(noted[1:]) == [("fanout", "one"), ("fanout", "two")]
    # and where nobody serves, the call ends in time
    asking.ask("call", method="whoami", topic="nobody", timeout=1)
    assert "MessagingTimeout" in asking.all("error")[-1] and asking.all("after")[-1] < 15


def test_notifications(sides: tuple[Process, Process], topic: str) -> None:
    listening, telling = sides
    # Given: a notification before anybody listens, which waits
    telling.ask("notify", topic=topic, payloads=[{"number": 1}])
    # When
    listening.ask("listen", topics=[topic], back=2)
    listening.wait_for("heard")
    telling.ask("notify", topic=topic, payloads=[{"number": 2}])
    listening.wait_for("heard", 2)
    # Then
    first, second = [event for event in listening.events if "heard" in event]
    assert (first["heard"], second["heard"]) == ({"number": 1}, {"number": 2})
    assert (first["kind"], first["publisher"]) == ("test.notice", "here")
    # and one that its listener requeues comes again
    telling.ask("notify", topic=topic, payloads=[{"number": 3}], priority="error")
    listening.wait_for("heard", 5)
    assert listening.all("left") == [1, 0, -1]


def test_an_exchange_that_others_have_declared_otherwise(
    fleet_at: Callable[[str], Fleet], amqp_url: str, topic: str
) -> None:
    # Given: a server whose exchange does not survive a restart of the broker
    fleet = fleet_at(amqp_url)
    first, second = fleet.launch(), fleet.launch(amqp_durable_queues=True)
    first.ask("serve", topic=topic, name="one")
    # When: one who wants it to survive calls, and serves too (the driver tries again, on the channel that was refused)
    second.ask("call", method="whoami", topic=topic)
    second.ask("serve", topic=f"{topic}.other", name="two")
    first.ask("call", method="whoami", topic=f"{topic}.other")
    # Then
    assert [answer["server"] for answer in (second.all("answer") + first.all("answer"))] == ["one", "two"]
