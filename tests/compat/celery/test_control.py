"""Remote control of a running worker: what it tells, and what it can be told."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import TaskRevokedError

from tests.compat.celery.application import make_app
from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import needs

if TYPE_CHECKING:
    from tests.compat.celery.sites import Site

WAIT = 30


def ask(site: Site, command: str, **arguments: Any) -> Any:
    """The shared worker's answer to a command."""
    name = site.shared()
    answers = site.app.control.broadcast(command, arguments, destination=[name], reply=True, timeout=30)
    assert [list(answer) for answer in answers] == [[name]], answers
    return answers[0][name]


def test_ping_reaches_all_and_those_named(site: Site) -> None:
    name = site.shared()
    assert site.app.control.ping(timeout=30, limit=1) == [{name: {"ok": "pong"}}]
    assert site.app.control.ping([name], timeout=30) == [{name: {"ok": "pong"}}]
    assert site.app.control.ping(["nobody@nowhere"], timeout=0.5) == []
    # many times in a row, each gets its own answers
    for _ in range(20):
        assert site.app.control.ping([name], timeout=30) == [{name: {"ok": "pong"}}]
    matching = site.app.control.inspect(pattern="w*", matcher="glob", limit=1, timeout=10)
    assert matching.ping() == {name: {"ok": "pong"}}


def test_inspect_tells_what_the_worker_is(site: Site) -> None:
    name = site.shared()
    inspect = site.app.control.inspect([name], timeout=30)
    assert {"add", "echo", "total"} <= set(inspect.registered()[name])
    assert [queue["name"] for queue in inspect.active_queues()[name]] == [site.queue]
    assert inspect.conf()[name]["task_default_queue"] == site.queue
    assert name in inspect.report()
    assert inspect.clock()[name]["clock"] > 0
    stats = inspect.stats()[name]
    assert stats["broker"]["transport"].startswith(site.kind)


@needs("processes")
def test_inspect_tells_what_the_worker_does(site: Site, notes: Any) -> None:
    name = site.shared()
    inspect = site.app.control.inspect([name], timeout=30)
    # Given two tasks that run and three that wait (two processes)
    sent = [site.task("early").delay(notes.path, n, notes.gate) for n in range(5)]
    notes.await_lines(2, "begin")
    eventually(lambda: len(inspect.reserved()[name]) == 3, "3 reserved")
    assert len(inspect.active()[name]) == 2

    # Then the worker tells of a task by its id
    (found,) = inspect.query_task(sent[0].id)[name].values()
    assert found[0] == "active"
    notes.open()
    assert [result.get(WAIT) for result in sent] == [f"end {n}" for n in range(5)]
    eventually(lambda: not inspect.active()[name], "none active")


def test_a_revoked_task_is_not_run(site: Site, notes: Any) -> None:
    site.shared()
    sent = site.task("note").apply_async((notes.path, "revoked"), countdown=1)
    ask(site, "revoke", task_id=sent.id)
    assert sent.id in site.app.control.inspect([site.shared()], timeout=30).revoked()[site.shared()]
    with pytest.raises(TaskRevokedError):
        sent.get(WAIT)
    assert notes.lines() == []


@needs("processes")
def test_a_running_task_is_terminated(site: Site, notes: Any) -> None:
    site.shared()
    sent = site.task("early").delay(notes.path, "x", notes.gate)
    notes.await_lines(1)
    sent.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        sent.get(WAIT)
    assert site.task("add").delay(1, 1).get(WAIT) == 2


def test_rate_limits(site: Site) -> None:
    site.shared()
    assert "ok" in ask(site, "rate_limit", task_name="limited", rate_limit="4/s")
    begun = time()
    sent = [site.task("limited").delay() for _ in range(5)]
    times = sorted(result.get(WAIT) for result in sent)
    assert "ok" in ask(site, "rate_limit", task_name="limited", rate_limit=0)
    # (a bucket of one token, four more a second)
    assert all(when - begun > number / 4 - 0.1 for number, when in enumerate(times))


def test_queues_are_added_and_cancelled(site: Site) -> None:
    name, queue = site.shared(), f"{site.queue}.more"
    assert "ok" in ask(site, "add_consumer", queue=queue)
    assert site.task("echo").apply_async(queue=queue).get(WAIT)["routing_key"] == queue
    assert "ok" in ask(site, "cancel_consumer", queue=queue)
    names = [found["name"] for found in site.app.control.inspect([name], timeout=30).active_queues()[name]]
    assert names == [site.queue]

    # Then nobody takes what is sent there, until it is added again
    sent = site.task("add").apply_async((1, 2), queue=queue)
    assert site.task("add").delay(1, 1).get(WAIT) == 2
    assert site.size(queue) == 1
    ask(site, "add_consumer", queue=queue)
    assert sent.get(WAIT) == 3
    ask(site, "cancel_consumer", queue=queue)


def test_purge(site: Site) -> None:
    ask(site, "cancel_consumer", queue=site.queue)
    for _ in range(7):
        site.task("add").delay(1, 1)
    eventually(lambda: site.size() == 7, "7 waiting")
    # (from a program of its own: a worker in this one has changed the queues of their application)
    other = make_app(site.settings)
    assert other.control.purge() == 7
    other.close()
    ask(site, "add_consumer", queue=site.queue)
    assert site.task("add").delay(1, 1).get(WAIT) == 2


@needs("processes")
def test_the_pool_grows_and_shrinks(site: Site) -> None:
    site.shared()
    inspect = site.app.control.inspect([site.shared()], timeout=30)

    def processes() -> int:
        return len(inspect.stats()[site.shared()]["pool"]["processes"])

    assert processes() == 2
    assert "ok" in ask(site, "pool_grow", n=2)
    eventually(lambda: processes() == 4, "4 processes")
    # processes that were forked while the connection was up do their work, and so do all when they are gone
    pids = {result.get(WAIT)["pid"] for result in [site.task("echo").delay() for _ in range(40)]}
    assert pids
    # (a process is busy until the worker has heard that it is not)
    eventually(lambda: "ok" in ask(site, "pool_shrink", n=2), "shrunk")
    eventually(lambda: processes() == 2, "2 processes")
    assert [r.get(WAIT) for r in [site.task("add").delay(n, n) for n in range(20)]] == [2 * n for n in range(20)]


def test_an_unknown_command_and_one_that_fails_are_answered(site: Site) -> None:
    assert "error" in ask(site, "rate_limit", task_name="nobody", rate_limit="1/s")
    site.app.control.broadcast("no_such_command", destination=[site.shared()])
    assert site.app.control.ping([site.shared()], timeout=30)


def test_many_calls_leave_no_queues_of_answers(site: Site) -> None:
    """The queue of answers is the caller's: one for each thread and connection, whatever it asks."""
    for _ in range(5):
        ask(site, "ping")
    mailbox = site.app.control.mailbox
    with site.app.connection_for_read() as connection:
        queue = mailbox(connection).reply_queue
        assert queue.expires == 10.0 and queue.auto_delete
