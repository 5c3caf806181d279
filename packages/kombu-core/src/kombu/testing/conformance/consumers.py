"""Exclusive consumers, the notice that a queue is gone, and kombu's Consumer on top."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from kombu.exceptions import AccessRefused, ConsumerCancelled, MessageStateError
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


@requires("exclusive")
class TestExclusiveConsumer:
    def test_nobody_else_may_consume(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inbox = rig.consume(queue, exclusive=True)
        # Then
        with rig.refuses(AccessRefused, match="exclusive") as channel:
            rig.consume(queue, channel=channel)
        # And it goes on
        rig.send(queue, "hello")
        rig.receive(1, inbox)

    def test_it_does_not_come_second(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.consume(queue)
        with rig.refuses(AccessRefused, match="exclusive") as channel:
            rig.consume(queue, channel=channel, exclusive=True)

    def test_the_next_may_when_it_is_cancelled(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        first = rig.consume(queue, exclusive=True)
        with rig.refuses(AccessRefused) as channel:
            rig.consume(queue, channel=channel)
        # When
        rig.channel.basic_cancel(first.tag)
        second = rig.consume(queue, exclusive=True)
        # Then
        rig.send(queue, "hello")
        rig.receive(1, second)


@requires("consumer_cancel_notify")
class TestCancelNotification:
    def test_deleting_the_queue_is_told(self, rig: Rig) -> None:
        # Given: two consumers of the queue, one of another
        cancelled: list[str] = []
        queue, other = rig.queue(), rig.queue()
        gone = [rig.consume(queue, on_cancel=cancelled.append) for _ in range(2)]
        staying = rig.consume(other, on_cancel=cancelled.append)
        # When: another connection deletes it
        rig.new_channel(rig.connect()).queue_delete(queue=queue)
        # Then
        rig.until(lambda: len(cancelled) == 2, "on_cancel is called")
        assert sorted(cancelled) == sorted(inbox.tag for inbox in gone)
        rig.send(other, "hello")
        rig.receive(1, staying)

    def test_what_is_declared_again_can_be_consumed_again(self, rig: Rig) -> None:
        # Given
        cancelled: list[str] = []
        queue = rig.queue()
        rig.consume(queue, on_cancel=cancelled.append)
        # When: the consumer's own channel deletes it, and makes it anew
        rig.channel.queue_delete(queue=queue)
        rig.until(lambda: bool(cancelled), "on_cancel is called")
        inbox = rig.consume(rig.queue(queue), on_cancel=cancelled.append)
        # Then
        rig.send(queue, "hello")
        rig.receive(1, inbox)
        assert len(cancelled) == 1

    def test_cancelling_oneself_is_not(self, rig: Rig) -> None:
        # Given
        cancelled: list[str] = []
        queue = rig.queue()
        mine, told = (rig.consume(queue, on_cancel=cancelled.append) for _ in range(2))
        # When
        rig.channel.basic_cancel(mine.tag)
        rig.quiet()
        assert cancelled == []
        rig.new_channel().queue_delete(queue=queue)
        # Then
        rig.until(lambda: bool(cancelled), "on_cancel is called")
        assert cancelled == [told.tag]

    def test_without_a_callback_it_is_an_error(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inbox = rig.consume(queue)
        # When
        rig.new_channel(rig.connect()).queue_delete(queue=queue)
        # Then: the consumer does not wait for ever for a queue that is gone
        with pytest.raises(ConsumerCancelled, match=inbox.tag):
            rig.connection.drain_events(timeout=rig.patience)


class TestConsumerApi:
    def test_callbacks_get_decoded_bodies(self, rig: Rig) -> None:
        # Given
        from kombu import Queue

        seen: list[Any] = []

        def handle(body: Any, message: Any) -> None:
            seen.append(body)
            message.ack()

        queue = Queue(rig.queue())
        with rig.connection.Consumer([queue], callbacks=[handle], accept=["json"]):
            # When
            rig.connection.Producer().publish({"a": [1, 2]}, routing_key=queue.name)
            # Then
            while not seen:
                rig.connection.drain_events(timeout=rig.patience)
        assert seen == [{"a": [1, 2]}]
        assert rig.payloads(queue.name, 0) == []

    def test_leaving_it_stops_consuming(self, rig: Rig) -> None:
        # Given
        from kombu import Queue

        queue, seen = Queue(rig.queue()), list[Any]()
        with rig.connection.Consumer([queue], on_message=seen.append, no_ack=True):
            rig.send(queue.name, "inside")
            while not seen:
                rig.connection.drain_events(timeout=rig.patience)
        # When
        rig.send(queue.name, "outside")
        # Then
        assert rig.payloads(queue.name, 1) == ["outside"]
        assert [message.payload for message in seen] == ["inside"]

    def test_settling_what_came_with_no_ack_does_no_harm(self, rig: Rig) -> None:
        # Given
        from kombu import Queue

        queue, seen = Queue(rig.queue()), list[Any]()
        rig.send(queue.name, "a")
        with rig.connection.Consumer([queue], on_message=seen.append, no_ack=True) as consumer:
            while not seen:
                rig.connection.drain_events(timeout=rig.patience)
            seen[0].ack()
        # When
        seen[0].ack()
        with pytest.raises(MessageStateError):
            seen[0].reject()
        # Then its channel still works
        rig.send(queue.name, "b")
        assert rig.get(queue.name, channel=consumer.channel).payload == "b"

    def test_simple_queue(self, rig: Rig) -> None:
        # Given
        name = rig.name()
        with rig.connection.SimpleQueue(name) as queue:
            # When
            queue.put({"hello": "world"})
            message = queue.get(timeout=rig.patience)
            # Then
            assert message.payload == {"hello": "world"}
            message.ack()
            with pytest.raises(queue.Empty):
                queue.get(timeout=0.05)
            # And what was sent to it ahead is had without waiting, too
            for number in range(3):
                queue.put(number)
            got = [queue.get(timeout=rig.patience)]
            end = monotonic() + rig.patience
            while len(got) < 3 and monotonic() < end:
                with suppress(queue.Empty):
                    got.append(queue.get_nowait())
            assert sorted(message.payload for message in got) == [0, 1, 2]
            for message in got:
                message.ack()
        rig.channel.queue_delete(queue=name)
        rig.channel.exchange_delete(exchange=name)
