"""Calling functions at a time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from time import monotonic

import pytest

from kombu.asynchronous.timer import Entry, Timer, to_timestamp


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_calls_are_due_in_order_of_time_and_not_before():
    # Given
    clock, timer, made = Clock(), Timer(max_interval=5), []
    timer.enter_after(2, Entry(made.append, ("late",)), time=clock)
    timer.enter_after(1, Entry(made.append, ("early",)), time=clock)
    rounds = timer.__iter__(nowfun=clock)
    # When
    assert next(rounds) == (1, None)
    clock.now += 3
    for _ in range(2):
        next(rounds)[1]()
    # Then
    assert made == ["early", "late"]
    assert next(rounds) == (None, None)
    timer.enter_after(60, Entry(print), time=clock)
    assert next(rounds) == (5, None)  # the most that a driver should sleep


def test_cancelled_calls_are_not_made():
    timer, made = Timer(), []
    entry = timer.call_after(0, made.append, (1,))
    entry.cancel()
    assert next(iter(timer)) == (None, None)
    entry()
    assert made == [] and entry.cancelled and entry.canceled


def test_a_repeated_call_goes_on_after_an_error_until_it_is_cancelled():
    # Given
    seen: list[Exception] = []
    timer = Timer(on_error=seen.append)

    def fail():
        raise ValueError("no")

    entry = timer.call_repeatedly(0, fail)
    rounds = iter(timer)
    # When
    for _ in range(2):
        timer.apply_entry(next(rounds)[1])
    entry.cancel()
    # Then
    assert [str(exc) for exc in seen] == ["no", "no"]
    assert next(rounds) == (None, None)


def test_the_queue_is_a_copy_and_clear_empties_it():
    with Timer() as timer:
        second = timer.call_after(2, print)
        first = timer.call_after(1, print)
        assert [entry for _, _, entry in timer.queue] == [first, second]
        assert len(timer) == 2 and timer.schedule is timer
        timer.clear()
        assert len(timer) == 0 and timer


def test_a_subclass_may_queue_in_its_own_way():
    # Given: a timer like those of Celery for greenlets
    class Own(Timer):
        def __init__(self):
            super().__init__()
            self._queue = set()

        def _enter(self, eta, priority, entry, **kwargs):
            self._queue.add((priority, entry))
            return "what cancels it"

    timer = Own()
    # When, Then
    assert timer.call_after(1, print) == "what cancels it"
    assert timer.call_at(None, print, priority=3) == "what cancels it"
    assert timer.call_repeatedly(1, print) == "what cancels it"
    assert sorted(priority for priority, _ in timer._queue) == [0, 0, 3]


@pytest.mark.parametrize("zone", [timezone.utc, timezone(timedelta(hours=5))])
def test_datetimes_become_moments_of_the_monotonic_clock(zone):
    later = datetime.now(zone) + timedelta(seconds=5)
    assert to_timestamp(later) == pytest.approx(monotonic() + 5, abs=1)
    assert to_timestamp(later.replace(tzinfo=None), zone) == pytest.approx(monotonic() + 5, abs=1)
    assert to_timestamp(datetime(1970, 1, 1)) == 0
    assert to_timestamp(3.5) == 3.5


def test_a_time_that_is_none_is_refused():
    with pytest.raises(TypeError, match="'soon'"):
        Timer().call_at("soon", print)
