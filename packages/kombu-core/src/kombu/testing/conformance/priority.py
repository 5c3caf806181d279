"""Priority queues (RabbitMQ's ``x-max-priority``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


def publish(rig: Rig, queue: str, *priorities: int | None) -> None:
    """One message for each priority, named ``priority/number``."""
    for number, priority in enumerate(priorities):
        rig.send(queue, f"{priority}/{number}", priority=priority)


class TestNoPriority:
    def test_a_queue_without_the_argument_keeps_the_order(self, rig: Rig) -> None:
        queue = rig.queue()
        publish(rig, queue, 0, 9, 5, None)
        assert rig.payloads(queue, 4) == ["0/0", "9/1", "5/2", "None/3"]


@requires("priority")
class TestPriority:
    def test_greater_first_and_in_order_within(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(max_priority=10)
        # When
        publish(rig, queue, 1, 5, 10, 5, 1, 10)
        # Then
        assert rig.payloads(queue, 6) == ["10/2", "10/5", "5/1", "5/3", "1/0", "1/4"]

    def test_to_a_consumer(self, rig: Rig) -> None:
        queue = rig.queue(max_priority=10)
        publish(rig, queue, 1, 5, 10, 5)
        inbox = rig.consume(queue)
        rig.receive(4, inbox)
        assert inbox.payloads == ["10/2", "5/1", "5/3", "1/0"]

    def test_none_is_the_lowest(self, rig: Rig) -> None:
        queue = rig.queue(max_priority=10)
        publish(rig, queue, None, 1, 0)
        assert rig.payloads(queue, 3) == ["1/1", "None/0", "0/2"]

    def test_above_the_maximum_is_the_maximum(self, rig: Rig) -> None:
        queue = rig.queue(max_priority=5)
        publish(rig, queue, 4, 5, 9, 5)
        assert rig.payloads(queue, 4) == ["5/1", "9/2", "5/3", "4/0"]

    def test_all_256_levels(self, rig: Rig) -> None:
        queue = rig.queue(max_priority=255)
        priorities = [0, 128, 255, 1, 127, 254, 2]
        publish(rig, queue, *priorities)
        found = [int(payload.partition("/")[0]) for payload in rig.payloads(queue, 7)]
        assert found == sorted(priorities, reverse=True)

    def test_overtakes_what_waits_behind_a_busy_consumer(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(max_priority=10)
        rig.channel.basic_qos(0, 1, False)
        inbox = rig.consume(queue)
        publish(rig, queue, 3)
        rig.receive(1, inbox)
        # When
        publish(rig, queue, 1, 7)
        for number in range(2):
            inbox.messages[number].ack()
            rig.receive(number + 2, inbox)
        # Then
        assert inbox.payloads == ["3/0", "7/1", "1/0"]

    def test_is_kept_when_requeued(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(max_priority=10)
        publish(rig, queue, 1, 5, 5)
        first = rig.get(queue, no_ack=False)
        publish(rig, queue, 9)
        # When
        first.requeue()
        # Then: behind the greater, before its equals
        assert rig.payloads(queue, 4) == ["9/0", "5/1", "5/2", "1/0"]
