"""Several threads, with a connection each (AMQP: a channel belongs to one thread)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kombu.testing.rig import Rig

THREADS = 4
MESSAGES = 50


class TestThreads:
    def test_each_message_reaches_one_of_them(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        connections = [rig.connect() for _ in range(2 * THREADS)]
        expected = {f"{number}/{index}" for number in range(THREADS) for index in range(MESSAGES)}
        seen: list[str] = []
        done = Event()

        def publish(number: int) -> None:
            channel = connections[number].channel()
            for index in range(MESSAGES):
                rig.send(queue, f"{number}/{index}", channel=channel)

        def consume(number: int) -> None:
            connection = connections[THREADS + number]
            channel = connection.channel()

            def handle(raw: Any) -> None:
                message = channel.message_to_python(raw)
                seen.append(message.payload)
                message.ack()
                if len(seen) >= len(expected):
                    done.set()

            channel.basic_qos(0, 5, False)
            channel.basic_consume(queue=queue, no_ack=False, callback=handle, consumer_tag=rig.name())
            deadline = monotonic() + 10 * rig.patience  # (that many messages take a busy broker long)
            while not done.is_set() and monotonic() < deadline:
                try:
                    connection.drain_events(timeout=0.05)
                except TimeoutError:
                    pass
            channel.close()

        # When
        with ThreadPoolExecutor(2 * THREADS) as pool:
            futures = [pool.submit(task, number) for number in range(THREADS) for task in (consume, publish)]
        # Then
        for future in futures:
            future.result()
        assert sorted(seen) == sorted(expected)
        assert rig.payloads(queue, 0) == []

    def test_a_waiting_consumer_is_woken(self, rig: Rig) -> None:
        # Given: a consumer that waits for longer than the test has
        queue, publisher = rig.queue(), rig.connect()
        inbox, waiting = rig.consume(queue), Event()

        def wait() -> float:
            waiting.set()
            rig.connection.drain_events(timeout=2 * rig.patience)
            return monotonic()

        with ThreadPoolExecutor(1) as pool:
            woken = pool.submit(wait)
            waiting.wait()
            # When
            published = monotonic()
            rig.send(queue, "hello", channel=publisher.channel())
            # Then
            assert woken.result(timeout=rig.patience) - published < 1
        assert inbox.payloads == ["hello"]

    def test_declaring_the_same_at_once(self, rig: Rig) -> None:
        # Given
        exchange, queue = rig.name(), rig.name()
        connections = [rig.connect() for _ in range(THREADS)]

        def declare(connection: Any) -> None:
            channel = connection.channel()
            for _ in range(5):
                rig.exchange("direct", exchange, channel=channel)
                rig.queue(queue, channel=channel)
                channel.queue_bind(queue=queue, exchange=exchange, routing_key="key")

        # When
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(declare, connections))
        # Then
        rig.publish("once", exchange, "key")
        assert rig.payloads(queue, 1) == ["once"]
