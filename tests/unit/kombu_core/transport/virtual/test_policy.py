"""Policies: what a queue's arguments mean, with the time as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.virtual import policy
from kombu.transport.virtual.policy import PLAIN, QueuePolicy


def letter(key="k", exchange="ex", headers=None, **properties):
    info = {"exchange": exchange, "routing_key": key}
    return {"body": b"x", "headers": headers or {}, "properties": {"delivery_info": info, **properties}}


def test_arguments_become_seconds_and_counts():
    made = QueuePolicy.from_arguments(
        {
            "x-message-ttl": 1500,
            "x-expires": 2000,
            "x-max-length": 3,
            "x-max-priority": 10,
            "x-delivery-limit": 0,
        }
    )
    assert (made.message_ttl, made.expires, made.max_length, made.max_priority) == (1.5, 2.0, 3, 10)
    assert made.delivery_limit == 0


def test_no_arguments_are_the_plain_policy_itself():
    assert QueuePolicy.from_arguments({}) is PLAIN
    assert QueuePolicy.from_arguments({"sqs-whatever": 1}) is PLAIN


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-message-ttl": -1},
        {"x-message-ttl": "1000"},
        {"x-expires": 0},
        {"x-max-priority": 256},
        {"x-max-length": 1.5},
        {"x-max-length": True},
        {"x-overflow": "explode"},
        {"x-dead-letter-routing-key": "k"},
    ],
)
def test_impossible_values_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        QueuePolicy.from_arguments(arguments)


@given(st.none() | st.integers(0, 10**9), st.none() | st.integers(0, 10**9), st.floats(0, 2e9))
def test_the_smaller_time_to_live_wins(own, queue, now):
    rules = QueuePolicy(message_ttl=None if queue is None else queue / 1000)
    when = policy.expires_at(None if own is None else str(own), rules, now)
    given_ = [value for value in (own, queue) if value is not None]
    assert when == (now + min(given_) / 1000 if given_ else None)


@pytest.mark.parametrize("expiration", ["abc", "-1", "1.5", ""])
def test_an_impossible_expiration_is_named(expiration):
    with pytest.raises(ValueError, match="expiration"):
        policy.expires_at(expiration, PLAIN, 0)


def test_zero_time_to_live_expires_at_once():
    assert policy.is_expired({"expires_at": policy.expires_at("0", PLAIN, 5.0)}, 5.0)
    assert not policy.is_expired({}, 5.0)


@given(st.none() | st.integers(-5, 300), st.none() | st.integers(1, 255))
def test_priority_is_within_the_queues_levels(own, most):
    level = policy.priority_of({"priority": own}, QueuePolicy(max_priority=most))
    assert 0 <= level <= (most or 0)
    if most and own and 0 <= own <= most:
        assert level == own


def test_dead_letter_keeps_the_original_and_tells_its_story():
    # Given a message that was published to ex with key k, to live a second
    message = letter(expiration="1000", expires_at=9.0, delivery_count=2)
    rules = QueuePolicy(dead_letter_exchange="dlx", dead_letter_routing_key="dead")
    # When it expires in queue q
    exchange, key, dead = policy.dead_letter(message, "q", "expired", rules, 10.0)
    # Then the letter goes to the dead-letter exchange and will not expire again
    assert (exchange, key) == ("dlx", "dead")
    assert not {"expiration", "expires_at", "delivery_count"} & set(dead["properties"])
    assert dead["headers"]["x-death"] == [
        {
            "count": 1,
            "reason": "expired",
            "queue": "q",
            "time": 10,
            "exchange": "ex",
            "routing-keys": ["k"],
            "original-expiration": "1000",
        }
    ]
    assert dead["headers"]["x-first-death-reason"] == "expired"
    assert message["properties"]["expiration"] == "1000"
    assert message["headers"] == {}


def test_dead_letter_without_a_key_keeps_the_original_key():
    assert (
        policy.dead_letter(letter("a.b"), "q", "rejected", QueuePolicy(dead_letter_exchange="dlx"), 0)[1]
        == "a.b"
    )


def test_the_same_death_is_counted_and_the_latest_comes_first():
    rules = QueuePolicy(dead_letter_exchange="dlx")
    message = letter()
    for queue, reason in (("q", "rejected"), ("wait", "expired"), ("q", "rejected")):
        _, _, message = policy.dead_letter(message, queue, reason, rules, 1.0)
    deaths = message["headers"]["x-death"]
    assert [(death["queue"], death["reason"], death["count"]) for death in deaths] == [
        ("q", "rejected", 2),
        ("wait", "expired", 1),
    ]
    assert message["headers"]["x-first-death-queue"] == "q"


def test_a_circle_without_a_rejection_is_seen():
    rules = QueuePolicy(dead_letter_exchange="dlx")
    _, _, expired = policy.dead_letter(letter(), "q", "expired", rules, 1.0)
    assert policy.goes_in_circles(expired, "q")
    assert not policy.goes_in_circles(expired, "other")
    _, _, rejected = policy.dead_letter(expired, "work", "rejected", rules, 2.0)
    assert not policy.goes_in_circles(rejected, "q")


def test_delivery_limit_is_the_number_of_times_it_may_come_back():
    rules = QueuePolicy(delivery_limit=2)
    message = letter()
    counts = [policy.count_delivery(message) for _ in range(3)]
    assert [policy.exceeds_delivery_limit(count, rules) for count in counts] == [False, False, True]
    assert policy.delivery_count(message) == 3
    assert not policy.exceeds_delivery_limit(99, PLAIN)
