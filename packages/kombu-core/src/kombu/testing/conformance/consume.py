"""Consuming: pushed and fetched messages, tags, turns, cancelling (AMQP 0-9-1 section 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu.exceptions import NotFound

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


class TestGet:
    def test_an_empty_queue_gives_none(self, rig: Rig) -> None:
        assert rig.get_now(rig.queue()) is None

    def test_takes_one_at_a_time(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "a", "b")
        # When
        message = rig.get(queue, no_ack=False)
        # Then: it waits for its acknowledgement, the other in the queue
        assert message.payload == "a"
        assert rig.count(queue) == 1
        message.ack()
        assert rig.payloads(queue, 1) == ["b"]

    def test_tells_how_many_are_left(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.send(queue, *"abc")
        assert [rig.get(queue).delivery_info["message_count"] for _ in range(3)] == [2, 1, 0]

    def test_without_acknowledgement_it_is_gone(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, "a")
        # When
        assert rig.get(queue, no_ack=True, channel=channel).payload == "a"
        channel.close()
        # Then
        assert rig.payloads(queue, 0) == []

    def test_by_queue_object(self, rig: Rig) -> None:
        # Given
        from kombu import Queue

        queue = Queue(rig.queue(), channel=rig.channel)
        rig.send(queue.name, "a")
        # When
        message = queue.get(no_ack=False)
        # Then
        assert message.payload == "a"
        message.ack()
        assert queue.get() is None


class TestConsume:
    def test_gets_what_was_there_and_what_comes(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "there")
        # When
        inbox = rig.consume(queue)
        rig.send(queue, "comes")
        # Then
        rig.receive(2, inbox)
        assert inbox.payloads == ["there", "comes"]

    def test_in_order_across_many(self, rig: Rig) -> None:
        queue = rig.queue()
        bodies = [str(number) for number in range(100)]
        inbox = rig.consume(queue)
        rig.send(queue, *bodies)
        rig.receive(100, inbox)
        assert inbox.payloads == bodies

    def test_messages_name_their_consumer(self, rig: Rig) -> None:
        # Given
        one, other = rig.queue(), rig.queue()
        inboxes = [rig.consume(one), rig.consume(other)]
        # When
        rig.send(one, "a")
        rig.send(other, "b")
        # Then
        rig.receive(2, *inboxes)
        for inbox in inboxes:
            assert [message.delivery_info["consumer_tag"] for message in inbox.messages] == [inbox.tag]
            assert inbox.messages[0].delivery_info["redelivered"] is False
        tags = [inbox.messages[0].delivery_tag for inbox in inboxes]
        assert len(set(tags)) == 2, "delivery tags are unique in a channel"

    def test_an_empty_tag_is_made_up(self, rig: Rig) -> None:
        # When
        found: list[str] = []
        tags = [
            rig.channel.basic_consume(
                queue=rig.queue(), no_ack=True, callback=lambda raw: found.append(raw), consumer_tag=""
            )
            for _ in range(2)
        ]
        # Then
        assert all(tags)
        assert tags[0] != tags[1]
        for tag in tags:
            rig.channel.basic_cancel(tag)

    def test_a_missing_queue_is_refused(self, rig: Rig) -> None:
        missing = rig.name()
        with rig.refuses(NotFound, match=missing) as channel:
            channel.basic_consume(queue=missing, no_ack=True, callback=print, consumer_tag=rig.name())

    def test_several_queues_by_one_channel(self, rig: Rig) -> None:
        # Given
        queues = [rig.queue() for _ in range(3)]
        inbox = rig.consume(*queues)
        # When
        for queue in queues:
            rig.send(queue, "a", "b")
        # Then
        rig.receive(6, inbox)
        assert sorted(inbox.payloads) == ["a"] * 3 + ["b"] * 3

    def test_no_queue_starves_another(self, rig: Rig) -> None:
        # Given: two full queues and one message at a time
        queues = [rig.queue(), rig.queue()]
        for queue in queues:
            rig.send(queue, *[queue] * 20)
        rig.channel.basic_qos(0, 1, False)
        inbox = rig.consume(*queues)
        # When
        for number in range(20):
            rig.receive(number + 1, inbox)
            inbox.messages[number].ack()
        # Then
        assert set(inbox.payloads[:20]) == set(queues)

    def test_without_acknowledgement_nothing_comes_back(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, "a", "b")
        inbox = rig.consume(queue, channel=channel, no_ack=True)
        rig.receive(2, inbox)
        # When
        channel.close()
        # Then
        assert rig.payloads(queue, 0) == []


class TestCallbacks:
    def test_may_declare_publish_and_consume(self, rig: Rig) -> None:
        # Given: a consumer that does all of it while it handles a message
        questions, replies = rig.queue(), rig.name()
        inboxes = []

        def answer(raw: object) -> None:
            message = rig.channel.message_to_python(raw)
            inboxes.append(rig.consume(rig.queue(replies)))
            rig.send(replies, f"answer to {message.payload}")
            message.ack()

        rig.consume(rig.queue())
        rig.channel.basic_consume(queue=questions, no_ack=False, callback=answer, consumer_tag=rig.name())
        # When
        rig.send(questions, "question")
        # Then
        rig.until(lambda: bool(inboxes) and len(inboxes[0]) == 1, "the answer")
        assert inboxes[0].payloads == ["answer to question"]

    def test_may_wait_for_the_next_event(self, rig: Rig) -> None:
        # Given: what asks and waits for the answer while it handles a message
        work, answers = rig.queue(), rig.queue()
        inbox = rig.consume(answers)

        def handle(raw: object) -> None:
            rig.send(answers, "answer")
            rig.receive(1, inbox)
            done.append(inbox.payloads[0])

        done: list[str] = []
        rig.channel.basic_consume(queue=work, no_ack=True, callback=handle, consumer_tag=rig.name())
        # When
        rig.send(work, "work")
        # Then
        rig.until(lambda: bool(done), "the callback ends")
        assert done == ["answer"]

    def test_may_cancel_its_consumer(self, rig: Rig) -> None:
        # Given
        queue, tag, seen = rig.queue(), rig.name(), list[object]()

        def handle(raw: object) -> None:
            seen.append(raw)
            rig.channel.basic_cancel(tag)

        rig.channel.basic_qos(0, 1, False)
        rig.channel.basic_consume(queue=queue, no_ack=False, callback=handle, consumer_tag=tag)
        # When
        rig.send(queue, "a", "b")
        # Then
        rig.until(lambda: bool(seen), "a message")
        rig.quiet()
        assert len(seen) == 1
        assert rig.payloads(queue, 1) == ["b"]

    def test_may_close_its_channel(self, rig: Rig) -> None:
        # Given
        queue, channel, seen = rig.queue(), rig.new_channel(), list[object]()

        def handle(raw: object) -> None:
            seen.append(raw)
            channel.close()

        channel.basic_qos(0, 1, False)
        channel.basic_consume(queue=queue, no_ack=False, callback=handle, consumer_tag=rig.name())
        # When
        rig.send(queue, "a", "b")
        # Then
        rig.until(lambda: bool(seen), "a message")
        rig.quiet()
        assert len(seen) == 1
        assert rig.payloads(queue, 2) == ["a", "b"]

    def test_may_fail_and_settles_nothing_by_it(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()

        def handle(raw: object) -> None:
            raise ZeroDivisionError

        rig.send(queue, "a", "b")
        channel.basic_qos(0, 1, False)
        channel.basic_consume(queue=queue, no_ack=False, callback=handle, consumer_tag=rig.name())
        # When: it reaches the one who drains
        with pytest.raises(ZeroDivisionError):
            rig.connection.drain_events(timeout=rig.patience)
        # Then
        assert rig.count(queue) == 1
        channel.close()
        assert rig.payloads(queue, 2) == ["a", "b"]


class TestTurns:
    def test_two_consumers_of_a_queue_take_turns(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inboxes = [rig.consume(queue), rig.consume(queue)]
        # When
        rig.send(queue, *map(str, range(8)))
        # Then
        rig.receive(8, *inboxes)
        rig.quiet()
        assert sorted(inboxes[0].payloads + inboxes[1].payloads) == list(map(str, range(8)))
        assert [len(inbox) for inbox in inboxes] == [4, 4]

    def test_also_by_two_connections(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inboxes = [rig.consume(queue, channel=rig.new_channel(rig.connect())) for _ in range(2)]
        # When
        rig.send(queue, *map(str, range(8)))
        # Then: who asks gets, or is given in turn
        rig.receive(8, *inboxes)
        assert sorted(inboxes[0].payloads + inboxes[1].payloads) == list(map(str, range(8)))
        assert all(len(inbox) for inbox in inboxes), "one got everything"

    def test_cancelling_one_leaves_the_other(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        leaving, staying = rig.consume(queue), rig.consume(queue)
        rig.send(queue, "a", "b")
        rig.receive(2, leaving, staying)
        seen = len(leaving)
        # When
        rig.channel.basic_cancel(leaving.tag)
        rig.send(queue, "c", "d")
        # Then
        rig.receive(4, leaving, staying)
        assert len(leaving) == seen
        assert staying.payloads[-2:] == ["c", "d"]

    def test_cancelled_gets_nothing_more(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inbox = rig.consume(queue)
        rig.send(queue, "before")
        rig.receive(1, inbox)
        # When
        rig.channel.basic_cancel(inbox.tag)
        rig.send(queue, "after")
        # Then: it stays in the queue
        rig.quiet()
        assert inbox.payloads == ["before"]
        assert rig.payloads(queue, 1) == ["after"]

    def test_what_a_cancelled_consumer_has_can_be_settled(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inbox = rig.consume(queue)
        rig.send(queue, "a", "b")
        rig.receive(2, inbox)
        # When
        rig.channel.basic_cancel(inbox.tag)
        assert rig.count(queue) == 0, "cancelling gives nothing back"
        inbox.messages[0].ack()
        inbox.messages[1].requeue()
        # Then
        assert rig.payloads(queue, 1) == ["b"]

    def test_cancelling_an_unknown_tag_is_no_error(self, rig: Rig) -> None:
        rig.channel.basic_cancel(rig.name())
        rig.sync(rig.channel)
