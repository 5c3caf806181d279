"""Routing: exchange types against a plain reading of AMQP's rules, and what a change of the topology does."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.exceptions import NotFound, PreconditionFailed
from kombu.transport.virtual.routing import Topology
from kombu.transport.virtual.tables import TopicTable, headers_match


@pytest.fixture
def topology() -> Topology:
    return Topology()


def bound(topology, type, bindings, name="ex"):
    topology.declare_exchange(name, type)
    for queue, key, *arguments in bindings:
        topology.declare_queue(queue)
        topology.bind(("queue", queue), name, key, *arguments)


word = st.sampled_from(["a", "b", "cc", "", "*x"])
pattern_word = st.one_of(word, st.sampled_from(["*", "#"]))


def topic_oracle(pattern: list[str], key: list[str]) -> bool:
    """AMQP 0-9-1 3.1.3.3 read literally, word by word."""
    if not pattern:
        return not key
    head, *rest = pattern
    if head == "#":
        return any(topic_oracle(rest, key[skip:]) for skip in range(len(key) + 1))
    return bool(key) and head in ("*", key[0]) and topic_oracle(rest, key[1:])


@given(st.lists(st.lists(pattern_word, max_size=4), max_size=6), st.lists(word, max_size=5))
def test_topic_agrees_with_the_rule_read_word_by_word(patterns, key):
    # Given patterns in a trie, some of them taken out again
    table = TopicTable()
    texts = [".".join(pattern) for pattern in patterns]
    for at, text in enumerate(texts):
        table.add(("queue", f"q{at}"), text, {})
    for at, text in list(enumerate(texts))[::2]:
        table.remove(("queue", f"q{at}"), text, {})
    text_key = ".".join(key)
    words = text_key.split(".") if text_key else []
    # When a key is matched
    found = {name for _, name in table.match(text_key, {})}
    # Then those are found that the rule names
    left = [(at, text) for at, text in enumerate(texts) if at % 2]
    assert found == {f"q{at}" for at, text in left if topic_oracle(text.split(".") if text else [], words)}


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("#", "", True),
        ("#.b", "b", True),
        ("*", "a", True),
        ("*", "a.b", False),
        ("*.b", ".b", True),
        ("a.*", "a", False),
        ("a.*.#", "a.b", True),
        ("#.#.#", "x.y", True),
    ],
)
def test_topic_examples(topology, pattern, key, matches):
    bound(topology, "topic", [("q", pattern)])
    assert topology.route("ex", key) == (("q",) if matches else ())


def test_many_hashes_are_not_exponential(topology):
    bound(topology, "topic", [("q", ".".join(["#", "a"] * 30))])
    assert topology.route("ex", ".".join(["a"] * 60 + ["b"])) == ()


def test_direct_routes_by_equal_key_and_each_queue_once(topology):
    bound(topology, "direct", [("q1", "k"), ("q2", "k"), ("q3", "other"), ("q1", "k")])
    assert topology.route("ex", "k") == ("q1", "q2")
    assert topology.route("ex", "no") == ()


def test_fanout_ignores_keys(topology):
    bound(topology, "fanout", [("q1", "x"), ("q2", ""), ("q1", "y")])
    assert topology.route("ex", "z") == ("q1", "q2")
    topology.unbind(("queue", "q1"), "ex", "x")
    assert topology.route("ex", "z") == ("q1", "q2") or set(topology.route("ex", "z")) == {"q1", "q2"}
    topology.unbind(("queue", "q1"), "ex", "y")
    assert topology.route("ex", "z") == ("q2",)


@pytest.mark.parametrize(
    ("arguments", "headers", "matches"),
    [
        ({}, {}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1}, {"a": 2}, False),
        ({"x-match": "any"}, {}, False),
        ({"x-kind": 1, "a": 1}, {"a": 1}, True),
        ({"x-match": "all-with-x", "x-kind": 1, "a": 1}, {"a": 1}, False),
        ({"x-match": "any-with-x", "x-kind": 1}, {"x-kind": 1}, True),
        ({"x-match": "any", "x-kind": 1}, {"x-kind": 1}, False),
        ({"a": None}, {"a": 5}, True),
        ({"a": None}, {}, False),
        ({"a": True}, {"a": 1}, False),
    ],
)
def test_headers(topology, arguments, headers, matches):
    bound(topology, "headers", [("q", "", arguments)])
    assert headers_match(arguments, headers) is matches
    assert topology.route("ex", "whatever", headers) == (("q",) if matches else ())


def test_headers_are_never_remembered_by_routing_key(topology):
    bound(topology, "headers", [("q", "", {"a": 1})])
    assert topology.route("ex", "k", {"a": 1}) == ("q",)
    assert topology.route("ex", "k", {"a": 2}) == ()


def test_exchange_to_exchange_with_a_cycle(topology):
    bound(topology, "topic", [("q1", "a.*")], name="up")
    bound(topology, "direct", [("q2", "a.b")], name="down")
    topology.bind(("exchange", "down"), "up", "#")
    topology.bind(("exchange", "up"), "down", "a.b")
    assert set(topology.route("up", "a.b")) == {"q1", "q2"}
    assert topology.route("up", "a.c") == ("q1",)


def test_alternate_exchange_gets_what_nothing_matches(topology):
    topology.declare_exchange("ex", "direct", arguments={"alternate-exchange": "other"})
    bound(topology, "fanout", [("rest", "")], name="other")
    topology.declare_queue("q")
    topology.bind(("queue", "q"), "ex", "k")
    assert topology.route("ex", "k") == ("q",)
    assert topology.route("ex", "lost") == ("rest",)


def test_alternate_exchanges_in_a_circle_end(topology):
    topology.declare_exchange("a", arguments={"alternate-exchange": "b"})
    topology.declare_exchange("b", arguments={"alternate-exchange": "a"})
    assert topology.route("a", "k") == ()


def test_default_exchange_names_the_queue(topology):
    topology.declare_queue("q")
    assert topology.route("", "q") == ("q",)
    assert topology.route("", "other") == ()


def test_unknown_exchange_is_404(topology):
    with pytest.raises(NotFound, match=r"no exchange 'nope'") as caught:
        topology.route("nope", "k")
    assert caught.value.reply_code == 404


def test_a_remembered_route_ends_with_the_binding(topology):
    bound(topology, "direct", [("q", "k")])
    assert topology.route("ex", "k") == ("q",)
    topology.declare_queue("q2")
    topology.bind(("queue", "q2"), "ex", "k")
    assert topology.route("ex", "k") == ("q", "q2")
    topology.delete_queue("q")
    assert topology.route("ex", "k") == ("q2",)
    topology.unbind(("queue", "q2"), "ex", "k")
    assert topology.route("ex", "k") == ()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"type": "topic"}, "'type'"),
        ({"durable": True}, "'durable'"),
        ({"arguments": {"alternate-exchange": "x"}}, "'alternate-exchange'"),
    ],
)
def test_inequivalent_exchange_names_the_difference(topology, changed, named):
    topology.declare_exchange("ex")
    topology.declare_exchange("ex")
    with pytest.raises(PreconditionFailed, match=re.escape(f"inequivalent arg {named}")):
        topology.declare_exchange("ex", **changed)


def test_inequivalent_queue_shows_both_values(topology):
    topology.declare_queue("q", arguments={"x-max-length": 5})
    with pytest.raises(PreconditionFailed, match=r"'x-max-length'.*received 6 but current is 5"):
        topology.declare_queue("q", arguments={"x-max-length": 6})


def test_auto_delete_exchange_goes_with_its_last_binding(topology):
    topology.declare_exchange("ex", auto_delete=True)
    topology.declare_queue("q")
    for key in ("a", "b"):
        topology.bind(("queue", "q"), "ex", key)
    topology.unbind(("queue", "q"), "ex", "a")
    assert "ex" in topology.exchanges
    topology.delete_queue("q")
    assert "ex" not in topology.exchanges


def test_deleting_an_exchange_unbinds_both_sides(topology):
    bound(topology, "direct", [("q", "k")], name="up")
    topology.declare_exchange("mid", "fanout")
    topology.bind(("exchange", "mid"), "up", "k")
    topology.delete_exchange("mid")
    assert topology.route("up", "k") == ("q",)
    topology.delete_exchange("up")
    assert topology.bindings_of(("queue", "q")) == []


names = st.sampled_from(["q1", "q2", "q3"])
keys = st.sampled_from(["a", "b", "a.b", "#", "*"])


@given(
    st.sampled_from(["direct", "topic", "fanout"]),
    st.lists(st.tuples(st.booleans(), names, keys), max_size=25),
    st.sampled_from(["a", "b", "a.b"]),
)
def test_any_history_of_bindings_routes_like_the_bindings_left(type, history, key):
    # Given a history of binding and unbinding, with routes asked (and remembered) in between
    topology = Topology()
    topology.declare_exchange("ex", type)
    left = set()
    for add, queue, binding_key in history:
        topology.route("ex", key)
        (topology.bind if add else topology.unbind)(("queue", queue), "ex", binding_key)
        (left.add if add else left.discard)((queue, binding_key))
    # When the same bindings are made afresh
    fresh = Topology()
    fresh.declare_exchange("ex", type)
    for queue, binding_key in left:
        fresh.bind(("queue", queue), "ex", binding_key)
    # Then both route alike
    assert set(topology.route("ex", key)) == set(fresh.route("ex", key))


def test_ten_thousand_topic_bindings_are_looked_at_by_word_only():
    # Given as many bindings as there are pairs of words
    table = TopicTable()
    for first, second in product(range(100), range(100)):
        table.add(("queue", f"{first}.{second}"), f"w{first}.*.v{second}", {})
    # When a key is matched, Then only its own path is walked: a node a word, not a binding
    assert table.match("w7.x.v9", {}) == [("queue", "7.9")]


def test_a_binding_keeps_the_arguments_it_was_made_with(topology):
    # Given two bindings made from one dictionary, changed in between
    arguments = {"x-match": "all", "n": 1}
    bound(topology, "headers", [("first", "", arguments)])
    arguments["n"] = 2
    topology.declare_queue("second")
    topology.bind(("queue", "second"), "ex", "", arguments)
    # When, Then: each matches what it was made for, and can be taken away
    assert topology.route("ex", "", {"n": 1}) == ("first",)
    assert topology.route("ex", "", {"n": 2}) == ("second",)
    topology.delete_queue("first")
    assert topology.route("ex", "", {"n": 1}) == ()


def test_a_topic_exchange_keeps_nothing_of_queues_that_are_gone(topology):
    # Given a queue bound twice among many that come and go
    bound(topology, "topic", [("q", "a.#"), ("q", "a.b"), ("last", "a.b")])
    for at in range(50):
        topology.declare_queue(f"q{at}")
        topology.bind(("queue", f"q{at}"), "ex", "a.b")
        topology.delete_queue(f"q{at}")
    # When one of the two bindings goes
    topology.unbind(("queue", "q"), "ex", "a.#")
    # Then the order of those that are left is known, and no more
    assert topology.route("ex", "a.b") == ("q", "last")
    assert len(topology.exchanges["ex"].table._order) == 2
