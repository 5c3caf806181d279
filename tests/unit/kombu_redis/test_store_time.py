"""Messages that are delayed, and messages that expire."""

from __future__ import annotations

import pytest

from kombu_redis.store import Limits, Move, Source, Target
from tests.unit.kombu_redis.support_store import number_of, payload, shop_at


@pytest.fixture
def shop(redis_url):
    with shop_at(redis_url) as made:
        yield made


def delay(shop, number, due, *, queue="work", step=0, expires_at=None, data=None):
    target = Target(queue, shop.keys.level(queue, step))
    shop.store.push_delayed([(target, data or payload(number), expires_at)], due)


def test_a_delayed_message_is_ready_when_it_is_due(shop, redis_client):
    # Given messages that are due, and one that is not
    later = redis_client.time()[0] + 1000
    delay(shop, 1, later)
    delay(shop, 2, 20)
    delay(shop, 3, 10)
    delay(shop, 4, 5, step=6)
    shop.push(5)
    assert shop.store.size("work") == 1

    # When messages are claimed, then those that are due come behind what was ready, by time and step
    claimed = shop.claim()
    assert [number_of(leased.message) for leased in claimed.messages] == [5, 3, 2, 4]
    assert claimed.promoted == ["work"]

    # And the other one is once it is its time
    assert not shop.claim().messages
    redis_client.zadd("_kombu.delayed.work", {redis_client.zrange("_kombu.delayed.work", 0, 0)[0]: 1})
    assert shop.take() == [1]
    assert redis_client.keys("_kombu.delayed*") == []


def test_delayed_messages_that_are_equal_are_all_kept(shop):
    # Given three times the same bytes at the same time; when they are due, then there are three
    for _ in range(3):
        delay(shop, 1, 10, step=9)
    claimed = shop.claim()
    assert [number_of(leased.message) for leased in claimed.messages] == [1, 1, 1]
    assert {leased.level for leased in claimed.messages} == {shop.keys.level("work", 9)}


def test_many_that_are_due_become_ready_in_bounded_steps(shop):
    # Given 250 messages that are due; when one is claimed at a time, then each claim makes a hundred ready
    for number in range(250):
        delay(shop, number, number)
    assert shop.take(1) == [0]
    assert shop.store.size("work") == 99
    assert [*shop.take(1), *shop.take(1)] == [1, 2]
    assert shop.store.size("work") == 247
    assert shop.take(1000) == list(range(3, 250))


def test_any_bytes_may_be_delayed(shop, redis_client):
    # Given a payload with a separator in it, and a member that somebody else has put there
    odd = shop.keys.sep.encode() * 2 + b"\xff"
    delay(shop, 1, 10, data=odd)
    redis_client.zadd("_kombu.delayed.work", {b"foreign": 20})

    # When they are due, then both arrive
    claimed = shop.claim()
    assert [bad.payload for bad in claimed.unreadable] == [odd, b"foreign"]


def test_promoted_messages_count_for_the_limit_in_bytes(shop):
    # Given a queue whose bytes are counted, and a delayed message
    limits = Limits(max_bytes=100, refuses=True)
    shop.store.push(shop.outlet("work", limits=limits), [payload(1, body="YWJjZA==")])
    delay(shop, 2, 10, data=payload(2, body="YWJjZGVm"))

    # When it becomes ready, then it counts, and what is claimed and given back does as well
    source = (Source("work", counts_bytes=True),)
    (leased,) = shop.store.claim(source, [1], "holder.", 1).messages
    assert shop.store._client.call("HGETALL", "_kombu.bytes.work") == [b"messages", b"1", b"bytes", b"6"]
    shop.store.give_back("work", [(leased.tag, Move("work", leased.level))])
    assert shop.store._client.call("HGETALL", "_kombu.bytes.work") == [b"messages", b"2", b"bytes", b"10"]
    assert shop.store.purge("work") == 2
    assert shop.store.size_bytes("work") == 0


def test_the_front_of_a_queue_expires_and_no_more(shop, redis_client):
    # Given two messages that have expired, one that has not, and another that has
    now = redis_client.time()[0]
    stamps = [now - 20.0, now - 10.0, now + 1000.0, now - 5.0]
    shop.store.push(
        shop.outlet("work"), [payload(n, expires_at=stamp) for n, stamp in enumerate(stamps)], stamps
    )

    # When the queue is looked at
    assert shop.store.due_to_expire() == ["work"]
    assert shop.store.due_to_expire() == []
    expired, unreadable = shop.store.expire("work")

    # Then those two are held, and the next look is when the third expires, or soon
    assert [number_of(leased.message) for leased in expired] == [0, 1]
    assert unreadable == []
    assert {leased.tag.encode() for leased in expired} == set(redis_client.hkeys("unacked"))
    assert now < redis_client.zscore("_kombu.expiring", "work") < now + 30
    assert shop.store.expire("work") == ([], [])
    assert shop.take() == [2, 3]

    # And an empty queue is not looked at any more
    assert shop.store.expire("work") == ([], [])
    assert redis_client.exists("_kombu.expiring") == 0


def test_each_level_expires_by_itself(shop):
    # Given expired messages at two levels, one of which nobody can read
    for step in (0, 9):
        shop.store.push(shop.outlet("work", step=step), [payload(step, expires_at=1)], [1.0])
    shop.store.push(shop.outlet("work"), [b"{"])

    # When the queue is looked at, then both are taken, and the unreadable one stays
    expired, _ = shop.store.expire("work")
    assert [(number_of(leased.message), leased.level) for leased in expired] == [
        (0, "work"),
        (9, shop.keys.level("work", 9)),
    ]
    assert shop.store.size("work") == 1


def test_a_token_is_passed_on_once(shop, redis_client):
    # Given a token nobody here has use for; when it is passed on twice, then one is there
    shop.store.pass_on("_kombu.wake.work")
    shop.store.nudge("_kombu.wake.work")
    assert redis_client.llen("_kombu.wake.work") == 1


def test_purging_leaves_what_is_held_or_delayed(shop, redis_client):
    # Given messages that are ready at two levels, held and delayed
    shop.push(1, 2)
    shop.claim(1)
    shop.store.push(shop.outlet("work", step=3), [payload(3)])
    delay(shop, 4, redis_client.time()[0] + 1000)

    # When the queue is purged, then what is ready is gone
    assert shop.store.purge("work") == 2
    assert shop.store.size("work") == 0
    assert (redis_client.hlen("unacked"), redis_client.zcard("_kombu.delayed.work")) == (1, 1)
    assert shop.keys.delayed("work") in shop.store.keys_of("work")
