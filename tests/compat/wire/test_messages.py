"""Messages between processes with kombu 5.7.0 and with this one: a consumer sees the same, whoever published."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.interpreters import run

PROGRAM = Path(__file__).with_name("messages.py")


@pytest.mark.parametrize("broker", ["amqp_url", "redis_url"])
def test_a_consumer_sees_the_same_whoever_published(
    request: pytest.FixtureRequest, old_kombu: str, broker: str
) -> None:
    # Given: two queues with every case from each kombu
    url, pythons = request.getfixturevalue(broker), {"old": old_kombu, "new": None}
    suffix = uuid4().hex
    for publisher, python in pythons.items():
        run(python, PROGRAM, "publish", url, *(f"{publisher}-{consumer}-{suffix}" for consumer in pythons))
    # When: each kombu consumes one of both
    seen = {}
    for consumer, python in pythons.items():
        names = {f"{publisher}-{consumer}-{suffix}": (publisher, consumer) for publisher in pythons}
        found = run(python, PROGRAM, "consume", url, *names)
        seen.update({names[name]: cases for name, cases in found.items()})
    # Then: all see what a fleet of kombu 5.7.0 sees
    expected = seen["old", "old"]
    assert len(expected) > 30
    for who, cases in seen.items():
        assert cases == expected, who
