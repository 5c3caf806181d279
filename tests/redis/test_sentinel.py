"""``sentinel://``: the master is found, and found again after a failover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from tests.support.redis_sentinel import NAME, Sentinels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUEUE = Queue("work", durable=True)


@pytest.fixture
def sentinels(tmp_path: Path, redis_server: Any) -> Iterator[Sentinels]:
    made = Sentinels(tmp_path)
    yield made.start()
    made.stop()


def test_work_goes_on_after_the_master_is_killed(sentinels: Sentinels) -> None:
    # Given: a message on the master, and on its replica
    options = {"master_name": NAME, "lease": 2}
    with Connection(sentinels.url, transport_options=options) as connection:
        producer = connection.Producer()
        producer.publish("before", routing_key="work", declare=[QUEUE])
        master = sentinels.master()
        assert master is not None
        assert master.client().wait(1, 5000) == 1
        # When
        master.kill()
        # Then: publishing waits for the new master, and nothing that a replica had is gone
        producer.publish("after", routing_key="work", retry=True, timeout=30)
        assert sentinels.master() is not master
        received: list[str] = []

        def receive(body: str, message: Any) -> None:
            received.append(body)
            message.ack()

        with connection.Consumer([QUEUE], callbacks=[receive]):
            while len(received) < 2:
                connection.drain_events(timeout=10)
        assert sorted(received) == ["after", "before"]


def test_the_name_of_the_master_is_needed() -> None:
    with pytest.raises(ValueError, match="master_name"), Connection("sentinel://localhost:1") as connection:
        connection.connect()


def test_an_unknown_master_is_a_connection_error(sentinels: Sentinels) -> None:
    options = {"master_name": "nobody"}
    with Connection(sentinels.url, transport_options=options) as connection:
        with pytest.raises(connection.connection_errors, match="nobody"):
            connection.connect()
