"""Queues of limited length (RabbitMQ's ``x-max-length``, ``x-max-length-bytes``, ``x-overflow``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu.exceptions import MessageNacked
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


@requires("max_length")
class TestMaxLength:
    def test_drops_the_oldest(self, rig: Rig) -> None:
        queue = rig.queue(max_length=3)
        rig.send(queue, *"abcde")
        assert rig.payloads(queue, 3) == ["c", "d", "e"]

    def test_of_bytes_counts_bodies(self, rig: Rig) -> None:
        # Given: room for two bodies of four bytes, whatever their headers weigh
        queue = rig.queue(max_length_bytes=10)
        # When
        for body in ("aaaa", "bbbb", "cccc", "dddd"):
            rig.send(queue, body, headers={"long": "x" * 50})
        # Then
        assert rig.payloads(queue, 2) == ["cccc", "dddd"]

    def test_of_bytes_counts_bytes(self, rig: Rig) -> None:
        queue = rig.queue(max_length_bytes=4)
        rig.send(queue, "abc", "ää")
        assert rig.payloads(queue, 1) == ["ää"]

    def test_both_hold(self, rig: Rig) -> None:
        queue = rig.queue(max_length=2, max_length_bytes=10)
        rig.send(queue, "a", "b", "c")
        assert rig.count(queue) == 2
        rig.send(queue, "123456789")
        assert rig.payloads(queue, 2) == ["c", "123456789"]

    def test_counts_what_is_ready_only(self, rig: Rig) -> None:
        # Given: two are out
        queue = rig.queue(max_length=2)
        rig.send(queue, "a", "b")
        out = [rig.get(queue, no_ack=False) for _ in range(2)]
        # When
        rig.send(queue, "c", "d")
        assert rig.count(queue) == 2
        rig.send(queue, "e")
        # Then
        for message in out:
            message.ack()
        assert rig.payloads(queue, 2) == ["d", "e"]

    @requires("priority")
    def test_drops_what_would_come_first(self, rig: Rig) -> None:
        # RabbitMQ: from the head, so that the greater priority may give way to the lower
        queue = rig.queue(max_length=2, max_priority=5)
        for body, priority in (("low", 1), ("high", 5), ("lower", 0)):
            rig.send(queue, body, priority=priority)
        assert rig.payloads(queue, 2) == ["low", "lower"]

    def test_zero_keeps_nothing(self, rig: Rig) -> None:
        queue = rig.queue(max_length=0)
        rig.send(queue, "a")
        assert rig.payloads(queue, 0) == []


@requires("max_length", "confirm")
class TestRejectPublish:
    def test_tells_the_publisher(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(max_length=2, overflow="reject-publish")
        rig.send(queue, "a", "b")
        # When
        with pytest.raises(MessageNacked):
            rig.send(queue, "c")
        # Then: the oldest stay, and there is room when one is taken
        assert rig.get(queue).payload == "a"
        rig.send(queue, "d")
        assert rig.payloads(queue, 2) == ["b", "d"]

    def test_of_bytes(self, rig: Rig) -> None:
        queue = rig.queue(max_length_bytes=8, overflow="reject-publish")
        rig.send(queue, "aaaa", "bbbb")
        with pytest.raises(MessageNacked):
            rig.send(queue, "c")
        assert rig.payloads(queue, 2) == ["aaaa", "bbbb"]

    @requires("dead_letter")
    def test_can_dead_letter_what_it_refuses(self, rig: Rig) -> None:
        # Given
        dead = rig.queue()
        queue = rig.queue(
            max_length=1, overflow="reject-publish-dlx", dead_letter_exchange="", dead_letter_routing_key=dead
        )
        rig.send(queue, "a")
        # When
        with pytest.raises(MessageNacked):
            rig.send(queue, "b")
        # Then
        message = rig.get(dead)
        assert message.payload == "b"
        assert message.headers["x-death"][0]["reason"] == "maxlen"
        assert rig.payloads(queue, 1) == ["a"]

    def test_does_not_touch_the_other_queues(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        full = rig.bound(exchange, "key", max_length=1, overflow="reject-publish")
        other = rig.bound(exchange, "key")
        rig.publish("a", exchange, "key")
        # When: one of the two queues refuses
        with pytest.raises(MessageNacked):
            rig.publish("b", exchange, "key")
        # Then
        assert rig.payloads(full, 1) == ["a"]
        assert rig.payloads(other, 2) == ["a", "b"]
