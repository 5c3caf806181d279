"""Consumers as the server counts them, and queues that go away when nobody needs them, whoever was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from time import monotonic

import pytest

from kombu import Connection
from kombu.exceptions import AccessRefused, NotFound, ResourceLocked
from tests.unit.kombu_redis.support_directory import directories_at, queues_of

#: A lease that does not end by itself during a test: tests move the clock's side of it, the deadlines.
LEASE = 30


@pytest.fixture
def make(redis_url):
    with directories_at(redis_url) as make:
        yield make


def declare(directory, name="q", exclusive=False, auto_delete=False, **arguments):
    directory.declare_queue(name, False, exclusive, auto_delete, arguments)


def left(redis_client, name="q"):
    """Seconds to the deadline of a temporary queue."""
    seconds, micros = redis_client.time()
    return redis_client.zscore("_kombu.temporary", name) - seconds - micros / 1e6


def let_time_pass(redis_client, *names):
    """The deadline of these queues is over, and so are the leases of their consumers."""
    for name in names or ("q",):
        redis_client.zadd("_kombu.temporary", {name: 1}, xx=True)
        for consumer in redis_client.zrange(f"_kombu.consumers.{name}", 0, -1):
            redis_client.zadd(f"_kombu.consumers.{name}", {consumer: 1})


def test_consumers_of_all_connections_are_counted(make):
    one, other = make(), make()
    declare(one)
    other.load_queue("q")
    one.add_consumer("q", "t1")
    other.add_consumer("q", "t1")
    assert one.count_consumers("q") == other.count_consumers("q") == 2
    assert one.remove_consumer("q", "t1") == 1
    assert one.remove_consumer("q", "unknown") == 1


def test_exclusive_consumers(make, redis_client):
    one, other = make(), make()
    declare(one)
    # Given an exclusive consumer, then nobody else may consume
    one.add_consumer("q", "t", exclusive=True)
    with pytest.raises(AccessRefused):
        other.add_consumer("q", "t")
    # When it is gone others may, and then nobody may alone
    one.remove_consumer("q", "t")
    other.add_consumer("q", "t")
    with pytest.raises(AccessRefused):
        one.add_consumer("q", "t", exclusive=True)
    # When the other one was killed, then its lease ends
    let_time_pass(redis_client)
    one.add_consumer("q", "t", exclusive=True)


def test_a_deleted_queue_has_no_consumers(make):
    one, other = make(), make()
    declare(one)
    other.load_queue("q")
    one.remove_queue("q")
    with pytest.raises(NotFound):
        other.add_consumer("q", "t")


@pytest.mark.parametrize(
    ("queue", "fresh", "consumed", "cancelled"),
    [
        ({}, None, None, None),
        ({"exclusive": True}, LEASE, LEASE, LEASE),
        ({"auto_delete": True}, 86400, LEASE, 86400),
        ({"x-expires": 10000}, 10, LEASE + 10, 10),
        ({"auto_delete": True, "x-expires": 10000}, 10, LEASE, 10),
        ({"exclusive": True, "x-expires": 10000}, 10, LEASE, 10),
        ({"exclusive": True, "auto_delete": True, "x-expires": 86400000}, LEASE, LEASE, LEASE),
    ],
)
def test_deadlines(make, redis_client, queue, fresh, consumed, cancelled):
    """Seconds to the deadline: of a new queue, with a consumer, and when that is gone."""
    one = make(lease=LEASE)
    declare(one, **queue)
    if fresh is None:
        one.add_consumer("q", "t")
        assert not redis_client.exists("_kombu.temporary")
        return
    assert left(redis_client) == pytest.approx(fresh, abs=2)
    one.add_consumer("q", "t")
    assert left(redis_client) == pytest.approx(consumed, abs=2)
    # When time passes and the connection says that it lives, then the deadline moves on
    redis_client.zadd("_kombu.temporary", {"q": 1})
    one.keep_alive()
    assert left(redis_client) == pytest.approx(consumed, abs=2)
    one.remove_consumer("q", "t")
    assert left(redis_client) == pytest.approx(cancelled, abs=2)


def test_use_moves_the_deadline(make, redis_client):
    one = make()
    declare(one, **{"x-expires": 10000})
    for use in (lambda: one.touch(["q", "none"]), lambda: declare(one, **{"x-expires": 10000})):
        seconds = redis_client.time()[0]
        redis_client.zadd("_kombu.temporary", {"q": seconds + 2})
        use()
        assert left(redis_client) == pytest.approx(10, abs=1)
    assert redis_client.zrange("_kombu.temporary", 0, -1) == [b"q"]


def test_what_is_over_goes_with_all_it_had(make, redis_client):
    # Given a queue of a killed connection, with messages and bindings, also by an old client
    one, other = make(), make()
    one.declare_exchange("x", "direct", True, False, {})
    declare(one, auto_delete=True, **{"x-expires": 10000})
    one.bind(("queue", "q"), "x", "k")
    one.add_consumer("q", "t")
    redis_client.lpush("q", "message")
    redis_client.lpush("_kombu.wake.q", "1")
    assert other.expire_temporary() == []
    assert queues_of(other, "x", "k") == ["q"]
    # When its time is over, then whoever looks deletes it
    let_time_pass(redis_client)
    assert other.expire_temporary() == ["q"]
    assert sorted(redis_client.keys()) == [b"_kombu.alive", b"_kombu.exchanges"]
    assert queues_of(other, "x", "k") == []


def test_who_uses_it_in_time_keeps_it(make, redis_client):
    # Given one connection has seen that a queue's time is over
    one, other = make(), make()
    declare(one, **{"x-expires": 10000})
    let_time_pass(redis_client)
    one.add_consumer("q", "t")  # when a consumer comes before it is deleted
    # Then it stays
    assert other.remove_queue("q", expired=True) is None
    assert redis_client.hexists("_kombu.queues", "q")


def test_a_dead_owners_queue_may_be_declared_by_another(make, redis_client):
    # Given an exclusive queue whose owner was killed
    one, other = make(), make()
    declare(one, exclusive=True)
    redis_client.lpush("q", "old")
    let_time_pass(redis_client)
    # When another declares it otherwise, then it is a new queue
    declare(other, exclusive=True, **{"x-max-length": 1})
    assert not redis_client.exists("q")
    assert redis_client.hget("_kombu.queues", "q").count(b"connection-1") == 1


def test_a_channel_is_locked_out_until_then(redis_url, redis_client):
    with Connection(redis_url) as owner, Connection(redis_url) as other:
        channel = owner.channel()
        channel.queue_declare("q", exclusive=True)
        with pytest.raises(ResourceLocked):
            other.channel().queue_declare("q", exclusive=True)
        let_time_pass(redis_client)
        assert other.channel().queue_declare("q", exclusive=True) == ("q", 0, 0)


def test_asking_for_a_message_is_use(redis_url, redis_client):
    with Connection(redis_url) as connection:
        channel = connection.channel()
        channel.queue_declare("q", arguments={"x-expires": 10000})
        redis_client.zadd("_kombu.temporary", {"q": redis_client.time()[0] + 2})
        assert channel.basic_get("q") is None
        assert left(redis_client) == pytest.approx(10, abs=1)


def test_the_last_of_all_connections_consumers_takes_the_queue_along(redis_url, redis_client):
    with Connection(redis_url) as one, Connection(redis_url) as other:
        channel, another = one.channel(), other.channel()
        channel.queue_declare("q", auto_delete=True)
        channel.basic_consume("q", consumer_tag="a", callback=print)
        another.basic_consume("q", consumer_tag="b", callback=print)
        assert another.queue_declare("q", passive=True).consumer_count == 2
        # When one of two cancels, then the queue stays; when the other does it goes
        channel.basic_cancel("a")
        assert redis_client.hexists("_kombu.queues", "q")
        another.basic_cancel("b")
        assert not redis_client.hexists("_kombu.queues", "q")


def test_a_thousand_killed_clients_leave_no_key(make, redis_url, redis_client):
    # Given a server in use, and a thousand control clients with a queue for replies each
    survivor = make()
    survivor.declare_exchange("reply", "direct", False, False, {})
    keys = redis_client.dbsize()
    for number in range(1000):
        client = make(lease=1)
        name = f"reply-{number}"
        declare(client, name, auto_delete=True, **{"x-expires": 10000})
        client.declare_exchange("reply", "direct", False, False, {})
        client.bind(("queue", name), "reply", name)
        client.add_consumer(name, "t")
        redis_client.lpush(name, "a reply")
        client.client.abandon()  # its socket is closed without a word
    assert redis_client.dbsize() >= keys + 2000  # (some have gone by themselves, when making them took long)
    # When their leases are over, then one who lives removes what they had, bit by bit
    removed = []
    end = monotonic() + 10
    while len(removed) < 1000 and monotonic() < end:
        removed += survivor.expire_temporary() or redis_client.blpop("nothing", 0.1) or []
    assert len(removed) == 1000
    assert redis_client.dbsize() == keys
    assert redis_client.exists("_kombu.consumers.reply-1", "_kombu.binding.reply") == 0


def test_killed_processes_leave_no_key(redis_url, redis_client):
    # Given somebody who consumes, and a process of control clients that is killed in the middle of its work
    options = {"transport_options": {"lease": 1}}
    script = f"""
import sys
from kombu import Connection, Consumer, Exchange, Queue
kept = []
for number in range(20):
    connection = Connection({redis_url!r}, **{options!r})
    queue = Queue(f"reply-{{number}}", Exchange("reply", durable=False), f"reply-{{number}}", durable=False,
                  auto_delete=True, expires=10)
    consumer = Consumer(connection.channel(), [queue], callbacks=[print])
    consumer.consume()
    kept.append((connection, consumer))
print("ready", flush=True)
sys.stdin.read()
"""
    with Connection(redis_url, **options) as living:
        channel = living.channel()
        channel.exchange_declare("reply")
        channel.queue_declare("work")
        channel.basic_consume("work", callback=print)
        keys = redis_client.dbsize()
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout.readline() == b"ready\n"
            assert redis_client.zcard("_kombu.temporary") == 20
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
        # Then within a lease and two seconds its queues are gone
        with pytest.raises(TimeoutError):
            living.drain_events(timeout=3.5)
        assert redis_client.zcard("_kombu.temporary") == 0
        assert redis_client.dbsize() == keys
