"""The ledger against a plain model: lists, searched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kombu.transport.virtual.ledger import Ledger, Subscription


def delivered(ledger, tag, subscription=None, queue="q"):
    ledger.add(tag, queue, {"body": tag}, subscription)


def test_settling_twice_is_seen():
    ledger = Ledger()
    delivered(ledger, 1)
    assert ledger.settle(1) == ("q", {"body": 1}, None)
    assert ledger.settle(1) is None


def test_budget_is_the_smaller_of_channel_and_consumer():
    ledger = Ledger(limit=3)
    one, two = Subscription("1", "q", limit=2), Subscription("2", "q")
    assert (ledger.budget(one), ledger.budget(two)) == (2, 3)
    delivered(ledger, 1, one)
    delivered(ledger, 2, two)
    assert (ledger.budget(one), ledger.budget(two)) == (1, 1)
    delivered(ledger, 3, two)
    assert (ledger.budget(one), ledger.budget(two)) == (0, 0)
    ledger.settle(2)
    assert (ledger.budget(one), ledger.budget(two)) == (1, 1)


def test_no_limit_is_none_and_no_ack_has_none():
    ledger = Ledger()
    assert ledger.budget(Subscription("1", "q")) is None
    ledger.limit = 1
    delivered(ledger, 1, Subscription("2", "q"))
    assert ledger.budget(Subscription("1", "q", no_ack=True, limit=1)) is None


def test_basic_get_does_not_use_the_prefetch_budget():
    ledger = Ledger(limit=1)
    delivered(ledger, 1, None)
    assert ledger.budget(Subscription("1", "q")) == 1


@given(
    st.lists(
        st.one_of(st.just("deliver"), st.integers(1, 12), st.tuples(st.just("upto"), st.integers(0, 12)))
    )
)
def test_any_history_agrees_with_a_list(history):
    ledger, model, tag = Ledger(limit=5), [], 0
    subscription = Subscription("1", "q", limit=4)
    for step in history:
        if step == "deliver":
            tag += 1
            delivered(ledger, tag, subscription)
            model.append(tag)
        elif isinstance(step, tuple):
            tags = ledger.tags_up_to(step[1])
            assert tags == [known for known in model if step[1] == 0 or known <= step[1]]
            for known in tags:
                ledger.settle(known)
            model = [known for known in model if known not in tags]
        else:
            assert (ledger.settle(step) is not None) == (step in model)
            model = [known for known in model if known != step]
        assert list(ledger.unacked) == model
        assert ledger.outstanding == subscription.unacked == len(model)
        assert ledger.budget(subscription) == max(0, 4 - len(model))
