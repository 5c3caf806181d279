"""The server loses its data while connections live: what they declared comes back."""

from __future__ import annotations

import pytest

from kombu.exceptions import NotFound
from tests.unit.kombu_redis.support_directory import directories_at, holds, queues_of


@pytest.fixture
def make(redis_url):
    with directories_at(redis_url) as make:
        yield make


def declare_all(directory):
    directory.declare_exchange("x", "topic", True, False, {})
    directory.declare_exchange("h", "headers", True, False, {"alternate-exchange": "x"})
    directory.declare_queue("q1", True, False, False, {"x-max-length": 5})
    directory.declare_queue("q2", False, True, False, {})
    directory.bind(("queue", "q1"), "x", "a.*")
    directory.bind(("queue", "q2"), "h", "", {"colour": "red"})
    directory.bind(("exchange", "h"), "x", "#")
    directory.add_consumer("q1", "t")


def everything(redis_client):
    """All keys with their contents, but for versions, marks and times."""
    found = {}
    for key in redis_client.scan_iter():
        kind = redis_client.type(key)
        if kind == b"set":
            found[key] = redis_client.smembers(key)
        elif kind == b"zset":
            found[key] = redis_client.zrange(key, 0, -1)
        elif kind == b"hash":
            found[key] = {
                name: value.partition(b"|")[2] or value for name, value in redis_client.hgetall(key).items()
            }
    return found


@pytest.mark.parametrize("noticed_by", ["keep_alive", "publish", "verb"])
def test_everything_comes_back(make, redis_client, noticed_by):
    # Given a connection that declared much
    one = make()
    declare_all(one)
    before = everything(redis_client)
    route = one.route("x", "a.b")
    # When all is lost, then the route does not hold
    redis_client.flushdb()
    assert not holds(one, "x", "a.b")
    if noticed_by == "keep_alive":
        one.keep_alive()
    elif noticed_by == "publish":
        one.refresh(route.checks)
    else:
        one.load_queue("q1")
    # and however it is noticed, everything is there again, and found by others
    assert everything(redis_client) == before
    assert holds(one, "x", "a.b")
    assert queues_of(one, "x", "a.b") == queues_of(make(), "x", "a.b") == ["q1"]


def test_the_second_to_notice_brings_its_own(make, redis_client):
    # Given two connections with a queue each
    one, other = make(), make()
    for directory, name in ((one, "q1"), (other, "q2")):
        directory.declare_exchange("x", "direct", True, False, {})
        directory.declare_queue(name, True, False, False, {})
        directory.bind(("queue", name), "x", "k")
    redis_client.flushdb()
    one.keep_alive()
    assert queues_of(one, "x", "k") == ["q1"]
    # When the other finds the new mark, then both are there
    other.keep_alive()
    one.refresh(one.route("x", "k").checks)
    assert queues_of(one, "x", "k") == queues_of(other, "x", "k") == ["q1", "q2"]
    # and nothing more happens
    before = redis_client.hgetall("_kombu.exchanges")
    one.keep_alive()
    other.keep_alive()
    assert redis_client.hgetall("_kombu.exchanges") == before


def test_what_was_deleted_stays_deleted(make, redis_client):
    # Given things that this connection declared, and then took away, or saw taken away by another
    one, other = make(), make()
    declare_all(one)
    one.unbind(("queue", "q1"), "x", "a.*")
    one.remove_queue("q1")
    other.delete_exchange("h")
    one.load_exchange("h", "x")
    # When all is lost, then they do not come back
    redis_client.flushdb()
    one.keep_alive()
    assert set(redis_client.hkeys("_kombu.queues")) == {b"q2"}
    assert set(redis_client.hkeys("_kombu.exchanges")) == {b"x"}
    assert queues_of(one, "x", "a.b") == []


def test_deleted_is_not_lost(make, redis_client):
    # Given a queue with a consumer here; when another connection deletes it, then its consumer is told
    one, other = make(), make()
    declare_all(one)
    other.remove_queue("q1")
    assert one.revalidate(["q1", "q2"]) == ["q1"]
    assert "q1" not in one.state.queues
    with pytest.raises(NotFound):
        one.add_consumer("q1", "again") if one.declared("q1") else one.state.queue("q1")


def test_a_conflict_does_not_stop_the_rest(make, redis_client, caplog):
    # Given all is lost, and another declares one queue differently before we notice
    one, other = make(), make()
    declare_all(one)
    redis_client.flushdb()
    other.declare_queue("q1", True, False, False, {"x-max-length": 7})
    # When we notice, then that is logged, and everything else is there
    one.keep_alive()
    assert "'q1'" in caplog.text and "x-max-length" in caplog.text
    assert redis_client.hkeys("_kombu.exchanges")
    assert one.state.queues["q1"].policy.max_length == 7
