"""What a claim takes, what it leaves, and what becomes of payloads that are no messages."""

from __future__ import annotations

import json
from threading import Thread

import pytest

from kombu_redis.store import Move, Source
from tests.unit.kombu_redis.support_store import number_of, payload, shop_at


@pytest.fixture
def shop(redis_url):
    with shop_at(redis_url) as made:
        yield made


def test_a_claim_leases_the_oldest_and_leaves_the_rest(shop, redis_client):
    # Given five messages, and one of kombu 5
    shop.push(1, 2, 3, 4, 5)
    redis_client.lpush("work", payload(6))

    # When four are claimed, and then all
    claimed = shop.claim(4)

    # Then they are the oldest, in their order, and held by tags of their own
    assert [number_of(leased.message) for leased in claimed.messages] == [1, 2, 3, 4]
    assert [leased.tag for leased in claimed.messages] == sorted(
        map(bytes.decode, redis_client.hkeys("unacked"))
    )
    assert shop.store.size("work") == 2
    assert shop.take() == [5, 6]
    assert shop.claim() == ((), (), (), (), shop.next)


@pytest.mark.parametrize("count", [2, 20, 21, 45, 1005])
def test_a_claim_from_many_queues_finds_all_there_is(shop, redis_client, count):
    # Given: messages in the first, the last and some others, one that is delayed and due, one queue that has changed
    names = [f"queue{number}" for number in range(count)]
    assert shop.claim(5, *names) == ((), (), (), (), shop.next)
    some = {0, 1, 19, 20, count - 2, count - 1} & set(range(count))
    for number in some:
        shop.push(number, queue=names[number])
    if count > 40:
        redis_client.zadd("_kombu.delayed.queue30", {b"0" + shop.keys.sep.encode() + payload(30): 1})
        redis_client.hset("_kombu.queues", "queue40", "another")
        some |= {30}
    # When
    claimed = shop.claim(5, *names)
    # Then
    assert {number_of(leased.message) for leased in claimed.messages} == some
    assert claimed.stale == (["queue40"] if count > 40 else ())
    assert claimed.promoted == (["queue30"] if count > 40 else ())


def test_an_entry_of_the_lease_is_one_that_kombu_5_restores(shop, redis_client):
    # Given a lease of 30 s and a visibility timeout of an hour
    shop.push(1)
    before, _ = redis_client.time()

    # When the message is claimed
    (leased,) = shop.claim().messages

    # Then kombu 5 finds payload, exchange and routing key, and adds an hour to the score to know when it is over
    assert json.loads(redis_client.hget("unacked", leased.tag)) == [json.loads(payload(1)), "", "work"]
    over = redis_client.zscore("unacked_index", leased.tag) + 3600
    assert before + 29 < over < before + 40


@pytest.mark.parametrize("odd", [False, True], ids=["message", "no JSON"])
def test_a_queues_only_message_is_not_leased_when_nobody_acknowledges(shop, redis_client, odd):
    # Given a message, or what is none, at a lower step
    shop.store.push(shop.outlet("work", step=6), [b"no JSON" if odd else payload(1)])
    source = (Source("work", no_ack=True),)

    # When it is claimed by somebody who has no room, and by one who has
    assert shop.store.claim(source, [0], "me.", 1).messages == ()
    assert shop.store.claim((Source("work", "other", no_ack=True),), [1], "me.", 1).stale == ["work"]
    claimed = shop.store.claim(source, [1], "me.", 1)

    # Then it has no tag, and the server has forgotten it
    ((leased,), nothing) = (claimed.messages, claimed.unreadable)[:: -1 if odd else 1]
    assert (leased.queue, leased.level, leased.tag) == ("work", shop.keys.level("work", 6), "")
    assert not nothing
    assert not redis_client.exists("unacked", "unacked_index", leased.level)
    # and those of a queue with more than one are leased as ever
    shop.push(2, 3)
    assert all(leased.tag for leased in shop.store.claim(source, [9], "me.", 1).messages)


def test_priorities_go_first_and_each_level_keeps_its_order(shop):
    # Given messages at two of the old steps
    for step, numbers in ((9, (1, 2)), (0, (3, 4))):
        shop.store.push(shop.outlet("work", step=step), [payload(number) for number in numbers])

    # When they are claimed, then those of the smaller step come first, and the list each came from is named
    claimed = shop.claim(3)
    assert [number_of(leased.message) for leased in claimed.messages] == [3, 4, 1]
    assert [leased.level for leased in claimed.messages] == ["work", "work", shop.keys.level("work", 9)]
    assert shop.store.size("work") == 1


def test_several_queues_share_a_limit_in_their_order(shop):
    # Given two queues
    shop.push(1, 2, 3, queue="first")
    shop.push(4, 5, 6, queue="second")

    # When four messages may be claimed, then all are of the first but one
    claimed = shop.claim(3, "second", "first", limit=4)
    assert [(leased.queue, number_of(leased.message)) for leased in claimed.messages] == [
        ("second", 4),
        ("second", 5),
        ("second", 6),
        ("first", 1),
    ]


def test_a_claim_that_leaves_messages_wakes_the_next_waiter(shop, redis_client):
    # Given a token that somebody has taken
    shop.push(1, 2)
    assert redis_client.lrange("_kombu.wake.work", 0, -1) == [b"1"]
    redis_client.delete("_kombu.wake.work")

    # When one message is claimed, then there is a token for the other one; when that is claimed there is none
    shop.claim(1)
    assert redis_client.llen("_kombu.wake.work") == 1
    assert 0 < redis_client.ttl("_kombu.wake.work") <= 60
    redis_client.delete("_kombu.wake.work")
    shop.claim(1)
    assert redis_client.llen("_kombu.wake.work") == 0


@pytest.mark.parametrize("declared", ["", b'{"durable": false}'])
def test_a_queue_that_is_declared_differently_is_left_alone(shop, redis_client, declared):
    # Given a queue whose declaration is not what the client knows, and another one
    redis_client.hset("_kombu.queues", "changed", '{"durable": true}')
    shop.push(1, queue="changed")
    shop.push(2, queue="work")

    # When both are asked, then only the other one gives its message
    claimed = shop.store.claim((Source("changed", declared), Source("work")), [9, 9], "holder.", 1)
    assert claimed.stale == ["changed"]
    assert [leased.queue for leased in claimed.messages] == ["work"]
    assert shop.store.size("changed") == 1


BAD = [
    b"no json",
    b"",
    b"{,}",
    b"[1]",
    b'"text"',
    b'\xff\x00\x7f/\\"\n',
    # Together they would be JSON.
    b'{"a":[{}',
    b"{}]}",
    b"{},{}",
    b'{"deep":' + b"[" * 5000 + b"}",
    b'{"when": {"__type__": "datetime", "__value__": "never"}}',
]


def test_what_cannot_be_read_is_told_apart_and_kept_byte_by_byte(shop, redis_client):
    # Given messages and bad payloads in turn
    for number, bad in enumerate(BAD):
        redis_client.lpush("work", bad)
        shop.push(number)

    # When all are claimed
    claimed = shop.claim()

    # Then the messages arrive, and the bad ones with their bytes and what is wrong
    assert [number_of(leased.message) for leased in claimed.messages] == list(range(len(BAD)))
    assert [bad.payload for bad in claimed.unreadable] == BAD
    assert all(isinstance(bad.error, Exception) for bad in claimed.unreadable)
    tags = [leased.tag for leased in (*claimed.messages, *claimed.unreadable)]
    assert sorted(tags) == sorted(map(bytes.decode, redis_client.hkeys("unacked")))

    # And when they are set aside they are kept as they came, and leased no more
    assert shop.store.set_aside("work", [bad.tag for bad in claimed.unreadable]) == []
    assert redis_client.lrange("_kombu.undecodable.work", 0, -1) == BAD[::-1]
    assert redis_client.hlen("unacked") == redis_client.zcard("unacked_index") == len(BAD)


def test_given_back_as_it_was_a_bad_payload_keeps_its_bytes(shop, redis_client):
    # Given a claim of bad payloads
    redis_client.lpush("work", *BAD)
    claimed = shop.claim()

    # When they are released, then the list is as before
    shop.store.give_back("work", [(bad.tag, Move("work", bad.level)) for bad in claimed.unreadable])
    assert redis_client.lrange("work", 0, -1) == BAD[::-1]
    assert redis_client.hlen("unacked") == 0


def test_an_index_of_another_kind_loses_nothing(shop, redis_client):
    # Given a key of another program where the index should be
    shop.push(1)
    redis_client.set("unacked_index", "mine")

    # When a claim fails half way, then the message is still in its list
    with pytest.raises(Exception, match="WRONGTYPE"):
        shop.claim()
    assert shop.store.size("work") == 1


def test_holders_that_compete_get_each_message_once(redis_url, redis_client):
    # Given 2,000 messages in two queues, and four who claim, give some back and acknowledge the others
    with shop_at(redis_url) as shop:
        for start in range(0, 2000, 500):
            shop.push(*range(start, start + 500), queue=("work", "more")[start // 500 % 2])
    acked: list[int] = []

    def hold(name: str) -> None:
        with shop_at(redis_url) as shop:
            first, sources = 1, (Source("work"), Source("more"))
            while (claimed := shop.store.claim(sources, [7, 7], name, first)).messages:
                first = claimed.next
                for leased in claimed.messages[::2]:
                    shop.store.ack(leased.tag)
                    acked.append(number_of(leased.message))
                for leased in claimed.messages[1::2]:
                    assert not shop.store.give_back(
                        leased.queue, [(leased.tag, Move(leased.queue, leased.level))]
                    )
            shop.store.flush()

    # When they are done
    threads = [Thread(target=hold, args=(f"{name}.",)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    # Then each message was acknowledged once, and nothing is left
    assert sorted(acked) == list(range(2000))
    assert redis_client.exists("work", "more", "unacked", "unacked_index") == 0
