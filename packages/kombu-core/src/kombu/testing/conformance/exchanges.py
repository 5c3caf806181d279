"""Routing by the default, direct, fanout and topic exchanges (AMQP 0-9-1 section 3.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu.exceptions import AccessRefused
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


class TestDefaultExchange:
    def test_every_queue_is_bound_by_its_name(self, rig: Rig) -> None:
        # Given
        one, other = rig.queue(), rig.queue()
        # When
        rig.send(one, "hello")
        # Then
        assert rig.payloads(one, 1) == ["hello"]
        assert rig.payloads(other, 0) == []

    def test_binding_does_not_take_that_away(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        queue = rig.bound(exchange, "key")
        # When
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="key")
        rig.send(queue, "hello")
        # Then
        assert rig.payloads(queue, 1) == ["hello"]

    def test_it_cannot_be_bound(self, rig: Rig) -> None:
        queue = rig.queue()
        with rig.refuses(AccessRefused) as channel:
            channel.queue_bind(queue=queue, exchange="", routing_key="key")

    def test_it_cannot_be_deleted(self, rig: Rig) -> None:
        with rig.refuses(AccessRefused) as channel:
            channel.exchange_delete(exchange="")


class TestDirect:
    def test_the_key_has_to_be_equal(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("direct")
        keys = ["key", "Key", "key.sub", "*", "#", "a b", "schlüssel", ""]
        queues = {key: rig.bound(exchange, key) for key in keys}
        # When
        for key in [*keys, "ke", "keys"]:
            rig.publish(f"to {key}", exchange, key)
        # Then
        for key, queue in queues.items():
            assert rig.payloads(queue, 1) == [f"to {key}"]

    def test_each_queue_bound_with_the_key_gets_one(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("direct")
        queues = [rig.bound(exchange, "key", "other") for _ in range(3)]
        # When
        rig.publish("hello", exchange, "key")
        # Then
        assert [rig.payloads(queue, 1) for queue in queues] == [["hello"]] * 3

    def test_exchanges_do_not_share_keys(self, rig: Rig) -> None:
        one, other = rig.exchange("direct"), rig.exchange("direct")
        here, there = rig.bound(one, "key"), rig.bound(other, "key")
        rig.publish("hello", one, "key")
        assert rig.payloads(here, 1) == ["hello"]
        assert rig.payloads(there, 0) == []


@requires("exchange_type:fanout")
class TestFanout:
    def test_every_queue_gets_one_whatever_the_key(self, rig: Rig) -> None:
        # Given: consumers waiting
        exchange = rig.exchange("fanout")
        queues = [rig.bound(exchange), rig.bound(exchange, "a key"), rig.bound(exchange, "one", "two")]
        inboxes = [rig.consume(queue) for queue in queues]
        # When
        rig.publish("first", exchange, "anything")
        rig.publish("second", exchange, "")
        # Then
        rig.receive(6, *inboxes)
        rig.quiet()
        assert [inbox.payloads for inbox in inboxes] == [["first", "second"]] * 3

    def test_queues_keep_it_until_somebody_consumes(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("fanout")
        queues = [rig.bound(exchange) for _ in range(2)]
        # When
        rig.publish("hello", exchange, "any key")
        # Then
        assert [rig.payloads(queue, 1) for queue in queues] == [["hello"], ["hello"]]

    def test_consumers_of_one_queue_share_its_copy(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("fanout")
        shared, own = rig.bound(exchange), rig.bound(exchange)
        first, second, alone = rig.consume(shared), rig.consume(shared), rig.consume(own)
        # When
        for number in range(4):
            rig.publish(str(number), exchange, "any key")
        # Then
        rig.receive(8, first, second, alone)
        rig.quiet()
        assert alone.payloads == ["0", "1", "2", "3"]
        assert sorted(first.payloads + second.payloads) == ["0", "1", "2", "3"]

    def test_an_unbound_queue_gets_nothing_more(self, rig: Rig) -> None:
        exchange = rig.exchange("fanout")
        queues = [rig.bound(exchange) for _ in range(2)]
        rig.channel.queue_unbind(queue=queues[0], exchange=exchange, routing_key="")
        rig.publish("hello", exchange, "any key")
        assert [rig.payloads(queues[0], 0), rig.payloads(queues[1], 1)] == [[], ["hello"]]


#: Binding key, routing keys that match it, routing keys that do not.
TOPICS = [
    ("#", ["", "a", "a.b", "a.b.c", "."], []),
    ("*", ["a", "ab", "*"], ["", "a.b", "."]),
    ("a", ["a"], ["", "b", "ab", "a.b", "A"]),
    ("a.#", ["a", "a.b", "a.b.c", "a."], ["", "b", "ab", "ab.c", "b.a"]),
    ("a.*", ["a.b", "a.", "a.*"], ["a", "a.b.c", "b.a", "ab"]),
    ("#.a", ["a", "b.a", "c.b.a"], ["", "a.b", "ba", "b.ba"]),
    ("*.a", ["b.a", ".a"], ["a", "c.b.a"]),
    ("a.#.c", ["a.c", "a.b.c", "a.b.b.c", "a..c"], ["a", "c", "a.b", "ac", "a.c.d"]),
    ("a.*.c", ["a.b.c", "a..c"], ["a.c", "a.b.b.c"]),
    ("*.#", ["a", "a.b", "a.b.c"], [""]),
    ("#.*", ["a", "a.b"], [""]),
    ("#.#", ["", "a", "a.b"], []),
    ("*.*", ["a.b", "."], ["", "a", "a.b.c"]),
    ("#.a.#", ["a", "b.a", "a.b", "b.a.c", "a.a"], ["", "b", "b.c", "ab"]),
    ("*.a.#", ["b.a", "b.a.c", "b.a.c.d"], ["a", "a.b", "c.b.a"]),
    ("a.b.*.d.#", ["a.b.c.d", "a.b.c.d.e.f"], ["a.b.d", "a.b.c"]),
    ("a*", ["a*"], ["a", "ab", "a.b"]),
    ("a#.b", ["a#.b"], ["a.b", "ax.b"]),
    ("a.b+c", ["a.b+c"], ["a.bbc", "a.bc"]),
    ("st.ck.[x]", ["st.ck.[x]"], ["st.ck.x", "stock.[x]"]),
    ("a.$", ["a.$"], ["a.", "a"]),
    ("", [""], ["a", "."]),
    ("größe.*", ["größe.ä"], ["grösse.ä"]),
]


@requires("exchange_type:topic")
class TestTopic:
    @pytest.mark.parametrize(
        ("pattern", "matching", "others"),
        TOPICS,
        ids=[topic[0] or "empty" for topic in TOPICS],
    )
    def test_words(self, rig: Rig, pattern: str, matching: list[str], others: list[str]) -> None:
        # Given: a queue bound with the pattern, another for all there is
        exchange = rig.exchange("topic")
        queue, everything = rig.bound(exchange, pattern), rig.bound(exchange, "#")
        # When
        for key in [*matching, *others]:
            rig.publish(f"<{key}>", exchange, key)
        # Then
        assert rig.payloads(queue, len(matching)) == [f"<{key}>" for key in matching]
        assert rig.count(everything) == len(matching) + len(others)

    def test_several_patterns_that_match_give_one_message(self, rig: Rig) -> None:
        exchange = rig.exchange("topic")
        queue = rig.bound(exchange, "#", "a.*", "*.b", "#.#")
        rig.publish("once", exchange, "a.b")
        assert rig.payloads(queue, 1) == ["once"]

    def test_each_queue_that_matches_gets_one(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("topic")
        stocks, nyse, everything = (rig.bound(exchange, key) for key in ("stock.#", "*.nyse", "#"))
        # When
        for key in ("stock.nyse", "bond.nyse", "stock.xetra.dax"):
            rig.publish(key, exchange, key)
        # Then
        assert rig.payloads(stocks, 2) == ["stock.nyse", "stock.xetra.dax"]
        assert rig.payloads(nyse, 2) == ["stock.nyse", "bond.nyse"]
        assert rig.payloads(everything, 3) == ["stock.nyse", "bond.nyse", "stock.xetra.dax"]

    def test_unbinding_one_pattern_leaves_the_others(self, rig: Rig) -> None:
        exchange = rig.exchange("topic")
        queue = rig.bound(exchange, "a.#", "*.b")
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="a.#")
        for key in ("a.c", "a.b"):
            rig.publish(key, exchange, key)
        assert rig.payloads(queue, 1) == ["a.b"]
