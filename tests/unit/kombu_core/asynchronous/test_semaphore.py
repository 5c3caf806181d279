"""Admission for an event loop."""

from __future__ import annotations

from kombu.asynchronous.semaphore import DummyLock, LaxBoundedSemaphore


def test_who_finds_no_place_is_called_in_turn_when_one_is_free():
    # Given
    got, semaphore = [], LaxBoundedSemaphore(1)
    # When
    assert semaphore.acquire(got.append, 1)
    assert not semaphore.acquire(got.append, 2)
    assert not semaphore.acquire(got.append, 3)
    # Then
    assert got == [1]
    semaphore.release()
    assert got == [1, 2]
    semaphore.grow()
    assert got == [1, 2, 3]


def test_the_value_stays_within_its_bounds():
    semaphore = LaxBoundedSemaphore(2)
    semaphore.release()
    assert semaphore.value == 2
    semaphore.shrink(5)
    assert (semaphore.value, semaphore.initial_value) == (0, 0)
    assert not semaphore.acquire(print)
    semaphore.clear()
    semaphore.release()
    assert "value:0 waiting:0" in repr(semaphore)


def test_a_dummy_lock_locks_nothing():
    lock = DummyLock()
    with lock, lock as inner:
        assert inner is lock
