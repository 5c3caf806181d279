"""Mailboxes of processes, on memory."""

from __future__ import annotations

import pytest

from kombu import Connection
from kombu.pidbox import Mailbox
from kombu.utils.functional import lazy


@pytest.fixture
def connection(memory_url):
    with Connection(memory_url) as connection:
        yield connection


@pytest.fixture
def mailbox(connection):
    return Mailbox("app", type="fanout")(connection)


@pytest.fixture
def listening(connection, mailbox):
    """Start a node that answers to ``ping`` and fails at ``fail``."""

    def listen(name):
        node = mailbox.Node(name, state={"name": name}, channel=connection.channel())

        @node.handler
        def ping(state, **arguments):
            return {"from": state["name"], **arguments}

        @node.handler
        def fail(state):
            raise ValueError("no")

        node.listen()
        return node

    return listen


def test_all_nodes_answer_a_call_to_all(mailbox, listening):
    listening("a"), listening("b")
    answers = mailbox.multi_call("ping", {"n": 1}, timeout=5, limit=2)
    assert sorted(answers, key=str) == [{"a": {"from": "a", "n": 1}}, {"b": {"from": "b", "n": 1}}]


def test_only_the_nodes_named_or_matched_answer(mailbox, listening):
    listening("one"), listening("two")
    assert mailbox.call(["two"], "ping", timeout=5) == [{"two": {"from": "two"}}]
    got = []
    matched = mailbox._broadcast(
        "ping", reply=True, pattern="o*", matcher="glob", timeout=5, limit=1, callback=got.append
    )
    assert matched == got == [{"one": {"from": "one"}}]
    assert mailbox.call(["three"], "ping", timeout=0.05) == []


def test_an_error_of_a_handler_is_the_answer(mailbox, listening):
    listening("a")
    assert mailbox.call(["a"], "fail", timeout=5) == [{"a": {"error": "ValueError('no')"}}]
    assert mailbox.call(["a"], "nothing", timeout=5) == [{"a": {"error": "KeyError('nothing')"}}]


def test_a_cast_is_carried_out_and_carries_the_wire_names(connection, mailbox):
    # Given
    seen = []
    node = mailbox.Node("a", channel=connection.channel(), handlers={"f": lambda state, **kw: seen.append(kw)})
    bodies = []

    def receive(body, message):
        bodies.append((body, sorted(message.headers), message.content_type))
        node.handle_message(body, message)

    node.listen(callback=receive)
    # When
    mailbox.cast(["a"], "f", {"x": 1})
    connection.drain_events(timeout=5)
    # Then
    assert seen == [{"x": 1}]
    body = {"method": "f", "arguments": {"x": 1}, "destination": ["a"], "pattern": None, "matcher": None}
    assert bodies == [(body, ["clock", "expires"], "application/json")]
    assert mailbox.clock.value == 2  # sent, received


def test_two_nodes_of_one_name_are_warned_about(listening):
    listening("same")
    with pytest.warns(UserWarning, match="'same'"):
        listening("same")


def test_names_and_patterns_are_checked(mailbox):
    with pytest.raises(ValueError, match="'a'"):
        mailbox.cast("a", "f")
    with pytest.raises(ValueError, match="pattern"):
        mailbox._broadcast("f", pattern=1)
    with pytest.raises(ValueError, match="exclusive"):
        Mailbox("app", queue_durable=True)


def test_producers_come_from_the_pool_while_there_is_one(mailbox, connection):
    pool = connection.Pool(1)
    mailbox.producer_pool = lazy(lambda: pool)
    assert mailbox.producer_pool is pool
    del mailbox.producer_pool
    assert mailbox.producer_pool is None
    pool.force_close_all()
