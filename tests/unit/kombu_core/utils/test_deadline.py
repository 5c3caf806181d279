"""Scopes nest, only ever shorten the time, and belong to one thread."""

from __future__ import annotations

import threading

import pytest

from kombu.exceptions import DeadlineExceeded, OperationalError
from kombu.utils.deadline import Deadline, current, deadline_scope, grace_scope, remaining


def test_without_a_scope_there_is_no_deadline():
    assert current() is None
    assert remaining() is None
    assert remaining(3) == 3
    for no_limit in (None, float("inf")):
        with deadline_scope(no_limit) as deadline:
            assert deadline is current() is None


def test_a_step_may_take_what_is_left_or_less():
    with deadline_scope(10) as deadline:
        assert current() is deadline
        assert 9 < remaining() <= 10
        assert 9 < remaining(60) <= 10
        assert remaining(3) == 3
    assert current() is None


def test_an_inner_scope_can_only_shorten():
    with deadline_scope(10) as outer:
        with deadline_scope(60) as inner:
            assert inner is outer
        with deadline_scope(None) as inner:
            assert inner is outer
        with deadline_scope(1) as inner:
            assert remaining() <= 1
        assert current() is outer
        assert remaining() > 9


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_step_begins_when_the_time_is_over(timeout):
    with deadline_scope(timeout) as deadline:
        assert deadline.expired
        assert deadline.remaining() == 0
        with pytest.raises(DeadlineExceeded, match=f"within {timeout} s"):
            remaining(5)
        with pytest.raises(TimeoutError), deadline_scope(60):
            remaining()
    with pytest.raises(OperationalError):
        raise Deadline(2.5).exceeded("connecting")


def test_tidying_up_has_its_own_time():
    with deadline_scope(0):
        with grace_scope(5) as grace:
            assert current() is grace
            assert 4 < remaining(60) <= 5
        with pytest.raises(DeadlineExceeded):
            remaining()
    assert current() is None


def test_threads_do_not_see_each_others():
    seen = []
    with deadline_scope(1):
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join(5)
    assert seen == [None]
