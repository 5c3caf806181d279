"""A worker of its own process on RabbitMQ, whose results come back as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import chain, chord, group

from tests.compat.celery.notes import eventually

if TYPE_CHECKING:
    from tests.compat.celery.sites import Site

WAIT = 90


def test_results_failures_and_retries(site: Site) -> None:
    add, flaky, hopeless = site.task("add"), site.task("flaky"), site.task("hopeless")
    sent = [add.delay(1, 2), flaky.delay(2), hopeless.delay(), site.task("fail").delay("no")]
    assert sent[0].get(WAIT) == 3 and sent[1].get(WAIT) == 2
    with pytest.raises(KeyError, match="never"):
        sent[2].get(WAIT)
    assert isinstance(sent[3].get(WAIT, propagate=False), ValueError)
    assert sent[3].state == "FAILURE" and "ValueError: no" in sent[3].traceback


def test_the_state_is_seen_while_the_task_runs_and_what_came_before(site: Site, notes: Any) -> None:
    heard: list[str] = []
    sent = site.task("early").delay(notes.path, "x", notes.gate)
    eventually(lambda: sent.state == "STARTED", "STARTED")
    assert sent.info["pid"] and not sent.ready()
    notes.open()
    assert sent.get(WAIT, on_message=lambda meta: heard.append(meta["status"])) == "end x"
    assert heard == ["STARTED", "SUCCESS"]


def test_another_process_finds_the_result_too(site: Site) -> None:
    # Given a result that this process has looked at, when the shell asks for it,
    sent = site.task("add").delay(20, 22)
    eventually(sent.ready, "ready")
    shell = site.command("result", sent.id)
    try:
        assert shell.await_end() == 0
        assert shell.output.strip().endswith("42")
    finally:
        shell.stop()
    assert sent.get(WAIT) == 42


def test_a_group_joined_and_one_by_one(site: Site) -> None:
    add = site.task("add")
    sent = group(add.s(n, n) for n in range(20)).apply_async()
    assert sent.get(WAIT) == [2 * n for n in range(20)]
    assert sent.successful() and sent.completed_count() == 20
    sent = group(add.s(n, 1) for n in range(10)).apply_async()
    found = {task_id: meta["result"] for task_id, meta in sent.iter_native(timeout=WAIT)}
    assert [found[result.id] for result in sent] == list(range(1, 11))
    mixed = group(add.s(1, 1), site.task("fail").s("one of them"), add.s(2, 2)).apply_async()
    with pytest.raises(ValueError, match="one of them"):
        mixed.get(WAIT)
    assert [type(value) for value in mixed.get(WAIT, propagate=False)] == [int, ValueError, int]


def test_chains_and_chords(site: Site) -> None:
    add, total = site.task("add"), site.task("total")
    linked = chain(add.s(1, 1), add.s(10), add.s(100)).apply_async()
    assert linked.get(WAIT) == 112 and linked.parent.get(WAIT) == 12
    assert chord([add.s(n, 1) for n in range(10)], total.s()).apply_async().get(WAIT) == 55
    with pytest.raises(Exception, match="as asked"):
        chord([add.s(1, 1), site.task("fail").s()], total.s()).apply_async().get(WAIT)
