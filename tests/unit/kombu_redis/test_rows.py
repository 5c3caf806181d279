"""How the topology is written: kombu 5's rows to the byte, and JSON that reads back as it was."""

from __future__ import annotations

import pytest

from kombu_redis.rows import (
    Binding,
    QueueValue,
    Source,
    dump_exchange,
    dump_queue,
    guess_type,
    load_exchange,
    load_queue,
)
from tests.unit.kombu_redis.support_directory import SEP


@pytest.mark.parametrize(
    ("key", "topic", "row"),
    [
        ("a.*", True, f"a.*{SEP}^a\\.[^\\.]+${SEP}q1"),
        ("a.#", True, f"a.#{SEP}^a\\..*?${SEP}q1"),
        ("k2", False, f"k2{SEP}{SEP}q1"),
        ("", False, f"{SEP}{SEP}q1"),
    ],
)
def test_a_row_is_what_kombu_5_writes(key, topic, row):
    # Given a binding; when it is written, then every byte is as kombu 5.7.0 writes it
    binding = Binding(("queue", "q1"), key, {})
    assert binding.row(SEP, topic) == row
    # and when it is read, then it is the same binding
    assert Binding.from_row(row, SEP) == binding


@pytest.mark.parametrize("row", ["", "key", f"key{SEP}queue", f"key{SEP}{SEP}", SEP.join("abcd")])
def test_what_is_no_row_is_none(row):
    assert Binding.from_row(row, SEP) is None


@pytest.mark.parametrize("row", ["", "{}", "[1]", '["queue", "q", "k", 5]', "\udcff"])
def test_what_is_no_json_row_is_none(row):
    assert Binding.from_json(row) is None


def test_json_reads_back():
    # Given bindings, a queue, a source
    binding = Binding(("exchange", "näxt"), "a.b", {"x-match": "any", "n": 1})
    queue = QueueValue(True, True, False, {"x-expires": 5}, "me")
    source = Source("x", "row", f"k{SEP}{SEP}q")
    # When they are written and read, then they are the same
    assert Binding.from_json(binding.json()) == binding
    assert load_queue(dump_queue(queue)) == queue
    assert Source.from_json(source.json()) == source


def test_equal_is_written_equal():
    # Given the same declaration twice, in another order
    one = dump_exchange("topic", True, False, {"a": 1, "b": 2})
    # Then it is the same text
    assert one == dump_exchange("topic", True, False, {"b": 2, "a": 1})


@pytest.mark.parametrize(("head", "rows", "foreign"), [("17.0", 0, False), ("17.12f", 12, True)])
def test_the_value_of_an_exchange(head, rows, foreign):
    value = load_exchange(f"{head}|{dump_exchange('topic', True, False, {})}")
    assert value == ("topic", True, False, {}, rows, foreign)


@pytest.mark.parametrize("value", ["", "17.0", "x|{}", "17|{}", "17.0|[]"])
def test_another_value_is_refused(value):
    with pytest.raises(ValueError, match="expected"):
        load_exchange(value)


def test_types_are_guessed_by_patterns():
    rows = [Binding(("queue", "q"), "a", {}).row(SEP, topic) for topic in (False, True)]
    assert guess_type(rows, SEP) == "topic"
    assert guess_type(rows[:1], SEP) == "direct"
    assert guess_type([], SEP) == "direct"
