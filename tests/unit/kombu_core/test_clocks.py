"""Logical time."""

from __future__ import annotations

import pickle

import pytest

from kombu.clocks import LamportClock, timetuple


def test_the_clock_passes_what_it_receives_and_never_goes_back():
    # Given
    clock = LamportClock(3)
    # When our own event, a later one and an earlier one happen
    values = [clock.forward(), clock.adjust(10), clock.adjust(2)]
    # Then
    assert values == [4, 11, 12]
    assert (str(clock), clock.value) == ("12", 12)


def test_of_equal_clocks_the_lowest_id_comes_first():
    clock = LamportClock()
    assert clock.sort_heap([(1, "b", "x"), (1, "a"), (2, "0")]) == (1, "a")
    assert clock.sort_heap([(1, "b"), (2, "a")]) == (1, "b")
    with pytest.raises(IndexError):
        clock.sort_heap([])


def test_events_are_ordered_by_clock_then_id_else_by_time():
    # Given / When / Then
    assert timetuple(1, 9.0, "b") < timetuple(2, 1.0, "a")
    assert timetuple(1, 9.0, "a") < timetuple(1, 1.0, "b")
    assert timetuple(1, 1.0, "a") < timetuple(1, 2.0, "a")
    assert timetuple(0, 1.0, "b") < timetuple(5, 2.0, "a")
    assert timetuple(2, 1.0, "a") > timetuple(1, 9.0, "b")
    assert timetuple(1, 1.0, "a") <= timetuple(1, 1.0, "a") >= timetuple(1, 1.0, "a")


def test_objects_take_no_part_in_the_order_and_survive_pickling():
    event = timetuple(1, 2.0, "a", {"k": "v"})
    assert not event < timetuple(1, 2.0, "a", object())
    again = pickle.loads(pickle.dumps(event))
    assert (again.clock, again.timestamp, again.id, again.obj) == (1, 2.0, "a", {"k": "v"})
