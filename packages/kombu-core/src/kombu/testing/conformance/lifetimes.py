"""Queues and exchanges that go by themselves: auto-delete, exclusive, ``x-expires``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.exceptions import NotFound, ResourceLocked
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.testing.rig import Rig


def gone(rig: Rig, queue: str) -> None:
    rig.until(lambda: not rig.exists(queue), f"{queue} is gone")


@requires("auto_delete")
class TestAutoDelete:
    def test_goes_with_the_last_consumer(self, rig: Rig) -> None:
        # Given: it waits for the first
        queue = rig.queue(auto_delete=True)
        rig.send(queue, "hello")
        assert rig.get(queue).payload == "hello"
        assert rig.exists(queue)
        first, second = rig.consume(queue), rig.consume(queue)
        # When, Then
        rig.channel.basic_cancel(first.tag)
        rig.quiet()
        assert rig.exists(queue)
        rig.channel.basic_cancel(second.tag)
        gone(rig, queue)

    def test_goes_when_the_channel_closes(self, rig: Rig) -> None:
        queue, channel = rig.queue(auto_delete=True), rig.new_channel()
        rig.consume(queue, channel=channel)
        channel.close()
        gone(rig, queue)

    def test_goes_when_the_connection_closes(self, rig: Rig) -> None:
        queue, other = rig.queue(auto_delete=True), rig.connect()
        other.channel().basic_consume(queue=queue, no_ack=True, callback=print, consumer_tag=rig.name())
        other.close()
        gone(rig, queue)

    def test_goes_with_its_messages_and_bindings(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key", auto_delete=True)
        inbox = rig.consume(queue)
        rig.publish("held", exchange, "key")
        rig.receive(1, inbox)
        # When
        rig.channel.basic_cancel(inbox.tag)
        gone(rig, queue)
        rig.queue(queue)
        rig.publish("not bound", exchange, "key")
        # Then
        assert rig.payloads(queue, 0) == []

    def test_an_exchange_goes_with_its_last_binding(self, rig: Rig) -> None:
        # Given
        exchange, queue = rig.exchange(auto_delete=True), rig.queue()
        rig.channel.exchange_declare(exchange=exchange, type="direct", passive=True)
        for key in ("one", "two"):
            rig.bind(queue, exchange, key)
        # When, Then
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="one")
        rig.channel.exchange_declare(exchange=exchange, type="direct", passive=True)
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="two")
        with rig.refuses(NotFound, match=exchange) as channel:
            channel.exchange_declare(exchange=exchange, type="direct", passive=True)

    def test_an_exchange_goes_with_its_last_queue(self, rig: Rig) -> None:
        exchange = rig.exchange(auto_delete=True)
        queue = rig.bound(exchange, "key")
        rig.channel.queue_delete(queue=queue)
        with rig.refuses(NotFound, match=exchange) as channel:
            channel.exchange_declare(exchange=exchange, type="direct", passive=True)


VERBS: dict[str, Callable[[Any, str], Any]] = {
    "declare": lambda channel, name: channel.queue_declare(queue=name, exclusive=True, auto_delete=False),
    "passive declare": lambda channel, name: channel.queue_declare(queue=name, passive=True),
    "bind": lambda channel, name: channel.queue_bind(queue=name, exchange="amq.direct", routing_key="key"),
    "consume": lambda channel, name: channel.basic_consume(
        queue=name, callback=print, consumer_tag="", no_ack=True
    ),
    "get": lambda channel, name: channel.basic_get(queue=name, no_ack=True),
    "purge": lambda channel, name: channel.queue_purge(queue=name),
    "delete": lambda channel, name: channel.queue_delete(queue=name),
}


@requires("exclusive")
class TestExclusive:
    @pytest.mark.parametrize("verb", VERBS)
    def test_other_connections_are_locked_out(self, rig: Rig, verb: str) -> None:
        # Given
        queue = rig.queue(exclusive=True)
        rig.send(queue, "mine")
        # Then
        with rig.refuses(ResourceLocked, match=queue, connection=rig.connect()) as channel:
            VERBS[verb](channel, queue)
        assert rig.payloads(queue, 1) == ["mine"]

    def test_other_connections_may_publish(self, rig: Rig) -> None:
        # Given
        queue, other = rig.queue(exclusive=True), rig.connect()
        # When
        rig.send(queue, "a reply", channel=other.channel())
        # Then
        assert rig.get(queue).payload == "a reply"
        with rig.refuses(ResourceLocked, connection=other) as channel:
            channel.basic_get(queue=queue, no_ack=True)

    def test_all_channels_of_the_connection_may_use_it(self, rig: Rig) -> None:
        # Given
        queue, second = rig.queue(exclusive=True), rig.new_channel()
        rig.send(queue, "hello")
        # When, Then
        assert rig.get(queue, channel=second).payload == "hello"
        second.close()
        assert rig.exists(queue)
        with rig.refuses(ResourceLocked, connection=rig.connect()) as channel:
            channel.queue_declare(queue=queue, passive=True)

    def test_can_be_declared_again_by_its_owner(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(exclusive=True)
        rig.send(queue, "kept")
        # When
        rig.queue(queue, exclusive=True)
        # Then
        assert rig.payloads(queue, 1) == ["kept"]
        with rig.refuses(ResourceLocked, connection=rig.connect()) as channel:
            rig.queue(queue, channel=channel)

    def test_goes_with_its_connection(self, rig: Rig) -> None:
        # Given
        owner = rig.connect()
        queue = rig.queue(exclusive=True, channel=owner.channel())
        with rig.refuses(ResourceLocked) as channel:
            channel.queue_declare(queue=queue, passive=True)
        # When
        owner.close()
        # Then
        gone(rig, queue)


EXPIRES = 120


@requires("queue_expires")
class TestQueueExpires:
    def unused(self, rig: Rig, queue: str) -> None:
        """The queue goes; asking is a use, so time between two questions is longer than that."""

        def look() -> bool:
            rig.elapse(EXPIRES * 1.5 / 1000)
            return not rig.exists(queue)

        rig.until(look, "the unused queue expires")

    def test_unused_it_goes(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(expires=EXPIRES)
        rig.send(queue, "hello")
        # Then: with its messages, publishing is no use
        self.unused(rig, queue)

    def test_not_while_it_is_consumed(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(expires=EXPIRES)
        inbox = rig.consume(queue)
        # When
        rig.elapse(EXPIRES * 3 / 1000)
        # Then
        rig.send(queue, "hello")
        rig.receive(1, inbox)
        inbox.messages[0].ack()
        rig.channel.basic_cancel(inbox.tag)
        self.unused(rig, queue)

    @pytest.mark.parametrize("use", ["declare", "get"])
    def test_not_while_it_is_used(self, rig: Rig, use: str) -> None:
        # Given
        queue = rig.queue(expires=EXPIRES)
        # When
        for _ in range(6):
            rig.elapse(EXPIRES / 3 / 1000)
            if use == "declare":
                rig.queue(queue, expires=EXPIRES)
            else:
                rig.get_now(queue)
        # Then
        assert rig.exists(queue)
        self.unused(rig, queue)
