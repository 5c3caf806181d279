"""Mailboxes of processes with kombu 5.7.0 and with this one, on RabbitMQ and on Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["amqp", "redis"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    fleet = Fleet(request.getfixturevalue("amqp_url" if request.param == "amqp" else "redis_url"))
    yield fleet
    fleet.close()


@pytest.mark.parametrize("asking", ["old", "new"])
@pytest.mark.parametrize("serving", ["old", "new"])
def test_a_node_answers_whoever_asks(fleet: Fleet, old_kombu: str, serving: str, asking: str) -> None:
    # Given: a node, and somebody who asks all of them
    node = fleet.start(old_kombu if serving == "old" else None)
    asker = fleet.start(old_kombu if asking == "old" else None)
    node.tell("serve", name="one")
    node.wait_for("serving")
    # When, Then: (kombu 5.7 on Redis says that it serves a moment before it is subscribed)
    for _ in range(5):
        answers = [e["answers"] for e in asker.ask("multi_call", method="ping") if "answers" in e]
        if answers != [[]]:
            break
    assert answers == [[{"one": "pong"}]]


def test_nodes_of_both_kinds_answer_one_question(fleet: Fleet, old_kombu: str) -> None:
    for python, name in ((old_kombu, "old"), (None, "new")):
        node = fleet.start(python)
        node.tell("serve", name=name)
        node.wait_for("serving")
    for asker in (fleet.start(), fleet.start(old_kombu)):
        for _ in range(5):
            events = asker.ask("multi_call", method="ping", limit=2)
            (answers,) = [event["answers"] for event in events if "answers" in event]
            if len(answers) == 2:
                break
        assert sorted(map(str, answers)) == ["{'new': 'pong'}", "{'old': 'pong'}"]
