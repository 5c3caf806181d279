"""Exchanges bound to exchanges, and alternate exchanges (RabbitMQ's extensions of those names)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.exceptions import NotFound
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


def link(rig: Rig, source: str, destination: str, key: str = "") -> None:
    rig.channel.exchange_bind(destination=destination, source=source, routing_key=key)


@requires("exchange_bind")
class TestExchangeBindings:
    def test_what_matches_flows_on(self, rig: Rig) -> None:
        # Given
        source, destination = rig.exchange("direct"), rig.exchange("direct")
        link(rig, source, destination, "key")
        queue = rig.bound(destination, "key", "other")
        # When
        rig.publish("hello", source, "key")
        rig.publish("not linked", source, "other")
        # Then
        assert rig.payloads(queue, 1) == ["hello"]

    def test_the_next_exchange_routes_by_the_same_key(self, rig: Rig) -> None:
        # Given: everything flows on, then is chosen by key
        source, destination = rig.exchange("direct"), rig.exchange("direct")
        for key in ("a", "b"):
            link(rig, source, destination, key)
        queue = rig.bound(destination, "b")
        # When
        for key in ("a", "b"):
            rig.publish(key, source, key)
        # Then
        assert rig.payloads(queue, 1) == ["b"]

    @requires("exchange_type:topic", "exchange_type:fanout")
    def test_through_a_chain_of_types(self, rig: Rig) -> None:
        # Given
        topic, fanout, direct = rig.exchange("topic"), rig.exchange("fanout"), rig.exchange("direct")
        link(rig, topic, fanout, "a.#")
        link(rig, fanout, direct)
        queue = rig.bound(direct, "a.b")
        # When
        for key in ("a.b", "a.c", "b.a"):
            rig.publish(key, topic, key)
        # Then
        message = rig.get(queue)
        assert message.payload == "a.b"
        assert message.delivery_info["exchange"] == topic
        assert message.delivery_info["routing_key"] == "a.b"
        assert rig.payloads(queue, 0) == []

    def test_several_ways_to_a_queue_give_one_message(self, rig: Rig) -> None:
        # Given
        source, left, right = (rig.exchange("direct") for _ in range(3))
        queue = rig.queue()
        for middle in (left, right):
            link(rig, source, middle, "key")
            rig.bind(queue, middle, "key")
        rig.bind(queue, source, "key")
        far = rig.bound(right, "key")
        # When
        rig.publish("once", source, "key")
        # Then
        assert rig.payloads(queue, 1) == rig.payloads(far, 1) == ["once"]

    def test_a_circle_ends(self, rig: Rig) -> None:
        # Given
        one, two = rig.exchange("direct"), rig.exchange("direct")
        link(rig, one, two, "key")
        link(rig, two, one, "key")
        queues = [rig.bound(one, "key"), rig.bound(two, "key")]
        # When
        rig.publish("once", one, "key")
        # Then
        assert [rig.payloads(queue, 1) for queue in queues] == [["once"], ["once"]]

    def test_unbound_lets_nothing_through(self, rig: Rig) -> None:
        # Given
        source, destination = rig.exchange("direct"), rig.exchange("direct")
        for key in ("a", "b"):
            link(rig, source, destination, key)
        queue = rig.bound(destination, "a", "b")
        # When
        rig.channel.exchange_unbind(destination=destination, source=source, routing_key="a")
        for key in ("a", "b"):
            rig.publish(key, source, key)
        # Then
        assert rig.payloads(queue, 1) == ["b"]

    def test_missing_ones_are_not_found(self, rig: Rig) -> None:
        exchange, missing = rig.exchange(), rig.name()
        for source, destination in ((exchange, missing), (missing, exchange)):
            with rig.refuses(NotFound, match=missing) as channel:
                channel.exchange_bind(destination=destination, source=source, routing_key="key")

    def test_a_deleted_destination_is_unbound(self, rig: Rig) -> None:
        # Given
        source, destination = rig.exchange(), rig.exchange()
        link(rig, source, destination, "key")
        near, far = rig.bound(source, "key"), rig.bound(destination, "key")
        rig.publish("before", source, "key")
        # When
        rig.channel.exchange_delete(exchange=destination)
        rig.publish("after", source, "key")
        # Then
        assert rig.payloads(near, 2) == ["before", "after"]
        assert rig.payloads(far, 1) == ["before"]


@requires("alternate_exchange")
class TestAlternateExchange:
    def test_takes_what_cannot_be_routed(self, rig: Rig) -> None:
        # Given
        alternate = rig.exchange("direct")
        exchange = rig.exchange("direct", alternate_exchange=alternate)
        queue, rest = rig.bound(exchange, "known"), rig.bound(alternate, "known", "unknown")
        # When
        rig.publish("routed", exchange, "known")
        rig.publish("lost", exchange, "unknown")
        # Then
        assert rig.payloads(queue, 1) == ["routed"]
        message = rig.get(rest)
        assert message.payload == "lost"
        assert message.delivery_info["routing_key"] == "unknown"
        assert rig.payloads(rest, 0) == []

    def test_has_an_alternate_itself(self, rig: Rig) -> None:
        last = rig.exchange("direct")
        middle = rig.exchange("direct", alternate_exchange=last)
        first = rig.exchange("direct", alternate_exchange=middle)
        queue = rig.bound(last, "key")
        rig.publish("hello", first, "key")
        assert rig.payloads(queue, 1) == ["hello"]

    def test_in_a_circle_ends(self, rig: Rig) -> None:
        # Given
        one, two = rig.name(), rig.name()
        rig.exchange("direct", one, alternate_exchange=two)
        rig.exchange("direct", two, alternate_exchange=one)
        queue = rig.bound(two, "key")
        # When
        rig.publish("to nobody", one, "other")
        rig.publish("hello", one, "key")
        # Then
        assert rig.payloads(queue, 1) == ["hello"]

    @requires("mandatory")
    def test_counts_as_routed_for_mandatory(self, rig: Rig) -> None:
        # Given
        returned: list[str] = []
        rig.channel.events["basic_return"].add(lambda error, exchange, key, message: returned.append(key))
        alternate = rig.exchange("direct")
        exchange = rig.exchange("direct", alternate_exchange=alternate)
        rest = rig.bound(alternate, "taken")
        # When
        rig.publish("taken", exchange, "taken", mandatory=True)
        rig.publish("not even there", exchange, "refused", mandatory=True)
        # Then
        rig.until(lambda: bool(returned), "the second message comes back")
        assert returned == ["refused"]
        assert rig.payloads(rest, 1) == ["taken"]

    def test_may_be_missing(self, rig: Rig) -> None:
        # Given: it is declared only later
        alternate = rig.name()
        exchange = rig.exchange("direct", alternate_exchange=alternate)
        rig.publish("lost", exchange, "key")
        # When
        rig.exchange("direct", alternate)
        queue = rig.bound(alternate, "key")
        rig.publish("kept", exchange, "key")
        # Then
        assert rig.payloads(queue, 1) == ["kept"]
