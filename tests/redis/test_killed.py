"""Producers and consumers killed at random, under load: published = acknowledged + ready + delivered, always.

``--kills 300`` runs it for long.
"""

from __future__ import annotations

import random
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from tests.redis.wire import snapshot, until

if TYPE_CHECKING:
    from tests.support.fleet import Fleet, Process

QUEUE = {"name": "work", "exchange": "tasks", "key": "work"}


class Load:
    """Two that publish and three that consume, and who takes their place."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.producers: list[Process] = []
        self.consumers: list[Process] = []
        self.killed: list[Process] = []
        #: The bodies of all events of a kind, whoever said it.
        self.said: dict[str, set[int]] = {"published": set(), "got": set(), "ack": set(), "acked": set()}
        self._heard: dict[Process, int] = {}
        self._next = 0

    def produce(self) -> None:
        member = self.fleet.launch()
        member.tell("flood", queue="work", exchange="tasks", first=self._next)
        self._next += 1_000_000
        self.producers.append(member)

    def consume(self) -> None:
        member = self.fleet.launch()
        member.tell("consume", queues=[QUEUE], prefetch=10)
        self.consumers.append(member)

    def kill(self, victim: Process) -> None:
        """Kill it at work, and start another."""
        self.killed.append(victim.kill())
        if victim in self.producers:
            self.producers.remove(victim)
            self.produce()
        elif victim in self.consumers:
            self.consumers.remove(victim)
            self.consume()

    def hear(self) -> None:
        """Take in what all have said until now."""
        self.fleet.read()
        for member in self.fleet.members:
            for event in member.events[self._heard.get(member, 0) :]:
                for kind in self.said.keys() & event.keys():
                    self.said[kind].add(event[kind])
            self._heard[member] = len(member.events)

    def lost(self, client: Any) -> set[int]:
        """What was published and is nowhere. A consumer says what it will acknowledge before it does."""
        self.hear()
        published = self.said["published"] - self.said["ack"]
        ready, delivered = snapshot(client, "work")
        self.hear()
        return published - set(ready) - set(delivered) - self.said["ack"]


@pytest.mark.timeout(3600)
def test_nothing_published_is_lost(fleet: Fleet, redis_client: Any, request: pytest.FixtureRequest) -> None:
    # Given
    chance = random.Random(4711)
    fleet.start().ask("declare", queues=[QUEUE])
    load = Load(fleet)
    for start in (load.produce, load.consume, load.consume, load.produce, load.consume):
        start()
    for _ in range(request.config.getoption("--kills")):
        victim = chance.choice(load.producers + load.consumers)
        fleet.wait(lambda: victim.all("got") or victim.all("published"), "it works")  # noqa: B023
        sleep(chance.random() / 10)
        fleet.read()
        # When
        load.kill(victim)
        # Then
        assert not load.lost(redis_client)
    for producer in load.producers:
        producer.kill()

    def settled() -> bool:
        fleet.read()
        return snapshot(redis_client, "work") == ([], [])

    until(settled, 20, "all is consumed")
    load.hear()
    assert load.said["published"] - load.said["ack"] == set()
    # And whoever lived acknowledged alone what it was given
    surviving = [member for member in fleet.members if member not in load.killed]
    again = [body for member in surviving for body in member.all("got")]
    assert len(again) == len(set(again)) > 0
    settled_before = {body for member in load.killed for body in member.all("acked")[:-20]}
    assert not settled_before & set(again)
