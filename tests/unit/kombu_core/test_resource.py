"""The pool: limits, waiting, order, resizing, threads."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from kombu.exceptions import ChannelLimitExceeded, ConnectionLimitExceeded, DeadlineExceeded, LimitExceeded
from kombu.resource import Resource
from kombu.utils.deadline import deadline_scope


class Thing:
    def __init__(self, number):
        self.number = number
        self.closed = False

    def close(self):
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.release()


class Things(Resource):
    """The hook that ``failing`` names fails."""

    failing = None

    def __init__(self, *args, **kwargs):
        self.made = []
        super().__init__(*args, **kwargs)

    def _enter(self, hook):
        if hook == self.failing:
            raise ZeroDivisionError

    def prepare(self, thing):
        self._enter("prepare")
        return thing

    def release_resource(self, thing):
        self._enter("release_resource")

    def new(self):
        self._enter("new")
        thing = Thing(len(self.made))
        self.made.append(thing)
        return thing


def test_things_are_made_when_needed_and_lent_again_last_in_first_out():
    pool = Things(3)
    assert pool.made == []

    a, b = pool.acquire(), pool.acquire()
    a.release()
    b.release()
    assert pool.acquire() is b
    assert pool.acquire() is a
    assert len(pool.made) == 2


def test_preload_makes_them_at_once_but_not_more_than_the_limit():
    assert len(Things(5, preload=2).made) == 2
    assert len(Things(1, preload=2).made) == 1
    assert len(Things(None, preload=2).made) == 2


def test_no_more_than_the_limit_are_lent():
    pool = Things(2)
    pool.acquire()
    pool.acquire()

    with pytest.raises(LimitExceeded) as caught:
        pool.acquire()
    assert caught.value.args == (2,)


def test_the_error_is_of_the_pools_own_kind():
    class Connections(Things):
        LimitExceeded = ConnectionLimitExceeded

    pool = Connections(1)
    pool.acquire()
    with pytest.raises(ConnectionLimitExceeded):
        pool.acquire(block=True, timeout=0.01)
    assert issubclass(ConnectionLimitExceeded, LimitExceeded)
    assert issubclass(ChannelLimitExceeded, LimitExceeded)


@pytest.mark.parametrize("limit", [None, 0])
def test_without_a_limit_nothing_is_kept(limit):
    pool = Things(limit)
    things = [pool.acquire() for _ in range(50)]
    for thing in things:
        thing.release()

    assert all(thing.closed for thing in things)
    assert pool.acquire() not in things


def test_waiting_for_a_thing_ends_when_one_comes_back():
    pool = Things(1)
    thing = pool.acquire()
    threading.Timer(0.05, thing.release).start()

    assert pool.acquire(block=True, timeout=5) is thing
    thing.release()
    assert pool.acquire(block=True) is thing


@pytest.mark.parametrize("kwargs", [{"timeout": 0.1}, {"timeout": 0}])
def test_waiting_ends_after_the_timeout(kwargs):
    pool = Things(1)
    pool.acquire()
    began = monotonic()

    with pytest.raises(LimitExceeded):
        pool.acquire(block=True, **kwargs)
    assert kwargs["timeout"] <= monotonic() - began < 5


@pytest.mark.parametrize("timeout", [None, 30])
def test_waiting_ends_with_the_deadline_in_force(timeout):
    pool = Things(1)
    pool.acquire()
    began = monotonic()

    with pytest.raises(DeadlineExceeded, match="waiting for the pool") as caught, deadline_scope(0.1):
        pool.acquire(block=True, timeout=timeout)
    assert isinstance(caught.value.__cause__, LimitExceeded)
    assert monotonic() - began < 5


def test_a_thing_given_back_twice_is_lent_once():
    pool = Things(2)
    thing = pool.acquire()
    thing.release()
    thing.release()

    assert pool.acquire() is thing
    assert pool.acquire() is not thing


def test_leaving_with_gives_it_back_also_after_an_error():
    pool = Things(1)
    with pool.acquire() as thing:
        pass
    with pytest.raises(KeyError), pool.acquire():
        raise KeyError
    assert pool.acquire() is thing


@pytest.mark.parametrize("where", ["new", "prepare"])
def test_a_failure_to_make_one_leaves_its_place_free(where):
    pool = Things(1)
    pool.failing = where
    with pytest.raises(ZeroDivisionError):
        pool.acquire()
    pool.failing = None

    assert pool.acquire()
    assert where == "new" or pool.made[0].closed


def test_the_place_of_one_that_fails_wakes_who_waits():
    making, go_on = threading.Event(), threading.Event()

    class FailsOnce(Things):
        def new(self):
            if making.is_set():
                return super().new()
            making.set()
            go_on.wait(5)
            raise ZeroDivisionError

    pool = FailsOnce(1)
    first = threading.Thread(target=lambda: pytest.raises(ZeroDivisionError, pool.acquire))
    first.start()
    assert making.wait(5)
    with pytest.raises(LimitExceeded):
        pool.acquire()
    threading.Timer(0.05, go_on.set).start()

    assert pool.acquire(block=True, timeout=5)
    first.join(5)


def test_a_failure_to_take_one_back_leaves_its_place_free():
    pool = Things(1)
    thing = pool.acquire()
    pool.failing = "release_resource"
    with pytest.raises(ZeroDivisionError):
        thing.release()
    pool.failing = None

    assert pool.acquire() is not thing


def test_a_broken_one_is_replaced():
    pool = Things(1)
    thing = pool.acquire()
    pool.replace(thing)

    assert thing.closed
    assert pool.acquire() is not thing


def test_a_closed_pool_lends_nothing_and_takes_back_what_is_lent():
    pool = Things(3)
    lent, idle = pool.acquire(), pool.acquire()
    idle.release()
    pool.force_close_all()

    assert lent.closed
    assert idle.closed
    with pytest.raises(RuntimeError, match="closed pool"):
        pool.acquire()
    lent.release()


def test_closing_wakes_who_waits():
    pool = Things(1)
    pool.acquire()
    threading.Timer(0.05, pool.force_close_all).start()

    with pytest.raises(RuntimeError, match="closed pool"):
        pool.acquire(block=True, timeout=5)


def test_closing_everything_but_the_pool():
    pool = Things(1)
    lent = pool.acquire()
    pool.force_close_all(close_pool=False)

    assert lent.closed
    fresh = pool.acquire()
    assert fresh is not lent
    # What was lent before comes back late, and is not lent again.
    lent.release()
    fresh.release()
    assert pool.acquire() is fresh


def test_growing():
    pool = Things(1)
    pool.acquire()
    pool.resize(2)
    pool.acquire()
    assert pool.limit == 2
    pool.resize(None)
    pool.acquire()
    with pytest.raises(RuntimeError, match=r"Can't shrink pool when in use: was=None now=2"):
        pool.resize(2)


def test_growing_wakes_who_waits():
    pool = Things(1)
    pool.acquire()
    threading.Timer(0.05, pool.resize, [2]).start()

    assert pool.acquire(block=True, timeout=5)


def test_shrinking_an_idle_pool_closes_the_surplus():
    pool = Things(4)
    things = [pool.acquire() for _ in range(4)]
    for thing in things:
        thing.release()
    pool.resize(2)

    assert sum(thing.closed for thing in things) == 2
    assert pool.acquire() in things
    assert not pool.acquire().closed
    with pytest.raises(LimitExceeded):
        pool.acquire()


def test_shrinking_a_pool_in_use_has_to_be_asked_for():
    # Given a pool of four, one of them lent
    pool = Things(4)
    lent = pool.acquire()

    # Then it shrinks only by force, which closes what is lent, or by leaving it alone
    with pytest.raises(RuntimeError, match=r"Can't shrink pool when in use: was=4 now=3"):
        pool.resize(3)
    assert pool.limit == 4
    pool.resize(3, ignore_errors=True)
    assert (pool.limit, lent.closed) == (3, False)
    pool.resize(2, force=True)
    assert (pool.limit, lent.closed) == (2, True)
    pool.limit = 5
    assert pool.limit == 5


def test_a_reset_closes_everything():
    pool = Things(4)
    lent = pool.acquire()
    pool.resize(5, reset=True)

    assert lent.closed
    assert len({id(pool.acquire()) for _ in range(5)}) == 5


def test_a_pool_is_closed_by_with():
    with Things(1) as pool:
        thing = pool.acquire()
    assert thing.closed


def test_a_subclass_has_to_say_how_to_make_one():
    with pytest.raises(NotImplementedError, match="new"):
        Resource(1).acquire()


def test_32_threads_share_three_things():
    # Given three things and 32 threads, each of which takes one 50 times
    pool = Things(3)
    in_use, most, errors = set(), [], []
    lock = threading.Lock()

    def work():
        try:
            for _ in range(50):
                with pool.acquire(block=True, timeout=30) as thing:
                    with lock:
                        assert thing not in in_use
                        in_use.add(thing)
                        most.append(len(in_use))
                    with lock:
                        in_use.remove(thing)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    # Then nobody shared one, nobody was left waiting, and three were enough
    assert errors == []
    assert len(most) == 32 * 50
    assert max(most) <= 3
    assert len(pool.made) <= 3


@pytest.mark.parametrize("returned_before", [0, 3, 6])
def test_a_limit_that_was_lowered_while_lent_holds_from_then_on(returned_before):
    # Given six that were lent, some of them given back
    pool = Things(limit=6)
    lent = [pool.acquire() for _ in range(6)]
    for thing in lent[:returned_before]:
        thing.release()
    # When the limit is lowered, and the others come back
    pool.resize(2, ignore_errors=True)
    for thing in lent[returned_before:]:
        thing.release()
    # Then two can be had, and the others were closed
    again = [pool.acquire() for _ in range(2)]
    with pytest.raises(LimitExceeded):
        pool.acquire()
    assert [thing for thing in lent if not thing.closed] == sorted(again, key=lent.index)


def test_what_two_threads_give_back_at_once_is_there_once():
    # Given a pool that takes its time to take something back
    class Slow(Things):
        def release_resource(self, resource):
            both.wait(10)

    both = threading.Barrier(2)
    pool = Slow(limit=2)
    thing = pool.acquire()
    # When two threads give the same thing back
    threads = [threading.Thread(target=pool.release, args=(thing,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    # Then it is not lent to two users afterwards
    assert pool.acquire() is thing
    assert pool.acquire() is not thing
    assert not thing.closed
