"""Pollers: the same behaviour whatever the operating system offers. Real sockets, no waiting in vain."""

from __future__ import annotations

import select
import socket
import threading
import time

import pytest

from kombu.utils import eventio
from kombu.utils.eventio import ERR, READ, WRITE, poll

POLLERS = [eventio._select]
if hasattr(select, "epoll"):
    POLLERS.append(eventio._epoll)
if hasattr(select, "kqueue"):
    POLLERS.append(eventio._kqueue)


@pytest.fixture(params=POLLERS, ids=lambda cls: cls.__name__)
def poller(request):
    poller = request.param()
    yield poller
    poller.close()


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    yield a, b
    a.close()
    b.close()


def test_reading(poller, pair):
    a, b = pair
    poller.register(a, READ)
    assert poller.poll(0) == []
    b.send(b"x")
    assert poller.poll(5) == [(a.fileno(), READ)]
    a.recv(1)
    assert poller.poll(0) == []


def test_writing(poller, pair):
    a, _ = pair
    poller.register(a.fileno(), WRITE)
    assert poller.poll(5) == [(a.fileno(), WRITE)]


def test_both_come_as_one_event(poller, pair):
    a, b = pair
    poller.register(a, READ | WRITE)
    b.send(b"x")
    assert poller.poll(5) == [(a.fileno(), READ | WRITE)]


def test_registering_again_replaces(poller, pair):
    a, b = pair
    poller.register(a, READ | WRITE)
    poller.register(a, READ)
    assert poller.poll(0) == []
    b.send(b"x")
    assert poller.poll(5) == [(a.fileno(), READ)]


def test_unregister(poller, pair):
    a, _ = pair
    poller.register(a, WRITE)
    poller.unregister(a)
    assert poller.poll(0) == []
    poller.unregister(a)
    poller.unregister(a.fileno())


def test_unregistering_what_is_closed(poller, pair):
    a, b = pair
    poller.register(a, READ | ERR)
    number = a.fileno()
    a.close()
    poller.unregister(a)
    poller.unregister(number)
    poller.register(b, WRITE)
    assert [fd for fd, _ in poller.poll(5)] == [b.fileno()]


def test_the_other_end_closing_is_an_event(poller, pair):
    a, b = pair
    poller.register(a, READ | ERR)
    b.close()
    ((fd, events),) = poller.poll(5)
    assert fd == a.fileno()
    assert events & (READ | ERR)


@pytest.mark.parametrize("timeout", [None, -1])
def test_no_limit_waits_until_something_happens(poller, pair, timeout):
    a, b = pair
    poller.register(a, READ)
    timer = threading.Timer(0.05, b.send, (b"x",))
    timer.start()
    assert poller.poll(timeout) == [(a.fileno(), READ)]
    timer.join(60)


def test_timeouts_are_seconds(poller, pair):
    poller.register(pair[0], READ)
    start = time.monotonic()
    assert poller.poll(0.1) == []
    assert 0.09 < time.monotonic() - start < 5


def test_select_reports_a_closed_descriptor_once(pair):
    a, b = pair
    poller = eventio._select()
    poller.register(a, READ)
    poller.register(b, READ)
    number = a.fileno()
    a.close()
    assert poller.poll(5) == [(number, ERR)]
    assert [fd for fd, _ in poller.poll(5)] == [b.fileno()]


def test_poll_takes_the_best_there_is():
    poller = poll()
    try:
        expected = (
            "_epoll" if hasattr(select, "epoll") else "_kqueue" if hasattr(select, "kqueue") else "_select"
        )
        assert type(poller).__name__ == expected
    finally:
        poller.close()


def test_constants():
    assert (READ, WRITE, ERR) == (1, 4, 24)
    assert 9 in eventio.SELECT_BAD_FD
