"""Declaring, binding and deleting queues and exchanges (AMQP 0-9-1 sections 1.6 and 1.7; RabbitMQ)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.exceptions import NotFound, PreconditionFailed

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


class TestQueue:
    def test_answers_with_name_and_counts(self, rig: Rig) -> None:
        # Given
        name = rig.queue()
        # When
        answer = rig.channel.queue_declare(queue=name, durable=True, auto_delete=False)
        # Then
        assert (answer.queue, answer.message_count, answer.consumer_count) == (name, 0, 0)

    def test_counts_what_is_ready_and_who_consumes(self, rig: Rig) -> None:
        # Given: three messages of which one is out, and two consumers elsewhere
        busy, watched = rig.queue(), rig.queue()
        rig.send(busy, "a", "b", "c")
        rig.get(busy, no_ack=False)
        rig.consume(watched)
        rig.consume(watched)
        # When
        answers = [rig.channel.queue_declare(queue=name, passive=True) for name in (busy, watched)]
        # Then
        assert [(answer.message_count, answer.consumer_count) for answer in answers] == [(2, 0), (0, 2)]

    def test_the_broker_names_a_queue_without_name(self, rig: Rig) -> None:
        # When
        names = {rig.channel.queue_declare(queue="", durable=True, auto_delete=False).queue for _ in range(3)}
        # Then
        assert len(names) == 3
        for name in names:
            rig.send(name, "hello")
            assert rig.get(name).payload == "hello"
            rig.channel.queue_delete(queue=name)

    def test_nowait_declares_too(self, rig: Rig) -> None:
        # When
        name = rig.name()
        rig.channel.queue_declare(queue=name, durable=True, auto_delete=False, nowait=True)
        # Then
        rig.until(lambda: rig.exists(name), "the queue exists")
        rig.channel.queue_delete(queue=name)

    def test_purge_removes_and_counts_what_is_ready(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "out", "a", "b")
        out = rig.get(queue, no_ack=False)
        # When
        purged = rig.channel.queue_purge(queue=queue)
        # Then: what is out with a consumer is not touched
        assert purged == 2
        out.requeue()
        assert rig.payloads(queue, 1) == ["out"]

    def test_everybody_sees_it(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        # When
        other = rig.new_channel(rig.connect())
        rig.send(queue, "hello", channel=other)
        # Then
        assert rig.get(queue).payload == "hello"


class TestRedeclare:
    def test_the_same_again_changes_nothing(self, rig: Rig) -> None:
        # Given
        queue, exchange = rig.queue(), rig.exchange()
        rig.bind(queue, exchange, "key")
        rig.send(queue, "kept")
        # When
        rig.queue(queue)
        rig.exchange(name=exchange)
        # Then
        rig.publish("routed", exchange, "key")
        assert rig.payloads(queue, 2) == ["kept", "routed"]

    @pytest.mark.parametrize(
        ("capability", "before", "after", "named"),
        [
            ("", {"durable": True}, {"durable": False}, "durable"),
            ("auto_delete", {"auto_delete": False}, {"auto_delete": True}, "auto_delete"),
            ("max_length", {}, {"max_length": 5}, "x-max-length"),
            ("max_length", {"max_length": 5}, {}, "x-max-length"),
            ("max_length", {"max_length": 5}, {"max_length": 6}, "x-max-length"),
            ("message_ttl", {"message_ttl": 60000}, {"message_ttl": 60001}, "x-message-ttl"),
            ("queue_expires", {"expires": 60000}, {"expires": 60001}, "x-expires"),
            (
                "dead_letter",
                {"dead_letter_exchange": "a"},
                {"dead_letter_exchange": "b"},
                "x-dead-letter-exchange",
            ),
            ("priority", {"max_priority": 3}, {"max_priority": 4}, "x-max-priority"),
        ],
    )
    def test_another_queue_of_that_name_is_refused(
        self, rig: Rig, capability: str, before: dict[str, Any], after: dict[str, Any], named: str
    ) -> None:
        # Given
        rig.skip_without(capability)
        queue = rig.queue(**before)
        # Then: the answer names what differs
        with rig.refuses(PreconditionFailed, match=named) as channel:
            rig.queue(queue, channel=channel, **after)
        # And the queue is still there
        rig.queue(queue, **before)

    @pytest.mark.parametrize(
        ("capability", "before", "after", "named"),
        [
            ("", {"durable": True}, {"durable": False}, "durable"),
            ("exchange_type:fanout", {"type": "direct"}, {"type": "fanout"}, "type"),
            ("auto_delete", {"auto_delete": False}, {"auto_delete": True}, "auto_delete"),
            ("alternate_exchange", {"alternate_exchange": "a"}, {"alternate_exchange": "b"}, "alternate"),
        ],
    )
    def test_another_exchange_of_that_name_is_refused(
        self, rig: Rig, capability: str, before: dict[str, Any], after: dict[str, Any], named: str
    ) -> None:
        # Given
        rig.skip_without(capability)
        exchange = rig.exchange(**before)
        # Then
        with rig.refuses(PreconditionFailed, match=named) as channel:
            rig.exchange(name=exchange, channel=channel, **after)
        rig.exchange(name=exchange, **before)


class TestPassive:
    def test_a_missing_queue_is_not_found(self, rig: Rig) -> None:
        name = rig.name()
        with rig.refuses(NotFound, match=name) as channel:
            channel.queue_declare(queue=name, passive=True)
        assert not rig.exists(name), "asking must not create it"

    def test_a_missing_exchange_is_not_found(self, rig: Rig) -> None:
        name = rig.name()
        for _ in range(2):  # asking did not create it
            with rig.refuses(NotFound, match=name) as channel:
                channel.exchange_declare(exchange=name, type="direct", passive=True)

    def test_what_is_there_is_found_whatever_its_properties(self, rig: Rig) -> None:
        # Given
        queue, exchange = rig.queue(durable=True), rig.exchange(durable=True)
        # When, Then: nothing is compared
        assert rig.channel.queue_declare(queue=queue, passive=True, durable=False).queue == queue
        rig.channel.exchange_declare(exchange=exchange, type="direct", passive=True, durable=False)

    @pytest.mark.parametrize("type", ["direct", "fanout", "topic", "headers"])
    def test_standard_exchanges_are_there(self, rig: Rig, type: str) -> None:
        if type in rig.connection.transport.implements.exchange_type:
            rig.channel.exchange_declare(exchange=f"amq.{type}", type=type, passive=True)


class TestBind:
    def test_twice_is_as_good_as_once(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key")
        rig.bind(queue, exchange, "key")
        # When
        rig.publish("hello", exchange, "key")
        # Then
        assert rig.payloads(queue, 1) == ["hello"]

    def test_unbound_gets_nothing_more(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "one", "two")
        # When
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="one")
        rig.publish("gone", exchange, "one")
        rig.publish("here", exchange, "two")
        # Then
        assert rig.payloads(queue, 1) == ["here"]

    def test_unbinding_what_is_not_bound_is_no_error(self, rig: Rig) -> None:
        exchange = rig.exchange()
        queue = rig.bound(exchange, "one")
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="other")
        rig.publish("here", exchange, "one")
        assert rig.payloads(queue, 1) == ["here"]

    def test_to_a_missing_exchange_is_refused(self, rig: Rig) -> None:
        queue, missing = rig.queue(), rig.name()
        with rig.refuses(NotFound, match=missing) as channel:
            channel.queue_bind(queue=queue, exchange=missing, routing_key="key")

    def test_of_a_missing_queue_is_refused(self, rig: Rig) -> None:
        exchange, missing = rig.exchange(), rig.name()
        with rig.refuses(NotFound, match=missing) as channel:
            channel.queue_bind(queue=missing, exchange=exchange, routing_key="key")


class TestDelete:
    def test_a_queue_goes_with_its_messages_and_bindings(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key")
        rig.publish("old", exchange, "key")
        # When
        assert rig.channel.queue_delete(queue=queue) == 1
        assert not rig.exists(queue)
        # Then: another of that name starts empty and unbound
        rig.queue(queue)
        rig.publish("not bound", exchange, "key")
        rig.send(queue, "new")
        assert rig.payloads(queue, 1) == ["new"]

    def test_a_missing_queue_or_exchange_is_no_error(self, rig: Rig) -> None:
        # RabbitMQ 3.2 and later; AMQP itself would answer 404
        assert rig.channel.queue_delete(queue=rig.name()) == 0
        rig.channel.exchange_delete(exchange=rig.name())

    def test_if_empty_spares_a_queue_with_messages(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.send(queue, "kept")
        with rig.refuses(PreconditionFailed) as channel:
            channel.queue_delete(queue=queue, if_empty=True)
        assert rig.payloads(queue, 1) == ["kept"]
        rig.channel.queue_delete(queue=queue, if_empty=True)
        assert not rig.exists(queue)

    def test_if_unused_spares_a_queue_with_consumers(self, rig: Rig) -> None:
        queue = rig.queue()
        inbox = rig.consume(queue)
        with rig.refuses(PreconditionFailed) as channel:
            channel.queue_delete(queue=queue, if_unused=True)
        rig.channel.basic_cancel(inbox.tag)
        rig.channel.queue_delete(queue=queue, if_unused=True)
        assert not rig.exists(queue)

    def test_if_unused_spares_an_exchange_with_bindings(self, rig: Rig) -> None:
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key")
        with rig.refuses(PreconditionFailed) as channel:
            channel.exchange_delete(exchange=exchange, if_unused=True)
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="key")
        rig.channel.exchange_delete(exchange=exchange, if_unused=True)
        with rig.refuses(NotFound) as channel:
            channel.exchange_declare(exchange=exchange, type="direct", passive=True)

    def test_an_exchange_goes_with_its_bindings(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key")
        # When
        rig.channel.exchange_delete(exchange=exchange)
        rig.exchange(name=exchange)
        rig.publish("not bound", exchange, "key")
        # Then
        assert rig.count(queue) == 0
