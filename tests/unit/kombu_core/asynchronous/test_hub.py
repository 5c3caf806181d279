"""The event loop, with real sockets."""

from __future__ import annotations

import socket
import threading

import pytest

from kombu.asynchronous import ERR, READ, WRITE, Hub, debug, get_event_loop, set_event_loop
from kombu.asynchronous.hub import Stop
from tests.support.stopwatch import Stopwatch


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_readers_and_writers_of_one_descriptor_are_called_and_removed_alone(hub, pair):
    # Given
    ours, theirs = pair
    got = []
    hub.add_reader(ours, lambda n: got.append(ours.recv(n)), 10)
    hub.add_writer(ours, got.append, "writable")
    theirs.send(b"hello")
    # When
    hub.run_once()
    # Then
    assert got == [b"hello", "writable"]
    hub.remove_writer(ours)
    theirs.send(b"again")
    hub.run_once()
    assert got[2:] == [b"again"]
    hub.remove_reader(ours)
    theirs.send(b"unseen")
    hub.call_soon(got.append, "soon")
    hub.run_once()
    assert got[3:] == ["soon"] and not hub.readers and not hub.writers


def test_each_event_is_a_step_of_a_generator_and_its_end_removes_it(hub, pair):
    ours, theirs = pair
    got = []

    def read():
        got.append(ours.recv(2))
        yield
        got.append(ours.recv(2))

    hub.add_reader(ours, read())
    theirs.send(b"abcd")
    hub.run_once()
    assert got == [b"ab"] and hub.readers
    hub.run_once()
    assert got == [b"ab", b"cd"] and not hub.readers


def test_consolidated_descriptors_come_in_one_list(hub, pair):
    # Given
    batches = []
    hub.consolidate_callback = batches.append
    for sock in pair:
        hub.add(sock, None, WRITE | ERR, consolidate=True)
    # When
    hub.run_once()
    # Then
    assert [sorted(batch) for batch in batches] == [sorted(sock.fileno() for sock in pair)]
    for sock in pair:
        hub.remove(sock)
    assert not hub.writers and not hub.consolidate


def test_a_hung_up_peer_wakes_the_reader(hub, pair):
    ours, theirs = pair
    got = []
    hub.add(ours, got.append, READ | ERR, ("ready",))
    theirs.close()
    hub.run_once()
    assert got == ["ready"]


def test_the_error_of_a_reader_ends_the_round_and_a_new_loop_goes_on(hub, pair):
    ours, theirs = pair
    hub.add_reader(ours, lambda: 1 / 0)
    theirs.send(b"x")
    with pytest.raises(ZeroDivisionError):
        hub.run_once()
    hub.reset()
    assert not hub.readers
    got = []
    hub.call_soon(got.append, 1)
    next(hub.create_loop())
    assert got == [1]


def test_a_descriptor_that_cannot_be_watched_is_not_registered(hub, pair):
    ours, _ = pair
    number = ours.fileno()
    ours.close()
    with pytest.raises(OSError):
        hub.add_reader(number, print)
    assert not hub.readers


def test_another_thread_wakes_the_loop(hub):
    # Given a loop that would wait a second
    hub.run_once()
    timer = threading.Timer(0.05, hub.stop)
    timer.start()
    # When
    with Stopwatch() as watch:
        hub.run_forever()
    # Then
    assert watch.seconds < 0.9
    timer.join(60)


def test_calls_are_made_in_order_and_one_that_fails_leaves_the_others_for_the_next_round(hub):
    # Given
    got = []
    hub.call_soon(got.append, 1)
    hub.call_soon(lambda: 1 / 0)
    hub.call_soon(got.append, 2)
    # When
    with pytest.raises(ZeroDivisionError):
        hub.run_once()
    assert got == [1]
    next(hub.create_loop())
    # Then
    assert got == [1, 2]


def test_a_promise_is_made_once_however_often_it_was_asked_for(hub):
    class Promise:
        calls = 0

        def then(self, *args): ...

        def cancel(self): ...

        def __call__(self):
            self.calls += 1

    promise = Promise()
    assert hub.call_soon(promise) is hub.call_soon(promise) is promise
    hub.run_once()
    assert promise.calls == 1


def test_timers_fire_and_their_errors_are_logged_or_propagate(hub, caplog):
    # Given
    got = []
    hub.call_later(0, lambda: 1 / 0)
    hub.call_later(0.01, got.append, "later")
    # When
    while not got:
        hub.run_once()
    # Then
    assert got == ["later"] and "division by zero" in caplog.text
    hub.call_at(0, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hub.fire_timers(propagate=(ZeroDivisionError,))
    assert hub.fire_timers(min_delay=3) == 3
    hub.call_repeatedly(60, print)
    assert hub.fire_timers() == pytest.approx(2, abs=0.1)  # the timer's max_interval


def test_the_loop_runs_until_it_is_stopped_and_ticks_each_round(hub):
    ticks = []
    hub.on_tick.add(lambda: ticks.append(1))
    hub.call_soon(hub.stop)
    hub.run_forever()
    assert ticks

    def stop():
        raise Stop

    hub.on_tick.add(stop)
    hub.run_forever()


def test_closing_makes_the_calls_that_are_left_and_tells(hub):
    got = []
    hub.on_close.add(got.append)
    hub.call_soon(got.append, "left")
    hub.close()
    assert got == [hub, "left"]
    hub.on_close.clear()


def test_the_event_loop_of_the_process_can_be_set(hub):
    before = get_event_loop()
    try:
        assert set_event_loop(hub) is get_event_loop() is hub
    finally:
        set_event_loop(before)


def test_what_is_waited_for_can_be_told(hub, pair):
    ours, _ = pair
    fd = ours.fileno()
    hub.add_reader(ours, print, 1)
    hub.add_writer(ours, print, 2)
    assert hub.repr_active() == f"({fd})print(1)->R!, ({fd})print(2)->W"
    assert hub.repr_events([(fd, READ), (999, WRITE)]) == f"print(1)({fd})->R, (GONE)(999)->W"
    assert debug.callback_for(hub, fd, ERR) == (print, (1,))
    with pytest.raises(KeyError):
        debug.callback_for(hub, 999, READ)
