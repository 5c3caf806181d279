"""Retry policies are arithmetic, and a pause never goes beyond the deadline."""

from __future__ import annotations

from itertools import accumulate
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.exceptions import DeadlineExceeded
from kombu.retry import DEFAULT_PUBLISH_TIMEOUT, RetryPolicy, pause
from kombu.utils.deadline import deadline_scope

seconds = st.floats(0, 100)


@given(seconds, seconds, seconds, st.floats(0, 1), st.integers(0, 50), st.floats(0, 1, exclude_max=True))
def test_the_pause_grows_by_the_step_up_to_the_maximum(start, step, most, jitter, retry, chance):
    policy = RetryPolicy(interval_start=start, interval_step=step, interval_max=most, jitter=jitter)
    pause_of = policy.interval(retry, lambda: chance)

    longest = min(start + retry * step, most)
    assert longest * (1 - jitter) <= pause_of <= longest
    assert RetryPolicy(interval_start=start, interval_step=step, interval_max=most).interval(retry) == longest


def test_the_documented_intervals():
    policy = RetryPolicy(interval_start=2, interval_step=2, interval_max=7)

    assert [policy.interval(retry) for retry in range(5)] == [2, 4, 6, 7, 7]
    assert RetryPolicy(interval_start=1, interval_step=5, interval_max=None).interval(100) == 501


def test_jitter_comes_from_chance_unless_told_otherwise():
    policy = RetryPolicy(interval_start=8, interval_max=8, jitter=0.5)

    drawn = {policy.interval(0) for _ in range(50)}
    assert len(drawn) > 1
    assert all(4 <= value <= 8 for value in drawn)


@pytest.mark.parametrize("limit, tried", [(None, 1000), (0, 1), (3, 4)])
def test_max_retries_are_those_after_the_first_attempt(limit, tried):
    policy = RetryPolicy(limit)

    assert next((n + 1 for n in range(1000) if policy.gives_up(n)), 1000) == tried


def test_a_policy_from_a_mapping_leaves_it_alone():
    options = {"max_retries": 3, "interval_step": 0.5}
    policy = RetryPolicy.from_options(options, interval_start=4, interval_step=9)

    assert options == {"max_retries": 3, "interval_step": 0.5}
    assert (policy.max_retries, policy.interval_start, policy.interval_step) == (3, 4, 0.5)
    assert RetryPolicy.from_options(policy) is policy
    assert RetryPolicy.from_options(None).max_retries is None


def test_a_policy_is_a_mapping_of_keywords():
    policy = RetryPolicy(5, 1, 2, 3, jitter=0.1, timeout=7)

    assert dict(policy) == dict(RetryPolicy(**policy))
    assert dict(policy)["timeout"] == 7


@pytest.mark.parametrize(
    "options, error, said",
    [
        (
            {"max_retrys": 3},
            TypeError,
            r"'max_retrys' is not a retry option; did you mean 'max_retries'\? \(they are",
        ),
        ({"zzz": 3}, TypeError, r"'zzz' is not a retry option \(they are errback, interval_max"),
        ({"interval_start": -1}, ValueError, "interval_start must not be negative: -1"),
        ({"timeout": -1}, ValueError, "timeout must not be negative: -1"),
        ({"jitter": 2}, ValueError, "jitter is a part of the pause, 0 to 1: 2"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, error, said):
    with pytest.raises(error, match=said):
        RetryPolicy.from_options(options)


def test_a_pause_ends_at_the_deadline_with_the_last_failure():
    last = OSError("refused")
    began = monotonic()

    with (
        pytest.raises(DeadlineExceeded, match=r"connecting did not finish within 0\.05 s") as caught,
        deadline_scope(0.05),
    ):
        pause(10, doing="connecting", last=last)

    assert caught.value.__cause__ is last
    assert 0.04 < monotonic() - began < 8


def test_a_pause_inside_the_deadline_is_as_long_as_asked():
    began = monotonic()
    with deadline_scope(20):
        pause(0.05, doing="x", last=OSError())

    assert 0.04 < monotonic() - began < 15


def test_no_pause_when_the_time_is_over():
    with deadline_scope(0), pytest.raises(DeadlineExceeded):
        pause(0, doing="x", last=OSError())


@pytest.mark.parametrize("length, calls", [(0, 1), (0.01, 1), (1.02, 2)])
def test_the_callback_is_called_at_least_once_and_once_a_second(length, calls):
    called = []
    pause(length, doing="x", last=OSError(), callback=lambda: called.append(1))

    assert list(accumulate(called))[-1] == calls


def test_the_callback_can_end_the_pause():
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    with pytest.raises(Stop):
        pause(60, doing="x", last=OSError(), callback=stop)


def test_publish_has_a_limit_by_default():
    assert DEFAULT_PUBLISH_TIMEOUT == 60
