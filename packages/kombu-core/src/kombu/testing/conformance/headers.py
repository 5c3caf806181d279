"""Routing by the headers exchange (AMQP 0-9-1 section 3.1.3.4, and RabbitMQ's ``-with-x`` matches)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.exceptions import PreconditionFailed
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig

#: Binding arguments, headers of a message, whether they match.
CASES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    # all of them
    ({"x-match": "all", "a": "1", "b": "2"}, {"a": "1", "b": "2"}, True),
    ({"x-match": "all", "a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}, True),
    ({"x-match": "all", "a": "1", "b": "2"}, {"a": "1"}, False),
    ({"x-match": "all", "a": "1", "b": "2"}, {"a": "1", "b": "3"}, False),
    ({"x-match": "all"}, {}, True),
    ({"x-match": "all"}, {"a": "1"}, True),
    # any of them
    ({"x-match": "any", "a": "1", "b": "2"}, {"a": "1"}, True),
    ({"x-match": "any", "a": "1", "b": "2"}, {"a": "0", "b": "2"}, True),
    ({"x-match": "any", "a": "1", "b": "2"}, {"a": "2", "b": "1"}, False),
    ({"x-match": "any", "a": "1", "b": "2"}, {}, False),
    ({"x-match": "any"}, {"a": "1"}, False),
    # all is what is meant when nothing is said
    ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, True),
    ({"a": "1", "b": "2"}, {"a": "1"}, False),
    # headers that begin with x- count only where asked for
    ({"x-match": "all", "a": "1", "x-b": "2"}, {"a": "1"}, True),
    ({"x-match": "any", "a": "1", "x-b": "2"}, {"x-b": "2"}, False),
    ({"x-match": "all-with-x", "a": "1", "x-b": "2"}, {"a": "1", "x-b": "2"}, True),
    ({"x-match": "all-with-x", "a": "1", "x-b": "2"}, {"a": "1"}, False),
    ({"x-match": "any-with-x", "a": "1", "x-b": "2"}, {"x-b": "2"}, True),
    ({"x-match": "any-with-x", "a": "1", "x-b": "2"}, {"x-b": "3"}, False),
    # values are compared with their types
    ({"x-match": "all", "n": 1}, {"n": 1}, True),
    ({"x-match": "all", "n": 1}, {"n": "1"}, False),
    ({"x-match": "all", "n": 1}, {"n": True}, False),
    ({"x-match": "all", "n": True}, {"n": True}, True),
    ({"x-match": "all", "n": True}, {"n": False}, False),
    ({"x-match": "all", "n": 1.5}, {"n": 1.5}, True),
    ({"x-match": "all", "a": "ü"}, {"a": "ü"}, True),
    ({"x-match": "all", "a": ""}, {"a": ""}, True),
    ({"x-match": "all", "a": ""}, {}, False),
    # no value means: present, whatever it is
    ({"x-match": "all", "a": None}, {"a": "anything"}, True),
    ({"x-match": "all", "a": None}, {"b": "anything"}, False),
]


@requires("exchange_type:headers")
class TestHeaders:
    @pytest.mark.parametrize(("arguments", "headers", "match"), CASES, ids=[f"{a}-{h}" for a, h, _ in CASES])
    def test_match(self, rig: Rig, arguments: dict[str, Any], headers: dict[str, Any], match: bool) -> None:
        # Given: a queue with the binding, another that gets what carries the marker
        exchange = rig.exchange("headers")
        queue = rig.bind(rig.queue(), exchange, "", arguments)
        marked = rig.bind(rig.queue(), exchange, "", {"x-match": "all", "marker": "yes"})
        # When
        rig.publish("hello", exchange, "key", headers={**headers, "marker": "yes"})
        # Then
        assert rig.payloads(marked, 1) == ["hello"]
        assert rig.payloads(queue, int(match)) == ["hello"] * match

    def test_the_routing_key_does_not_matter(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("headers")
        queue = rig.bind(rig.queue(), exchange, "binding key", {"x-match": "all", "a": "1"})
        # When
        rig.publish("hello", exchange, "another key", headers={"a": "1"})
        rig.publish("other", exchange, "binding key", headers={"a": "2"})
        # Then
        assert rig.payloads(queue, 1) == ["hello"]

    def test_bindings_with_other_arguments_are_others(self, rig: Rig) -> None:
        # Given
        exchange, queue = rig.exchange("headers"), rig.queue()
        for value in ("1", "2"):
            rig.bind(queue, exchange, "", {"x-match": "all", "a": value})
        # When: one of them goes
        rig.channel.queue_unbind(
            queue=queue, exchange=exchange, routing_key="", arguments={"x-match": "all", "a": "1"}
        )
        for value in ("1", "2"):
            rig.publish(value, exchange, headers={"a": value})
        # Then
        assert rig.payloads(queue, 1) == ["2"]

    def test_two_that_match_give_one_message(self, rig: Rig) -> None:
        exchange, queue = rig.exchange("headers"), rig.queue()
        for name in ("a", "b"):
            rig.bind(queue, exchange, "", {"x-match": "any", name: "1"})
        rig.publish("once", exchange, "any key", headers={"a": "1", "b": "1"})
        assert rig.payloads(queue, 1) == ["once"]

    def test_an_unknown_match_is_refused(self, rig: Rig) -> None:
        exchange, queue = rig.exchange("headers"), rig.queue()
        with rig.refuses(PreconditionFailed, match="x-match") as channel:
            channel.queue_bind(queue=queue, exchange=exchange, routing_key="", arguments={"x-match": "some"})
