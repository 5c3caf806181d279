"""Pickles made by processes with kombu 5.7.0 and loaded by processes with this one, and the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interpreters import run

PROGRAM = Path(__file__).with_name("pickles.py")


@pytest.mark.parametrize("broker", ["amqp_url", "redis_url"])
@pytest.mark.parametrize("maker", ["old", "new"])
def test_the_other_one_loads_them(
    request: pytest.FixtureRequest, old_kombu: str, maker: str, broker: str
) -> None:
    # Given: pickles of all that kombu 5.7.0 can pickle
    url = request.getfixturevalue(broker)
    makes, loads = (old_kombu, None) if maker == "old" else (None, old_kombu)
    made = run(makes, PROGRAM, "make", url)
    # When: the other kombu loads them
    loaded = run(loads, PROGRAM, "load", url, given={name: text for name, (text, _) in made.items()})
    # Then: connection, queue and producer work, and everything is what it was
    assert loaded.pop("used") is True
    assert loaded == {name: description for name, (_, description) in made.items()}
