"""Rows that kombu 5 writes and forgets: it knows no versions, so what it does has to be found out."""

from __future__ import annotations

import pytest

from kombu.exceptions import NotFound
from tests.unit.kombu_redis.support_directory import SEP, directories_at, holds, queues_of


@pytest.fixture
def make(redis_url):
    with directories_at(redis_url) as make:
        yield make


def old_row(key, queue, pattern=""):
    return f"{key}{SEP}{pattern}{SEP}{queue}"


@pytest.mark.parametrize(("pattern", "key", "reached"), [("", "a.*", []), ("^a\\.[^\\.]+$", "a.*", ["old"])])
def test_an_exchange_that_only_they_declared(make, redis_client, pattern, key, reached):
    # Given rows only; when a message is routed, then by words if there is a pattern, else by equality
    redis_client.sadd("_kombu.binding.x", old_row(key, "old", pattern))
    one = make()
    assert queues_of(one, "x", "a.b") == reached
    assert queues_of(one, "x", "a.*") == ["old"]
    assert holds(one, "x", "a.b")
    # and their rows are not taken for a declaration
    assert not redis_client.exists("_kombu.exchanges")
    # When ours declares it as what it really is, then that counts
    one.declare_exchange("x", "topic", True, False, {})
    assert queues_of(one, "x", "a.b") == ["old"]


def test_ours_may_bind_to_it(make, redis_client):
    # Given an exchange of theirs; when ours binds a queue, then both are routed to
    redis_client.sadd("_kombu.binding.x", old_row("k", "old"))
    one, other = make(), make()
    one.declare_queue("new", True, False, False, {})
    one.load_exchange("x")
    one.bind(("queue", "new"), "x", "k")
    assert queues_of(other, "x", "k") == queues_of(one, "x", "k") == ["new", "old"]
    assert redis_client.sismember("_kombu.binding.x", old_row("k", "new"))


def test_neither_rows_nor_declaration_is_404(make):
    with pytest.raises(NotFound):
        make().route("nowhere", "k")


def test_as_many_rows_but_others_are_read_within_seconds(make, redis_client, monkeypatch):
    # Given an exchange that an old client has changed
    one = make()
    one.declare_exchange("x", "direct", True, False, {})
    redis_client.sadd("_kombu.binding.x", old_row("k", "old"))
    one.refresh(one.route("x", "k").checks)
    assert queues_of(one, "x", "k") == ["old"]
    # When it replaces a row, which no check notices
    redis_client.srem("_kombu.binding.x", old_row("k", "old"))
    redis_client.sadd("_kombu.binding.x", old_row("k", "newer"))
    assert holds(one, "x", "k")
    # Then it is found when what is known is of some age
    assert queues_of(one, "x", "k") == ["old"]
    for module in ("mirror", "routes"):
        monkeypatch.setattr(f"kombu_redis.{module}.monotonic", _later())
    assert queues_of(one, "x", "k") == ["newer"]


def test_others_learn_that_old_clients_were_there(make, redis_client):
    # Given rows of both kinds, ours written after theirs
    one = make()
    one.declare_exchange("x", "direct", True, False, {})
    one.declare_queue("new", True, False, False, {})
    redis_client.sadd("_kombu.binding.x", old_row("k", "old"))
    one.bind(("queue", "new"), "x", "k")
    # Then a new connection knows that the rows may change without a trace; without old clients it need not fear that
    assert make().route("x", "k").stale_at is not None
    one.declare_exchange("y", "direct", True, False, {})
    one.bind(("queue", "new"), "y", "k")
    assert make().route("y", "k").stale_at is None


def test_rows_of_an_expiring_queue_have_their_deadline(make, redis_client):
    # Given a queue with x-expires; when it is bound, then as kombu 5 does it: no permanent row, an hour at least
    one = make()
    one.declare_exchange("x", "direct", True, False, {})
    one.declare_queue("q", True, False, False, {"x-expires": 10000})
    one.bind(("queue", "q"), "x", "k")
    seconds = redis_client.time()[0]
    assert not redis_client.exists("_kombu.binding_permanent.x")
    assert 3595 < redis_client.zscore("_kombu.binding_deadlines", "x") / 1000 - seconds < 3605
    # When the deadline is over nevertheless, then rows are forgotten, and written again by who lives
    redis_client.zadd("_kombu.binding_deadlines", {"x": 1})
    one.sweep_bindings()
    assert not redis_client.exists("_kombu.binding.x", "_kombu.binding_deadlines")
    one.refresh(one.route("x", "k").checks)
    assert queues_of(one, "x", "k") == []
    one.refresh_rows()
    assert queues_of(make(), "x", "k") == ["q"]


def test_permanent_rows_keep_them_all(make, redis_client):
    # Given both kinds of rows; when the deadline is over, then nothing is forgotten
    one = make()
    one.declare_exchange("x", "direct", True, False, {})
    for name, arguments in (("q", {"x-expires": 10000}), ("p", {})):
        one.declare_queue(name, True, False, False, arguments)
        one.bind(("queue", name), "x", "k")
    redis_client.zadd("_kombu.binding_deadlines", {"x": 1})
    one.sweep_bindings()
    assert redis_client.scard("_kombu.binding.x") == 2


def _later():
    from time import monotonic

    return lambda: monotonic() + 6
