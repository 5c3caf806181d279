"""One queue: the order of messages against a plain model."""

from __future__ import annotations

from queue import Empty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.virtual.policy import QueuePolicy
from kombu_memory.queues import MemoryQueue


def letter(body, priority=0):
    return {"body": body, "headers": {}, "properties": {"priority": priority}}


def taken(queue):
    return queue.take_next() if queue.plain else queue.take()


@pytest.mark.parametrize("policy", [QueuePolicy(), QueuePolicy(max_priority=9), QueuePolicy(max_length_bytes=99)])
def test_first_in_first_out(policy):
    queue = MemoryQueue("q", policy)
    for body in "abc":
        queue.put(letter(body))
    assert [taken(queue)["body"] for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(Empty):
        taken(queue)


def test_greater_priorities_first_and_within_one_in_order():
    queue = MemoryQueue("q", QueuePolicy(max_priority=5))
    for at, priority in enumerate([0, 5, 3, 5, 99]):
        queue.put(letter(at, priority))
    assert [queue.take()["body"] for _ in range(5)] == [1, 3, 4, 2, 0]


@pytest.mark.parametrize("policy", [QueuePolicy(), QueuePolicy(max_priority=9)])
def test_what_comes_back_takes_its_old_place(policy):
    # Given three taken messages and one that is ready
    queue = MemoryQueue("q", policy)
    for body in "abcd":
        queue.put(letter(body))
    a, b, c = (taken(queue) for _ in range(3))
    # When they come back in any order
    for message in (b, c, a):
        queue.give_back(message)
    # Then they are first again, in their first order
    assert [taken(queue)["body"] for _ in range(4)] == ["a", "b", "c", "d"]


def test_bytes_are_counted_where_they_are_limited():
    queue = MemoryQueue("q", QueuePolicy(max_length_bytes=100))
    for body in (b"xx", b"yyy", b""):
        queue.put(letter(body))
    assert queue.size_bytes == 5
    first = queue.take()
    assert queue.size_bytes == 3
    queue.give_back(first)
    assert queue.size_bytes == 5
    queue.clear()
    assert (queue.size_bytes, len(queue)) == (0, 0)


@given(st.lists(st.sampled_from(["put", "take", "give back oldest", "give back newest", "forget"])))
def test_any_history_keeps_messages_and_order(history):
    queue, ready, held, number = MemoryQueue("q"), [], [], 0
    for step in history:
        if step == "put":
            queue.put(letter(number))
            ready.append(number)
            number += 1
        elif step == "take" and ready:
            held.append(queue.take_next())
            assert held[-1]["body"] == ready.pop(0)
        elif step.startswith("give back") and held:
            message = held.pop(0 if step.endswith("oldest") else -1)
            queue.give_back(message)
            ready = sorted([*ready, message["body"]])
        elif step == "forget" and held:
            held.pop()
        assert len(queue) == len(ready)
        assert (queue.first() or {}).get("body") == (ready[0] if ready else None)


@pytest.mark.parametrize("policy", [QueuePolicy(), QueuePolicy(max_priority=9)])
def test_two_messages_of_one_place_may_both_come_back(policy):
    # Given a message that was taken, and one taken from a deleted queue of the same name
    queue, deleted = MemoryQueue("q", policy), MemoryQueue("q", policy)
    queue.put(letter("new"))
    deleted.put(letter("old"))
    new, old = taken(queue), taken(deleted)
    # When both come back
    queue.give_back(old)
    queue.give_back(new)
    # Then both are there, in the order in which they came back
    assert [taken(queue)["body"], taken(queue)["body"]] == ["old", "new"]
