"""Functions, lists, waiting. What is expected was observed on kombu 5.7 except where a test says otherwise."""

from __future__ import annotations

import copy
import operator
import pickle
import threading
import time
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import deadline_scope
from kombu.utils.functional import (
    ChannelPromise,
    LRUCache,
    accepts_argument,
    dictfilter,
    fxrange,
    fxrangemax,
    is_list,
    lazy,
    maybe_evaluate,
    maybe_list,
    memoize,
    reprcall,
    reprkwargs,
    retry_over_time,
    shufflecycle,
)


class TestLRUCache:
    def test_drops_what_was_unused_for_longest(self):
        cache = LRUCache(limit=2)
        cache["a"], cache["b"] = 1, 2
        assert cache["a"] == 1
        cache["c"] = 3
        assert list(cache) == ["a", "c"]
        cache["a"] = 4
        cache["d"] = 5
        assert cache.items() == [("a", 4), ("d", 5)]

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())), st.integers(1, 4))
    def test_is_a_dict_of_the_last_used(self, steps, limit):
        # Given: a list of the keys, the last used one at its end, as the model.
        cache, order = LRUCache(limit=limit), []
        for key, write in steps:
            if write:
                cache[key] = key.upper()
            elif cache.get(key) is None:
                continue
            if key in order:
                order.remove(key)
            order.append(key)
            del order[:-limit]
        # Then
        assert list(cache.keys()) == order
        assert list(cache.values()) == [key.upper() for key in order]
        assert len(cache) == len(order)

    def test_is_a_mapping(self):
        cache = LRUCache(limit=3)
        cache.update({"a": 1}, b=2, c=3)
        cache.update({"d": 4})
        assert dict(cache) == {"b": 2, "c": 3, "d": 4}
        assert list(cache.iterkeys()) == ["b", "c", "d"]
        assert list(cache.itervalues()) == [2, 3, 4]
        assert list(cache.iteritems())[0] == ("b", 2)
        assert cache.popitem(last=False) == ("b", 2)
        assert cache.popitem() == ("d", 4)
        del cache["c"]
        with pytest.raises(KeyError):
            cache.popitem()
        with pytest.raises(KeyError):
            cache["c"]
        assert "c" not in cache

    def test_incr_keeps_text(self):
        cache = LRUCache()
        cache["n"] = 3
        assert cache.incr("n") == 4
        assert cache.incr("n", 2) == 6
        assert cache["n"] == "6"
        with pytest.raises(KeyError):
            cache.incr("missing")

    def test_can_be_pickled(self):
        cache = LRUCache(limit=2)
        cache.update(a=1, b=2)
        again = pickle.loads(pickle.dumps(cache))
        again["c"] = 3
        assert list(again) == ["b", "c"]

    def test_threads(self):
        # Given
        cache, errors = LRUCache(limit=10), []

        def work(seed):
            try:
                for i in range(2000):
                    cache[(seed * i) % 23] = i
                    cache.get(i % 23)
                    for _ in cache.items():
                        pass
            except Exception as exc:
                errors.append(exc)

        # When
        threads = [threading.Thread(target=work, args=(n,)) for n in (3, 5, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        # Then
        assert errors == []
        assert len(cache) == 10


class TestMemoize:
    def test_counts_hits_and_misses(self):
        calls = []

        @memoize(maxsize=2)
        def add(x, y=1):
            calls.append((x, y))
            return x + y

        assert [add(1), add(1), add(1, y=2), add(2), add(1)] == [2, 2, 3, 3, 2]
        assert calls == [(1, 1), (1, 2), (2, 1), (1, 1)]
        assert (add.hits, add.misses) == (1, 4)
        add.clear()
        assert (add.hits, add.misses) == (0, 0)
        assert add.original_func(1) == 2

    def test_a_key_of_ones_own(self):
        @memoize(keyfun=lambda args, kwargs: args[0])
        def get(x, **kwargs):
            return kwargs

        assert get(1, a=2) == get(1, a=3) == {"a": 2}


class TestLazy:
    def test_is_worked_out_each_time(self):
        value = iter(range(10))
        promise = lazy(next, value)
        assert (promise(), promise.evaluate(), str(promise), repr(promise)) == (0, 1, "2", "3")
        assert promise == 4
        assert promise != 4
        assert maybe_evaluate(promise) == 6
        assert maybe_evaluate("x") == "x"

    def test_pickle_and_copy(self):
        promise = lazy(operator.add, 1, 2)
        assert pickle.loads(pickle.dumps(promise))() == 3
        assert copy.deepcopy({"p": promise})["p"] == 3
        assert pickle.loads(pickle.dumps(lazy(dict, a=1)))() == {"a": 1}

    def test_has_no_hash(self):
        with pytest.raises(TypeError):
            hash(lazy(int))


class TestChannelPromise:
    def test_opens_once(self):
        opened = []
        promise = ChannelPromise(lambda: opened.append(1) or object())
        assert "promise" in repr(promise)
        assert promise() is promise()
        assert opened == [1]
        assert repr(promise) == repr(promise())

    def test_an_error_of_the_contract_is_the_callers(self):
        calls = []

        def contract():
            calls.append(1)
            raise AttributeError("inside")

        with pytest.raises(AttributeError, match="inside") as caught:
            ChannelPromise(contract)()
        assert calls == [1]
        assert caught.value.__context__ is None


class TestLists:
    @pytest.mark.parametrize(
        ("obj", "expected"),
        [
            ([], True),
            ((), True),
            ({1}, True),
            (range(2), True),
            (b"a", True),
            ({}, False),
            ("a", False),
            (5, False),
        ],
    )
    def test_is_list(self, obj, expected):
        assert is_list(obj) is expected
        assert maybe_list(obj) == (obj if expected else [obj])

    def test_none_is_no_list_to_be(self):
        assert maybe_list(None) is None

    def test_other_scalars(self):
        assert is_list("abc", scalars=()) is True
        assert maybe_list((1,), scalars=(tuple,)) == [(1,)]

    def test_dictfilter(self):
        assert dictfilter({"a": None, "b": 0}, c=3, x=None) == {"b": 0, "c": 3}
        assert dictfilter(a=None) == {}

    def test_shufflecycle(self):
        assert set(islice(shufflecycle("abc"), 200)) == {"a", "b", "c"}


class TestRanges:
    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            ((), [1.0, 2.0, 3.0, 4.0, 5.0]),
            ((1.0, None, 0.5), [1.0, 1.5, 2.0, 2.5, 3.0]),
            ((1.0, 3.0, 1.0), [1.0, 2.0, 3.0]),
            ((1.0, 3.0, 1.0, True), [1.0, 2.0, 3.0, 3.0, 3.0]),
        ],
    )
    def test_fxrange(self, args, expected):
        assert list(islice(fxrange(*args), 5)) == expected

    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            ((1.0, 5.0, 1.0, 10.0), [1.0, 2.0, 3.0, 4.0]),
            ((1, None, 2, 10.0), [1.0, 3.0, 5.0]),
            ((1, 4, 2, 10.0), [1.0, 3.0, 4]),
        ],
    )
    def test_fxrangemax(self, args, expected):
        assert list(islice(fxrangemax(*args), 12)) == expected


def test_showing_calls():
    class Bad:
        def __repr__(self):
            raise RuntimeError("no")

    assert reprcall("f") == "f()"
    assert reprcall("f", (1, "a"), {"b": 2}) == "f(1, 'a', b=2)"
    assert reprcall("f", (), {"k": "v"}) == "f(k='v')"
    assert reprcall("f", (1, 2), {"a": 1, "b": 2}, sep=",") == "f(1,2,a=1,b=2)"
    assert reprkwargs({"a": 1}, fmt="{0}:{1}") == "a:1"
    assert "Unrepresentable" in reprcall("f", (Bad(),), {"b": Bad()})


def test_accepts_argument():
    class Callable:
        def __call__(self, q): ...

        def method(self, x, *, only): ...

    assert accepts_argument(Callable().method, "x")
    assert accepts_argument(Callable().method, "only")
    assert accepts_argument(Callable(), "q")
    assert not accepts_argument(lambda a, *args, **kwargs: 1, "kwargs")
    assert not accepts_argument(lambda a: 1, "b")
    with pytest.raises(TypeError):
        accepts_argument(5, "a")


class Flaky:
    """Fails a number of times, then gives what it was called with."""

    def __init__(self, failures, error=ValueError):
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error(self.calls)
        return args, kwargs


NO_PAUSE = {"interval_start": 0, "interval_step": 0, "interval_max": 0}


class TestRetryOverTime:
    def test_until_it_works(self):
        fun = Flaky(3)
        assert retry_over_time(fun, ValueError, [1], {"b": 2}, **NO_PAUSE) == ((1,), {"b": 2})
        assert fun.calls == 4

    def test_only_what_was_named(self):
        with pytest.raises(ValueError):
            retry_over_time(Flaky(1), (KeyError, IndexError), **NO_PAUSE)

    @pytest.mark.parametrize(("max_retries", "calls"), [(0, 1), (1, 2), (3, 4)])
    def test_max_retries(self, max_retries, calls):
        fun = Flaky(99)
        with pytest.raises(ValueError):
            retry_over_time(fun, ValueError, max_retries=max_retries, **NO_PAUSE)
        assert fun.calls == calls

    def test_errback_chooses_the_pause(self):
        seen = []

        def errback(exc, intervals, retries):
            seen.append((str(exc), [next(intervals) for _ in range(2)], retries))
            return 0

        retry_over_time(
            Flaky(2), ValueError, errback=errback, interval_start=2, interval_step=3, interval_max=9
        )
        assert seen == [("1", [2, 5], 0), ("2", [8, 9], 1)]

    def test_callback_may_give_up_in_the_middle_of_a_pause(self):
        class Stop(Exception):
            pass

        calls = []

        def callback():
            calls.append(1)
            if len(calls) == 2:
                raise Stop

        start = time.monotonic()
        with pytest.raises(Stop):
            retry_over_time(Flaky(9), ValueError, callback=callback, interval_start=30)
        assert time.monotonic() - start < 5

    def test_timeout_raises_the_last_error_and_shortens_the_last_pause(self):
        fun = Flaky(99)
        start = time.monotonic()
        with pytest.raises(ValueError):
            retry_over_time(fun, ValueError, timeout=0.1, interval_start=30)
        assert time.monotonic() - start < 5
        assert fun.calls == 2

    def test_timeout_of_zero_is_one_call(self):
        fun = Flaky(99)
        with pytest.raises(ValueError):
            retry_over_time(fun, ValueError, timeout=0, **NO_PAUSE)
        assert fun.calls == 1

    def test_ends_at_the_deadline_in_force(self):  # ours
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught, deadline_scope(0.1):
            retry_over_time(Flaky(99, OSError), OSError, interval_start=30)
        assert time.monotonic() - start < 5
        assert isinstance(caught.value.__cause__, OSError)

    def test_a_deadline_that_passed_is_not_retried(self):  # ours
        fun = Flaky(99, DeadlineExceeded)
        with pytest.raises(DeadlineExceeded):
            retry_over_time(fun, OSError, **NO_PAUSE)  # it is an OSError as well
        assert fun.calls == 1
