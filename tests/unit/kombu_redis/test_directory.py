"""Two connections, one topology: what one declares the other routes by."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest

from kombu.exceptions import NotFound, PreconditionFailed
from kombu.transport.virtual import NotEquivalentError
from kombu_redis.mirror import MEMO_LIMIT
from tests.unit.kombu_redis.support_client import commands_run
from tests.unit.kombu_redis.support_directory import SEP, directories_at, holds, queues_of


@pytest.fixture
def make(redis_url):
    with directories_at(redis_url) as make:
        yield make


def declare(directory, exchange="x", type="topic", queue="q1", key="a.*", auto_delete=False, **arguments):
    directory.declare_exchange(exchange, type, True, auto_delete, {})
    directory.declare_queue(queue, True, False, False, arguments)
    directory.bind(("queue", queue), exchange, key)


def test_another_connection_routes_by_it(make, redis_client):
    # Given one declares, when another routes, then it finds the queue with its policy, and the checks hold
    declare(make(), **{"x-max-length": 5})
    other = make()
    ((name, policy),) = other.route("x", "a.b").queues
    assert (name, policy.max_length) == ("q1", 5)
    assert holds(other, "x", "a.b")
    # and kombu 5 finds its row
    row = f"a.*{SEP}^a\\.[^\\.]+${SEP}q1".encode()
    assert redis_client.smembers("_kombu.binding.x") == {row}
    assert redis_client.smembers("_kombu.binding_permanent.x") == {row}


def test_a_route_is_worked_out_once(make, redis_client):
    # Given a route that was asked for
    one = make()
    declare(one)
    first = one.route("x", "a.b")
    # When it is asked for again, then the server is not, and it is the same object
    assert commands_run(redis_client, lambda: one.route("x", "a.b")) == 0
    assert one.route("x", "a.b") is first


@pytest.mark.parametrize("change", ["bind", "unbind", "delete", "policy", "exchange", "old"])
def test_a_change_by_another_is_noticed(make, redis_client, change):
    # Given both know the way
    one, other = make(), make()
    declare(one)
    declare(one, queue="q2")
    assert queues_of(other, "x", "a.b") == ["q1", "q2"]
    # When one changes it
    if change == "bind":
        declare(one, queue="q3")
    elif change == "unbind":
        one.unbind(("queue", "q2"), "x", "a.*")
    elif change == "delete":
        one.remove_queue("q2")
    elif change == "policy":
        one.remove_queue("q2")
        declare(one, queue="q2", **{"x-max-length": 3})
    elif change == "exchange":
        one.delete_exchange("x")
    else:
        redis_client.sadd("_kombu.binding.x", f"a.b{SEP}^a\\.b${SEP}q9")
    # Then the checks do not hold, and what is read again is so
    assert not holds(other, "x", "a.b")
    other.refresh(other.route("x", "a.b").checks)
    if change == "exchange":
        with pytest.raises(NotFound):
            other.route("x", "a.b")
        return
    expected = {"bind": ["q1", "q2", "q3"], "old": ["q1", "q2", "q9"], "policy": ["q1", "q2"]}
    assert queues_of(other, "x", "a.b") == expected.get(change, ["q1"])
    assert holds(other, "x", "a.b")


def test_what_is_declared_again_changes_nothing(make, redis_client):
    # Given one declares; when another declares the same, then nobody's routes are out of date
    one, other = make(), make()
    declare(one)
    before = one.route("x", "a.b")
    declare(other)
    assert holds(one, "x", "a.b")
    assert one.route("x", "a.b") is before


def test_own_bindings_are_not_read_back(make, redis_client):
    # Given a connection that has bound a queue; when it binds it by more keys, then each costs one command
    one = make()
    declare(one)
    one.route("x", "a.b")
    inside = 6  # what the script does at the server is counted too
    used = commands_run(redis_client, lambda: [one.bind(("queue", "q1"), "x", f"k.{n}") for n in range(10)])
    assert used <= 10 * (1 + 2 * inside)
    assert commands_run(redis_client, lambda: one.load_exchange("x")) == 2
    assert queues_of(one, "x", "k.7") == ["q1"]


def test_who_declares_differently_is_told_both_values(make):
    one, other = make(), make()
    declare(one)
    with pytest.raises(
        NotEquivalentError, match=r"'durable' for queue 'q1'.*received False but current is True"
    ):
        other.declare_queue("q1", False, False, False, {})
    with pytest.raises(
        NotEquivalentError, match=r"'type' for exchange 'x'.*received 'direct' but current is 'topic'"
    ):
        other.declare_exchange("x", "direct", True, False, {})
    with pytest.raises(PreconditionFailed, match="x-max-length"):
        other.declare_queue("q5", True, False, False, {"x-max-length": -1})
    assert not other.client.call("HEXISTS", other.keys.queues, "q5")


def test_of_two_at_once_one_wins(make):
    # Given two connections that declare a queue differently at the same moment
    start, failed = Barrier(2), []

    def declare_it(directory, length):
        for number in range(20):
            start.wait(5)
            try:
                directory.declare_queue(f"q{number}", True, False, False, {"x-max-length": length})
            except NotEquivalentError:
                failed.append((number, length))

    directories = [make(), make()]
    threads = [Thread(target=declare_it, args=(one, at)) for at, one in enumerate(directories)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    # Then one of them is refused, each time, and both know the same queue
    assert sorted(number for number, _ in failed) == list(range(20))
    for number, length in failed:
        for directory in directories:
            directory.load_queue(f"q{number}")
            assert directory.state.queues[f"q{number}"].arguments == {"x-max-length": 1 - length}


def test_exchanges_lead_on_to_exchanges(make):
    # Given x leads on to y, whose alternate is z
    one, other = make(), make()
    one.declare_exchange("z", "fanout", True, False, {})
    one.declare_exchange("y", "direct", True, False, {"alternate-exchange": "z"})
    declare(one, queue="q1", key="a.#")
    one.bind(("exchange", "y"), "x", "a.b")
    one.declare_queue("q2", True, False, False, {})
    one.bind(("queue", "q2"), "y", "other")
    # When another publishes, then it goes all the way; unroutable in y is for z's listeners
    assert queues_of(other, "x", "a.b") == ["q1"]
    assert other.route("x", "a.b").fanout_channel == "/0.z/a.b"
    # and a change in y is noticed by those who publish to x
    one.bind(("queue", "q2"), "y", "a.b")
    assert not holds(other, "x", "a.b")
    other.refresh(other.route("x", "a.b").checks)
    assert queues_of(other, "x", "a.b") == ["q1", "q2"]
    # When y is deleted, then nothing leads there, also after it was declared anew
    one.delete_exchange("y")
    one.declare_exchange("y", "fanout", True, False, {})
    assert queues_of(make(), "x", "a.b") == ["q1"]
    assert make().route("x", "a.b").fanout_channel is None


def test_headers_choose(make):
    one, other = make(), make()
    one.declare_exchange("h", "headers", True, False, {})
    for name in ("red", "blue"):
        one.declare_queue(name, True, False, False, {})
        one.bind(("queue", name), "h", "", {"colour": name})
    assert queues_of(other, "h", "", colour="red") == ["red"]
    assert queues_of(other, "h", "", colour="blue") == ["blue"]
    one.unbind(("queue", "blue"), "h", "", {"colour": "blue"})
    other.refresh(other.route("h", "", {}).checks)
    assert queues_of(other, "h", "", colour="blue") == []


@pytest.mark.parametrize("fanout", ["pubsub", "queue"])
def test_broadcasts(make, redis_client, fanout):
    # Given a queue bound to a fanout exchange, when another routes, then it publishes, and copies for list queues only
    declare(make(fanout=fanout), exchange="f", type="fanout", key="k")
    other = make()
    route = other.route("f", "")
    assert route.fanout_channel == "/0.f"
    assert [name for name, _ in route.queues] == (["q1"] if fanout == "queue" else [])
    assert redis_client.scard("_kombu.binding.f") == (0 if fanout == "queue" else 1)
    # and listeners that come and go leave the others' routes alone
    declare(make(), exchange="f", type="fanout", queue="q2", key="k")
    assert holds(other, "f", "")


def test_an_auto_delete_exchange_goes_with_its_last_binding(make, redis_client):
    for last in ("unbind", "queue"):
        one, other = make(), make()
        declare(one, exchange="auto", auto_delete=True)
        other.load_exchange("auto")
        if last == "unbind":
            other.unbind(("queue", "q1"), "auto", "a.*")
        else:
            other.remove_queue("q1")
        assert not redis_client.exists(
            "_kombu.exchanges", "_kombu.binding.auto", "_kombu.binding_permanent.auto"
        )
        one.load_exchange("auto")
        assert "auto" not in one.state.exchanges


def test_deleting_leaves_nothing(make, redis_client):
    # Given queues and exchanges with everything that may belong to them
    one = make()
    declare(one)
    declare(one, exchange="h", type="headers", key="")
    one.bind(("exchange", "h"), "x", "#")
    for key in (*one.keys.levels("q1"), one.keys.wake("q1")):
        redis_client.lpush(key, "message")
    one.add_consumer("q1", "tag")
    # When they are deleted under conditions that are not met, then nothing happens
    assert one.remove_queue("q1", unused=True) == "used"
    assert one.remove_queue("q1", empty=True) == "full"
    assert one.delete_exchange("x", if_unused=True) is False
    assert queues_of(one, "x", "a.b") == ["q1"]
    # When they are deleted, then only the mark of the server's life is left
    assert one.remove_queue("q1") == 4
    assert one.delete_exchange("h") and one.delete_exchange("x")
    assert redis_client.keys() == [b"_kombu.alive"]


def test_a_queue_cannot_be_bound_when_it_is_gone(make, redis_client):
    # Given a queue that another connection has deleted
    one, other = make(), make()
    declare(one)
    other.remove_queue("q1")
    # When it is bound, then 404, and no row is left behind
    with pytest.raises(NotFound):
        one.bind(("queue", "q1"), "x", "more")
    assert redis_client.scard("_kombu.binding.x") == 0


def test_the_default_exchange_needs_no_declaration(make):
    # Given nobody declared it, then the queue is written to all the same, and a declaration is noticed
    one, other = make(), make()
    assert queues_of(one, "", "any") == ["any"]
    other.declare_queue("any", True, False, False, {"x-max-length": 2})
    assert not holds(one, "", "any")
    one.refresh(one.route("", "any").checks)
    assert one.route("", "any").queues[0][1].max_length == 2


def test_names_that_were_just_written_to_are_forgotten(make):
    # Given
    one = make()
    declare(one)
    # When many queues are written to by their names, then they are not remembered for ever, and ours is
    for number in range(MEMO_LIMIT + 100):
        one.route("", f"reply-{number}")
    assert len(one._specs) <= MEMO_LIMIT + 1
    assert queues_of(one, "x", "a.b") == ["q1"]
