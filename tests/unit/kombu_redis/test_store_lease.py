"""What becomes of leases: acknowledged, renewed, given back, ended; each message is always in one place."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kombu_redis.store import Move
from tests.unit.kombu_redis.support_store import let_leases_end, number_of, payload, shop_at


@pytest.fixture
def shop(redis_url):
    with shop_at(redis_url) as made:
        yield made


@pytest.fixture
def other(redis_url):
    """Another process, as far as the server can tell."""
    with shop_at(redis_url) as made:
        yield made


def back(leased):
    return leased.tag, Move(leased.queue, leased.level)


def home(due):
    """Back to the queue an entry came from, as a sweep does."""
    queue = json.loads(due.value)[2]
    return due, [Move(queue, queue, json.dumps(json.loads(due.value)[0]).encode())]


def numbers(claimed):
    return [number_of(leased.message) for leased in claimed.messages]


def test_acknowledged_is_gone_with_the_next_request_or_at_once(shop, redis_client):
    # Given three messages that are held
    shop.push(1, 2, 3)
    one, two, three = shop.claim().messages

    # When one is acknowledged, then it is gone when the next request is answered
    shop.store.ack(one.tag)
    assert redis_client.hlen("unacked") == 3
    assert not shop.claim().messages
    assert set(redis_client.hkeys("unacked")) == {two.tag.encode(), three.tag.encode()}

    # And the others when they are told to go at once
    shop.store.ack(two.tag)
    shop.store.ack(three.tag, now=True)
    assert shop.store.size("work") == 0
    assert redis_client.exists("unacked", "unacked_index") == 0


def test_an_acknowledgement_that_comes_too_late_is_noticed(shop, other, redis_client):
    # Given a message whose lease has ended, and which somebody else holds now
    shop.push(1)
    (leased,) = shop.claim().messages
    let_leases_end(redis_client)
    assert other.store.restore([home(due) for due in other.store.fetch_due()]) == []
    assert other.take() == [1]

    # When it is acknowledged, then that is reported, and the other one keeps it
    late = []
    shop.store.on_late_ack = lambda *counts: late.append(counts)
    shop.store.ack(leased.tag, now=True)
    shop.store.size("work")
    assert late == [(1, 1)]
    assert redis_client.hlen("unacked") == 1


def test_given_back_goes_to_the_front_in_order_with_its_new_payload(shop, redis_client):
    # Given five messages, three of them held
    shop.push(1, 2, 3, 4, 5)
    held = shop.claim(3).messages
    redis_client.delete("_kombu.wake.work")

    # When two come back, one of them changed
    entries = [back(held[0]), (held[2].tag, Move("work", "work", payload(33)))]
    assert shop.store.give_back("work", entries) == []

    # Then they are first, in their order, and somebody is woken
    assert redis_client.llen("_kombu.wake.work") == 1
    assert shop.take() == [1, 33, 4, 5]


def test_what_is_not_held_any_more_is_not_given_back(shop, other, redis_client):
    # Given a message that was restored, and claimed by another
    shop.push(1)
    (leased,) = shop.claim().messages
    let_leases_end(redis_client)
    other.store.restore([home(due) for due in other.store.fetch_due()])
    assert other.take() == [1]

    # When its first holder gives it back, then it is told, and there is no second copy
    assert shop.store.give_back("work", [back(leased)]) == [leased.tag]
    assert shop.take() == []


def test_a_message_does_not_come_back_to_a_deleted_queue(shop, redis_client):
    # Given a held message of a queue that is deleted, on a server that has not lost its data
    redis_client.set("_kombu.alive", "since")
    shop.push(1)
    held = shop.claim().messages

    # When it is given back, then it goes with the queue
    entries = [(leased.tag, Move("work", "work", declared=True)) for leased in held]
    assert shop.store.give_back("work", entries) == []
    assert redis_client.exists("work", "unacked", "unacked_index") == 0


def test_after_a_loss_of_data_nothing_counts_as_deleted(shop, redis_client):
    # Given a held message, and a server that knows of no queue nor of its own life
    shop.push(1)
    held = shop.claim().messages

    # When the message is given back, then it is kept
    shop.store.give_back("work", [(leased.tag, Move("work", "work", declared=True)) for leased in held])
    assert shop.take() == [1]


def test_a_dead_letter_moves_in_one_step_and_once(shop, redis_client):
    # Given a held message
    shop.push(1)
    (leased,) = shop.claim().messages
    moves = [
        Move("dead", "dead", payload(11), front=False),
        Move("grave", "grave", front=False, expires_at=9e9),
    ]

    # When it is buried twice, then it is in both queues once, and not leased
    assert shop.store.move("work", [(leased.tag, "", moves)]) == []
    assert shop.store.move("work", [(leased.tag, "", moves)]) == [leased.tag]
    assert (shop.store.size("dead"), redis_client.lrange("grave", 0, -1)) == (1, [payload(1)])
    assert redis_client.exists("unacked", "unacked_index") == 0
    assert redis_client.zscore("_kombu.expiring", "grave") == 9e9


def test_a_renewed_lease_goes_on_and_a_lost_one_is_named(shop, redis_client):
    # Given more leases than one call renews, one of which is lost
    shop.push(*range(1500))
    tags = [leased.tag for leased in (*shop.claim(1000).messages, *shop.claim(1000).messages)]
    redis_client.zrem("unacked_index", tags[1200])

    # When they are renewed for 100 s, then all but the lost one end then
    assert shop.store.renew(tags, 100) == [tags[1200]]
    now = redis_client.time()[0]
    ends = [score + 3600 for _, score in redis_client.zrange("unacked_index", 0, -1, withscores=True)]
    assert len(ends) == 1499
    assert all(99 <= end - now <= 110 for end in ends)


def test_due_entries_are_fetched_by_one_and_come_back_in_order(shop, other, redis_client):
    # Given messages whose holder is gone
    shop.push(*range(12))
    shop.claim(10)
    assert other.store.fetch_due() == []
    let_leases_end(redis_client)

    # When two sweep at the same time, then each entry is fetched by one of them
    found = other.store.fetch_due(4)
    rest = shop.store.fetch_due()
    assert len({due.tag for due in found + rest}) == len(found + rest) == 10
    assert shop.store.fetch_due() == []

    # And what comes back is delivered first, in its old order
    assert other.store.restore([home(due) for due in found]) == []
    assert shop.store.restore([home(due) for due in rest]) == []
    assert other.take() == list(range(12))


def test_who_renews_between_fetching_and_restoring_keeps_the_message(shop, other, redis_client):
    # Given a holder that was thought dead
    shop.push(1, 2)
    one, two = shop.claim().messages
    let_leases_end(redis_client)
    found = other.store.fetch_due()

    # When it renews one lease and acknowledges the other before they are restored
    assert shop.store.renew([one.tag]) == []
    shop.store.ack(two.tag, now=True)
    shop.store.size("work")

    # Then both stay as they are
    assert set(other.store.restore([home(due) for due in found])) == {one.tag, two.tag}
    assert shop.take() == []
    assert redis_client.hkeys("unacked") == [one.tag.encode()]


def test_an_index_entry_without_a_message_is_swept(shop, redis_client):
    # Given what is left of an acknowledgement whose second half was never sent
    redis_client.zadd("unacked_index", {"gone": 0})

    # When entries are fetched, then it is removed
    assert shop.store.fetch_due() == []
    assert redis_client.exists("unacked_index") == 0


def test_entries_of_kombu_5_are_fetched_with_their_route(shop, redis_client):
    # Given an entry of kombu 5, whose score is the time of its delivery
    value = json.dumps([json.loads(payload(1)), "exchange", "key"])
    redis_client.hset("unacked", "a-uuid", value)
    redis_client.zadd("unacked_index", {"a-uuid": redis_client.time()[0] - 3590})
    assert shop.store.fetch_due() == []

    # When an hour is over, then it is found, and restored to wherever its route leads
    redis_client.zadd("unacked_index", {"a-uuid": redis_client.time()[0] - 3601})
    (due,) = shop.store.fetch_due()
    assert (due.tag, json.loads(due.value)[1:]) == ("a-uuid", ["exchange", "key"])
    moves = [Move(queue, queue, payload(1)) for queue in ("work", "more")]
    assert shop.store.restore([(due, moves)]) == []
    assert (shop.take(9, "work"), shop.take(9, "more")) == ([1], [1])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("push", "claim", "claim", "ack", "back", "die", "restore")),
        st.sampled_from((0, 1)),
        st.integers(1, 5),
    ),
    max_size=30,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_no_order_of_steps_loses_or_doubles_a_message(shop, other, redis_client, steps):
    # Given two holders, eight messages, and any steps of theirs
    redis_client.flushdb()
    shop.push(*range(8))
    pushed, acked = list(range(8)), []
    held = ([], [])
    for step, who, count in steps:
        now, mine = (shop, other)[who], held[who][:count]
        if step == "push":
            now.push(*range(len(pushed), len(pushed) + count))
            pushed += range(len(pushed), len(pushed) + count)
        elif step == "claim":
            held[who].extend(now.claim(count).messages)
        elif step == "ack":
            for leased in mine:
                now.store.ack(leased.tag, now=True)
                acked.append(number_of(leased.message))
        elif step == "back":
            assert now.store.give_back("work", [back(leased) for leased in mine]) == []
        elif step == "die":
            held[who].clear()
        else:
            _restore_what_nobody_holds(now, [leased.tag for each in held for leased in each], redis_client)
        if step in ("ack", "back"):
            del held[who][:count]

    # When all is added up (each of two connections has its acknowledgements carried out)
    assert (shop.store.size("work"), shop.store.size("work")) == (other.store.size("work"),) * 2
    ready = [json.loads(each) for each in redis_client.lrange("work", 0, -1)]
    leased = [json.loads(each)[0] for each in redis_client.hvals("unacked")]

    # Then each message is ready, leased or acknowledged, and just one of these
    assert Counter(acked + [number_of(message) for message in ready + leased]) == Counter(pushed)
    assert redis_client.zcard("unacked_index") == len(leased)


def _restore_what_nobody_holds(sweeper, tags, redis_client):
    """A sweep an hour later, all living holders having renewed meanwhile."""
    for tag, score in redis_client.zrange("unacked_index", 0, -1, withscores=True):
        redis_client.zadd("unacked_index", {tag: score - 3600})
    sweeper.store.renew(tags)
    assert sweeper.store.restore([home(due) for due in sweeper.store.fetch_due()]) == []
