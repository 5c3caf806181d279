"""What a push checks, where it puts messages, and what gives way to them."""

from __future__ import annotations

import json

import pytest

from kombu_redis.store import Limits, Target
from tests.unit.kombu_redis.support_store import number_of, payload, shop_at


@pytest.fixture
def shop(redis_url):
    with shop_at(redis_url) as made:
        yield made


def test_a_push_goes_to_every_queue_and_the_channel_in_one_call(shop, redis_client):
    # Given a subscriber and two queues
    listener = redis_client.pubsub()
    listener.subscribe("/0.news")
    assert listener.get_message(timeout=5)["type"] == "subscribe"

    # When a message with a payload for each queue is pushed
    outlet = shop.outlet("first", "second", channel="/0.news")
    shop.store.push(outlet, [payload(1), payload(2)])

    # Then each queue has its own, the first one is broadcast, and a waiter of each is woken
    assert (shop.take(9, "first"), shop.take(9, "second")) == ([1], [2])
    assert listener.get_message(timeout=5)["data"] == payload(1)
    listener.close()


def test_without_queues_it_is_only_published(shop, redis_client):
    # Given an outlet with a channel only; when something is pushed, then that is all there is
    assert shop.store.push(shop.store.outlet([], channel="/0.news"), [payload(1)]).stale is None
    assert redis_client.keys() == []


def test_several_messages_keep_their_order(shop):
    # Given more messages than Lua takes at once; when they are pushed, then they come in their order
    numbers = list(range(2500))
    shop.push(*numbers)
    assert shop.take(1000) + shop.take(1000) + shop.take(1000) == numbers


def test_several_outlets_go_in_one_write(shop, redis_client):
    # Given a list that is none
    redis_client.set("broken", "x")
    batch = [(shop.outlet(queue), [payload(1), payload(2)], None) for queue in ("work", "broken", "more")]

    # When a batch is pushed, then each part has its own outcome
    done, failed, also_done = shop.store.push_many(batch)
    assert (done.stale, also_done.stale) == (None, None)
    assert "WRONGTYPE" in str(failed)
    assert (shop.take(9, "work"), shop.take(9, "more")) == ([1, 2], [1, 2])


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda redis: redis.hset("_kombu.exchanges", "topics", "2|{}"), 0),
        (lambda redis: redis.hdel("_kombu.exchanges", "topics"), 0),
        (lambda redis: redis.sadd("_kombu.binding.topics", "another"), 1),
        (lambda redis: redis.hset("_kombu.queues", "work", "{}"), 2),
        (lambda redis: redis.flushdb(), 0),
    ],
)
def test_a_route_that_no_longer_holds_is_refused_as_a_whole(shop, redis_client, change, number):
    # Given a route by an exchange, its bindings and a queue that nobody declared
    redis_client.hset("_kombu.exchanges", "topics", "1|{}")
    redis_client.sadd("_kombu.binding.topics", "row")
    checks = [
        ("h", shop.keys.exchanges, "topics", b"1|{}"),
        ("s", shop.keys.binding("topics"), "", 1),
        ("h", shop.keys.queues, "work", ""),
    ]
    outlet = shop.outlet("work", checks=checks, channel="/0.topics")
    assert shop.store.push(outlet, [payload(1)]).stale is None
    shop.take()

    # When one of them has changed, then nothing is pushed, now or later, and it is said which one
    change(redis_client)
    assert shop.store.push(outlet, [payload(2)]).stale == number
    target = (Target("work", "work"), payload(3), None)
    assert shop.store.push_delayed([target], 0, checks).stale == number
    assert shop.take() == []


def test_a_full_queue_refuses_and_the_others_get_theirs(shop):
    # Given a queue of two messages that refuses, and one without a limit
    targets = [Target("small", "small", Limits(max_length=2, refuses=True)), Target("work", "work")]
    outlet = shop.store.outlet(targets, shared=True)

    # When three messages are pushed, then the third is refused there
    outcome = shop.store.push(outlet, [payload(number) for number in (1, 2, 3)])
    assert outcome.refused == [(2, 0)]
    assert (shop.take(9, "small"), shop.take(9, "work")) == ([1, 2], [1, 2, 3])


def test_the_oldest_give_way_and_are_held_for_their_burial(shop, redis_client):
    # Given a queue of two messages with a dead-letter exchange
    outlet = shop.outlet("work", limits=Limits(max_length=2, buries=True))

    # When four are pushed, two of them at once
    assert not shop.store.push(outlet, [payload(1), payload(2)]).dropped
    dropped = [shop.store.push(outlet, [payload(3)]).dropped, shop.store.push(outlet, [payload(4)]).dropped]

    # Then each push has what gave way to it, leased, and what is not buried would come back
    assert [[number_of(leased.message) for leased in each] for each in dropped] == [[1], [2]]
    assert {leased.tag.encode() for each in dropped for leased in each} == set(redis_client.hkeys("unacked"))
    assert shop.take() == [3, 4]


def test_without_a_dead_letter_exchange_it_is_dropped(shop, redis_client):
    # Given a queue of one message; when two are pushed, then one is gone
    outlet = shop.outlet("work", limits=Limits(max_length=1))
    assert shop.store.push(outlet, [payload(1), payload(2)]).lost == 1
    assert redis_client.exists("unacked") == 0
    assert shop.take() == [2]


def test_a_limit_can_be_enforced_without_a_message(shop):
    # Given more messages than the queue may have; when nothing is pushed, then the oldest give way
    shop.push(1, 2, 3)
    outcome = shop.store.push(shop.outlet("work", limits=Limits(max_length=1, buries=True)), ())
    assert [number_of(leased.message) for leased in outcome.dropped] == [1, 2]
    assert shop.take() == [3]


def test_bytes_are_those_of_the_bodies_and_survive_who_does_not_count(shop, redis_client):
    # Given a queue of at most ten bytes of bodies, of which three have four
    limits = Limits(max_bytes=10, refuses=True)
    outlet = shop.outlet("work", limits=limits)
    assert not shop.store.push(outlet, [payload(1, body="YWJjZA=="), payload(2, body="YWJjZA==")]).refused
    assert shop.store.size_bytes("work") == 8

    # When one more would be too much, then it is refused
    assert shop.store.push(outlet, [payload(3, body="YWJjZA==")]).refused == [(0, 0)]

    # And when kombu 5, which does not count, takes one and puts three empty ones, then that is noticed
    redis_client.rpop("work")
    redis_client.lpush("work", *[payload(number, body="") for number in (4, 5, 6)])
    assert shop.store.size_bytes("work") == 4
    assert not shop.store.push(outlet, [payload(7, body="YWJjZA==")]).refused
    assert shop.store.push(outlet, [payload(8, body="YWJjZA==")]).refused == [(0, 0)]


def test_what_expires_is_registered_for_the_earliest_time(shop, redis_client):
    # Given messages with and without a stamp; when they are pushed, then the queue is known by the earliest
    outlet = shop.outlet("work")
    shop.store.push(outlet, [payload(1), payload(2), payload(3)], [2000000000.5, None, 1900000000.25])
    shop.store.push(outlet, [payload(4)], [2100000000.0])
    assert redis_client.zrange("_kombu.expiring", 0, -1, withscores=True) == [(b"work", 1900000000.25)]
    assert shop.take() == [1, 2, 3, 4]


def test_names_and_payloads_may_have_any_characters(redis_url):
    # Given a prefix, a separator and a queue with letters of all kinds
    with shop_at(redis_url, global_keyprefix="präfix:", sep=":") as shop:
        queue = 'q "ü/\\ \n'
        shop.store.push(shop.outlet(queue), [json.dumps({"ü": "\x7f"}, ensure_ascii=False).encode()])

        # When a message goes in and out, then it is the same
        (leased,) = shop.claim(1, queue).messages
        assert leased.message == {"ü": "\x7f"}
        assert shop.store.set_aside(queue, [leased.tag]) == []
        assert shop.store.size(queue) == 0
