"""A blocking fetch as a readable descriptor."""

from __future__ import annotations

import select
from queue import Empty, Queue
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from kombu.transport.virtual.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Iterator


class Backend:
    """Gives what a test puts in; a fetch waits for up to ``wait`` seconds."""

    def __init__(self, wait: float = 0.05) -> None:
        self.wait = wait
        self.messages: Queue[int | Exception] = Queue()
        self.limits: list[int] = []
        self.given_back: list[int] = []
        self.fetching = Event()
        self.failures: list[int] = []

    def fetch(self, source: str, limit: int) -> list[int]:
        self.limits.append(limit)
        self.fetching.set()
        try:
            found = self.messages.get(timeout=self.wait)
        except Empty:
            return []
        if isinstance(found, Exception):
            raise found
        return [found]

    def give_back(self, source: str, items: list[int]) -> None:
        self.given_back += items

    def pause(self, source: str, failures: int, error: Exception | None) -> float:
        self.failures.append(failures)
        return 0.01


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def pump(backend: Backend) -> Iterator[Pump[int]]:
    pump = Pump(backend.fetch, backend.give_back, backend.pause, "test")
    yield pump
    pump.close(5)


def readable(pump: Pump[int], timeout: float) -> bool:
    return bool(select.select([pump.fileno()], [], [], timeout)[0])


def test_nothing_is_fetched_that_nobody_wants(backend: Backend, pump: Pump[int]) -> None:
    backend.messages.put(1)
    assert not readable(pump, 0.1)
    assert backend.limits == []


def test_the_descriptor_is_readable_when_something_came(backend: Backend, pump: Pump[int]) -> None:
    # Given
    assert pump.take("a", 5) is None
    assert not readable(pump, 0)
    # When
    backend.messages.put(1)
    # Then: until it is cleared, and no longer
    assert readable(pump, 5)
    assert readable(pump, 0)
    pump.clear()
    assert not readable(pump, 0)
    assert pump.take("a", 5) == 1
    assert backend.limits[0] == 5


def test_what_came_waits_and_no_more_is_fetched(backend: Backend, pump: Pump[int]) -> None:
    pump.take("a", 5)
    backend.messages.put(1)
    assert pump.wait(5)
    fetched = len(backend.limits)
    assert not pump.wait(0.15)
    assert len(backend.limits) == fetched
    assert "a" in pump.waiting()


def test_fetching_ahead(backend: Backend, pump: Pump[int]) -> None:
    # Given
    pump.take("a", 5)
    backend.messages.put(1)
    assert pump.wait(5)
    # When: the last one is taken and more will be wanted
    backend.messages.put(2)
    assert pump.take("a", 5, ahead=3) == 1
    # Then
    assert pump.wait(5)
    assert backend.limits[-1] == 3
    assert pump.take("a", 5) == 2


def test_sources_do_not_wait_for_each_other(pump: Pump[int], backend: Backend) -> None:
    backend.wait = 30
    pump.take("slow", 1)
    pump.take("other", 1)
    backend.messages.put(1)
    started = monotonic()
    assert pump.wait(20)
    assert monotonic() - started < 15
    backend.messages.put(2)


def test_another_thread_can_end_the_wait(pump: Pump[int]) -> None:
    pump.notify()
    assert pump.wait(5)
    assert not pump.wait(0)


def test_errors_are_counted_until_one_fetch_is_good(backend: Backend, pump: Pump[int]) -> None:
    # Given
    for found in (OSError("one"), ValueError("two"), 7):
        backend.messages.put(found)
    # When
    pump.take("a", 1)
    # Then
    assert pump.wait(5)
    assert pump.take("a", 1) == 7
    assert backend.failures[:2] == [1, 2]


def test_a_mistake_in_what_is_called_is_not_the_end(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    mistakes = [RuntimeError("a mistake")]

    def pause(source: str, failures: int, error: Exception | None) -> float:
        if mistakes:
            raise mistakes.pop()
        return 0.01

    pump = Pump(backend.fetch, backend.give_back, pause, "test")
    # When
    pump.prime("a", 1)
    while mistakes:
        pump.wait(0.01)
    # Then
    backend.messages.put(1)
    assert pump.wait(5)
    assert pump.take("a", 1) == 1
    assert "goes on" in caplog.text
    pump.close(5)


def test_stopping_gives_back_what_nobody_took(backend: Backend, pump: Pump[int]) -> None:
    pump.take("a", 5)
    backend.messages.put(1)
    assert pump.wait(5)
    assert pump.stop("a", 5)
    assert backend.given_back == [1]


def test_stopping_waits_for_the_fetch_in_flight(backend: Backend, pump: Pump[int]) -> None:
    # Given
    backend.wait = 5
    pump.take("a", 5)
    backend.fetching.wait(5)
    # When
    backend.messages.put(1)
    # Then: whatever it brings goes back
    assert pump.stop("a", 5)
    assert backend.given_back == [1]


def test_a_fetch_that_takes_too_long_gives_back_by_itself(backend: Backend, pump: Pump[int]) -> None:
    # Given
    backend.wait = 5
    pump.take("a", 5)
    backend.fetching.wait(5)
    # When
    assert not pump.stop("a", 0.05)
    assert backend.given_back == []
    assert not pump.close(0.05)
    backend.messages.put(1)
    # Then
    assert pump.drain(5)
    assert backend.given_back == [1]


def test_a_source_can_be_wanted_again(backend: Backend, pump: Pump[int]) -> None:
    for number in range(3):
        pump.take("a", 1)
        backend.messages.put(number)
        assert pump.wait(5)
        assert pump.take("a", 1) == number
        pump.stop("a", 5)


def test_a_closed_pump_fetches_nothing(backend: Backend) -> None:
    pump = Pump(backend.fetch, backend.give_back, backend.pause, "test")
    pump.take("a", 1)
    assert pump.close(5)
    assert pump.close(5), "closing again is no error"
    fetched = len(backend.limits)
    assert pump.take("a", 1) is None
    with pytest.raises(ValueError, match="closed"):
        pump.wait(5)
    assert len(backend.limits) == fetched


class TestManySources:
    @pytest.fixture
    def pump(self, backend: Backend) -> Iterator[Pump[int]]:
        pump = Pump(backend.fetch, backend.give_back, backend.pause, "test-crew", most=2)
        yield pump
        pump.close(5)

    @staticmethod
    def threads() -> int:
        return sum(thread.name == "test-crew" for thread in enumerate_threads())

    def test_they_take_turns_with_the_threads_there_are(self, backend: Backend, pump: Pump[int]) -> None:
        # Given: more sources than threads, none of which has anything
        seen: list[str] = []
        fetch = pump._fetch
        pump._fetch = lambda name, limit: seen.append(name) or fetch(name, limit)  # type: ignore[func-returns-value]
        backend.wait = 0.01
        for name in "abcdef":
            pump.prime(name, 1)
        # When
        deadline = monotonic() + 10
        while len(seen) < 60 and monotonic() < deadline:
            assert self.threads() <= 2
            pump.wait(0.02)
        # Then: each has as many turns as the others, about
        turns = [seen.count(name) for name in "abcdef"]
        assert min(turns) >= 5
        assert len(pump) == 6

    def test_one_that_rests_holds_nobody_up(self, backend: Backend, pump: Pump[int]) -> None:
        # Given: sources that fail, and rest for long, as many as there are threads
        def fetch(name: str, limit: int) -> list[int]:
            if name == "good":
                return [7]
            raise OSError(name)

        pump._fetch, pump._pause = fetch, lambda name, failures, error: 60.0
        for name in ("bad", "worse"):
            pump.prime(name, 1)
        # When
        pump.prime("good", 1)
        # Then
        assert pump.wait(10)
        assert pump.take("good", 1) == 7
        # And: what rests can be stopped, and is asked at once when it is wanted again
        assert pump.stop("bad", 5)
        pump._fetch = lambda name, limit: [8]
        pump.prime("bad", 1)
        assert pump.wait(10)
        assert pump.take("bad", 1) == 8

    def test_one_that_is_wanted_again_does_not_rest_for_what_was_before(self, backend: Backend) -> None:
        # Given: a source has failed, and is about to rest for long
        failed, go_on = Event(), Event()

        def pause(name: str, failures: int, error: Exception | None) -> float:
            failed.set()
            go_on.wait(10)
            return 60.0

        backend.messages.put(OSError("one"))
        pump = Pump(backend.fetch, backend.give_back, pause, "test")
        pump.prime("a", 1)
        assert failed.wait(10)
        # When: it is stopped and wanted again before it does
        assert pump.stop("a", 5)
        pump.prime("a", 1)
        backend.messages.put(7)
        go_on.set()
        # Then
        assert pump.wait(10)
        assert pump.take("a", 1) == 7
        pump.close(5)

    def test_rests_end_one_by_one(self, backend: Backend, pump: Pump[int]) -> None:
        # Given: twenty sources that rest for a moment after each look
        seen: dict[str, int] = {}

        def fetch(name: str, limit: int) -> list[int]:
            seen[name] = seen.get(name, 0) + 1
            return []

        pump._fetch, pump._pause = fetch, lambda name, failures, error: 0.05
        for number in range(20):
            pump.prime(str(number), 1)
        # Then: all go on, with two threads
        deadline = monotonic() + 20
        while len(seen) < 20 or min(seen.values()) < 5:
            assert monotonic() < deadline, seen
            pump.wait(0.05)
        assert self.threads() <= 2


def test_closing_ends_the_wait_of_another_thread(backend: Backend) -> None:
    pump = Pump(backend.fetch, backend.give_back, backend.pause, "test")
    ended = Event()

    def wait() -> None:
        try:
            pump.wait(60)
        except ValueError:
            ended.set()

    thread = Thread(target=wait)
    thread.start()
    while not pump._bell._waiting:
        thread.join(0.01)
    pump.close(5)
    assert ended.wait(10)
    thread.join(60)
