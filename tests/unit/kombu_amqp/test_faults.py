"""Connections cut at random steps of the protocol, under load: nothing that was confirmed is lost.

``--faults 200`` runs it for long.
"""

from __future__ import annotations

import gc
import os
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from typing import Any

import pytest

from kombu import Connection, Consumer, Queue
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.mixins import ConsumerMixin
from tests.support.proxy import Proxy

HEARTBEAT = 1

#: So many messages may wait in the queue.
BACKLOG = 300

QUEUE = Queue("faults", durable=True)


class Publisher:
    """Publishes numbers, each until it is confirmed or its time is over."""

    def __init__(self, url: str, received: set[int]) -> None:
        self.connection = Connection(
            url, heartbeat=HEARTBEAT, transport_options={"confirm_publish": True, "reply_timeout": 2}
        )
        self.received = received
        self.confirmed: set[int] = set()
        self.number = 0
        self.stop = Event()

    def run(self) -> None:
        policy = {"interval_start": 0.02, "interval_step": 0.05, "interval_max": 0.2}
        with self.connection, self.connection.Producer() as producer:
            rounds = 0
            while not self.stop.is_set():
                if len(self.confirmed) - len(self.received) > BACKLOG:
                    self.stop.wait(0.001)  # (a busy machine is slower to consume than to publish)
                    continue
                self.number += 1
                rounds += 1
                try:
                    if rounds % 10:
                        producer.publish(
                            self.number,
                            routing_key="faults",
                            declare=[QUEUE],
                            retry=True,
                            timeout=10,
                            retry_policy=policy,
                        )
                        self.confirmed.add(self.number)
                    else:
                        self.run_batch(producer)
                except OperationalError:
                    pass  # nobody knows, so nothing is promised
                except (*self.connection.connection_errors, *self.connection.channel_errors):
                    self.connection.collect(0.1)

    def run_batch(self, producer: Any) -> None:
        numbers = range(self.number, self.number + 20)
        self.number = numbers[-1]
        try:
            with producer.batch(50):
                for number in numbers:
                    producer.publish(number, routing_key="faults")
        except BatchPublishError as exc:
            self.confirmed.update(n for n, outcome in zip(numbers, exc.outcomes, strict=False) if outcome is None)
        else:
            self.confirmed.update(numbers)


class Program(ConsumerMixin):
    """Acknowledges what it gets."""

    def __init__(self, url: str) -> None:
        self.connection = Connection(url, heartbeat=HEARTBEAT, transport_options={"reply_timeout": 2})
        self.received: set[int] = set()
        self.last = 0

    def get_consumers(self, make: Any, channel: Any) -> list[Consumer]:
        return [make([QUEUE], on_message=self.on_message, prefetch_count=20)]

    @property
    def restart_limit(self) -> Any:  # type: ignore[override]
        """As often as need be."""
        return Unlimited()

    def on_message(self, message: Any) -> None:
        self.received.add(message.payload)
        self.last = max(self.last, message.payload)
        message.ack()


class Unlimited:
    def can_consume(self, tokens: int) -> bool:
        return True


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def memory() -> int:
    """Resident bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def until(happened: Any, seconds: float, what: str) -> None:
    deadline, pause = monotonic() + seconds, Event()
    while not happened():
        assert monotonic() < deadline, f"not within {seconds} s: {what}"
        pause.wait(0.01)


@pytest.mark.timeout(1800)
def test_nothing_confirmed_is_lost(proxy: Proxy, amqp_url: str, request: pytest.FixtureRequest) -> None:
    # Given
    chance = random.Random(4711)
    with Connection(amqp_url) as connection:
        QUEUE(connection.default_channel).declare()
        QUEUE(connection.default_channel).purge()
    faults = request.config.getoption("--faults")
    program = Program(proxy.url)
    publisher = Publisher(proxy.url, program.received)
    marks: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(publisher.run), pool.submit(program.run)]
        try:
            for number in range(faults):
                until(lambda: program.last and publisher.confirmed, 30, "the load runs")
                if number in (faults // 4, faults - 1):
                    marks.append((descriptors(), memory()))
                # When
                fault = ("rst", "fin", "pause", "blackhole")[number % 4]
                proxy.failed.clear()
                proxy.cut_after(chance.randint(1, 5000), fault)
                assert proxy.failed.wait(30), f"the load stands still at fault {number}"
                if fault in ("pause", "blackhole"):
                    Event().wait(chance.choice((0.05, 0.5, 2.5 * HEARTBEAT)))
                proxy.heal()
                # Then: both go on
                before = publisher.number

                def going() -> bool:
                    for future in running:
                        if future.done():
                            future.result()
                    return program.last > before  # noqa: B023

                until(going, 60, f"{fault} {number}: consumers go on")
        finally:
            proxy.heal()
            publisher.stop.set()
            running[0].exception(timeout=30)
            with_missing = publisher.confirmed.copy()
            try:
                until(lambda: with_missing <= program.received, 60, "all that was confirmed is received")
            finally:
                program.should_stop = True
                running[1].exception(timeout=30)
    program.connection.release()
    with Connection(amqp_url) as connection:
        assert QUEUE(connection.default_channel).delete() == 0
    # Then
    for future in running:
        future.result()
    assert len(publisher.confirmed) > faults
    (early_files, early_memory), (late_files, late_memory) = marks[0], marks[-1]
    assert late_files <= early_files + 4
    assert late_memory <= early_memory + 30_000_000
