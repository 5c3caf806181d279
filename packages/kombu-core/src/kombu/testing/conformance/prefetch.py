"""Prefetch limits, of a consumer and of a channel (AMQP 0-9-1 basic.qos as RabbitMQ reads ``global``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Inbox, Rig


def filled(rig: Rig, messages: int = 10) -> str:
    queue = rig.queue()
    rig.send(queue, *map(str, range(messages)))
    return queue


def settled_at(rig: Rig, expected: int, *inboxes: Inbox) -> None:
    """The inboxes come to hold ``expected`` messages, and not one more."""
    rig.receive(expected, *inboxes)
    rig.quiet()
    assert sum(map(len, inboxes)) == expected


class TestChannelPrefetch:
    def test_limits_what_is_out(self, rig: Rig) -> None:
        # Given
        queue = filled(rig)
        rig.channel.basic_qos(0, 3, True)
        # When
        inbox = rig.consume(queue)
        # Then
        settled_at(rig, 3, inbox)
        assert inbox.payloads == ["0", "1", "2"]

    def test_is_shared_by_its_consumers(self, rig: Rig) -> None:
        one, other = filled(rig), filled(rig)
        rig.channel.basic_qos(0, 3, True)
        inboxes = [rig.consume(one), rig.consume(other)]
        settled_at(rig, 3, *inboxes)

    def test_is_not_shared_with_other_channels(self, rig: Rig) -> None:
        # Given
        queue, channels = filled(rig), [rig.new_channel() for _ in range(2)]
        for channel in channels:
            channel.basic_qos(0, 2, True)
        # When
        inboxes = [rig.consume(queue, channel=channel) for channel in channels]
        # Then
        settled_at(rig, 4, *inboxes)
        assert [len(inbox) for inbox in inboxes] == [2, 2]

    def test_settling_one_lets_one_in(self, rig: Rig) -> None:
        # Given
        queue = filled(rig)
        rig.channel.basic_qos(0, 2, True)
        inbox = rig.consume(queue)
        settled_at(rig, 2, inbox)
        # When, Then
        inbox.messages[0].ack()
        settled_at(rig, 3, inbox)
        inbox.messages[1].reject()
        settled_at(rig, 4, inbox)
        inbox.messages[3].ack(multiple=True)
        settled_at(rig, 6, inbox)
        inbox.messages[4].requeue()
        settled_at(rig, 7, inbox)

    def test_zero_is_no_limit(self, rig: Rig) -> None:
        queue = filled(rig)
        rig.channel.basic_qos(0, 0, True)
        settled_at(rig, 10, rig.consume(queue))

    def test_can_be_raised_while_consuming(self, rig: Rig) -> None:
        # Given
        queue = filled(rig)
        rig.channel.basic_qos(0, 1, True)
        inbox = rig.consume(queue)
        settled_at(rig, 1, inbox)
        # When
        rig.channel.basic_qos(0, 4, True)
        # Then
        settled_at(rig, 4, inbox)

    def test_does_not_hold_without_acknowledgement(self, rig: Rig) -> None:
        queue = filled(rig)
        rig.channel.basic_qos(0, 1, True)
        settled_at(rig, 10, rig.consume(queue, no_ack=True))

    def test_does_not_hold_back_get(self, rig: Rig) -> None:
        # Given
        queue = filled(rig)
        rig.channel.basic_qos(0, 1, True)
        settled_at(rig, 1, rig.consume(queue))
        # When, Then
        assert [rig.get(queue, no_ack=False).payload for _ in range(3)] == ["1", "2", "3"]

    def test_leaves_the_rest_to_others(self, rig: Rig) -> None:
        # Given
        queue = filled(rig, 3)
        rig.channel.basic_qos(0, 2, True)
        settled_at(rig, 2, rig.consume(queue))
        # When, Then: nothing is kept in store for the consumer
        assert rig.count(queue) == 1
        assert rig.get(queue, channel=rig.new_channel(rig.connect())).payload == "2"


@requires("consumer_prefetch")
class TestConsumerPrefetch:
    def test_limits_each_consumer_by_itself(self, rig: Rig) -> None:
        # Given
        queue = filled(rig)
        rig.channel.basic_qos(0, 2, False)
        # When
        inboxes = [rig.consume(queue), rig.consume(queue)]
        # Then
        settled_at(rig, 4, *inboxes)
        assert [len(inbox) for inbox in inboxes] == [2, 2]
        inboxes[0].messages[0].ack()
        settled_at(rig, 5, *inboxes)
        assert [len(inbox) for inbox in inboxes] == [3, 2]

    def test_holds_for_those_that_come_later(self, rig: Rig) -> None:
        # Given: what the change means for a consumer that is there already, brokers see differently
        one, other = filled(rig, 1), filled(rig)
        rig.channel.basic_qos(0, 1, False)
        first = rig.consume(one)
        # When
        rig.channel.basic_qos(0, 3, False)
        second = rig.consume(other)
        # Then
        settled_at(rig, 4, first, second)
        assert [len(first), len(second)] == [1, 3]

    def test_together_with_the_channels_both_hold(self, rig: Rig) -> None:
        # Given
        queue = filled(rig)
        rig.channel.basic_qos(0, 1, False)
        rig.channel.basic_qos(0, 3, True)
        # When, Then
        inboxes = [rig.consume(queue), rig.consume(queue)]
        settled_at(rig, 2, *inboxes)
        inboxes += [rig.consume(queue), rig.consume(queue)]
        settled_at(rig, 3, *inboxes)
