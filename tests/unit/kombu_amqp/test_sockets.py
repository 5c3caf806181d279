"""The socket under a connection, against a peer that is a bare socket."""

from __future__ import annotations

import socket
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from kombu_amqp.errors import ConnectionForced, ConnectionLost, NoReply
from kombu_amqp.sockets import Socket
from tests.support.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[Socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = Socket("127.0.0.1:%d" % server.getsockname()[1], 5, None, write_timeout=0.3)  # noqa: UP031
        ours.connect()
        peer, _ = server.accept()
        with peer:
            assert peer.recv(8) == b"AMQP\0\0\x09\x01"
            yield ours, peer
            ours.close()


@pytest.mark.parametrize("seconds", [0.2, 0, -1])
def test_a_read_ends_in_time_and_later_ones_find_what_came(pair: Pair, seconds: float) -> None:
    ours, peer = pair
    with Stopwatch() as watch:
        assert ours.receive(seconds) is None
    assert watch.elapsed >= seconds and watch.seconds < max(seconds, 0) + 0.5
    peer.sendall(b"one")
    assert ours.receive(5) == b"one"
    assert ours.receive(seconds) is None
    peer.sendall(b"two")
    assert ours.receive(None) == b"two"


@pytest.mark.parametrize("seconds", [None, 30, float("inf")])
def test_a_thread_that_waits_is_woken_when_the_connection_is_given_up(
    pair: Pair, seconds: float | None
) -> None:
    ours, peer = pair
    raised: list[BaseException] = []

    def read() -> None:
        peer.sendall(b"ready")
        try:
            while True:
                ours.receive(seconds)
        except ConnectionForced as exc:
            raised.append(exc)

    reader = Thread(target=read)
    reader.start()
    ours.shut(fault := ConnectionForced("the broker is silent"))
    reader.join(5)
    assert raised == [fault]


def test_the_peer_closes(pair: Pair) -> None:
    ours, peer = pair
    peer.sendall(b"last words")
    peer.close()
    assert ours.receive(5) == b"last words"
    with pytest.raises(ConnectionLost):
        ours.receive(5)
    with pytest.raises(ConnectionLost):
        ours.write(b"x")


def test_writing_has_its_own_time_while_another_thread_reads(pair: Pair) -> None:
    # Given a thread that waits for long, and a peer that takes nothing
    ours, peer = pair
    raised: list[BaseException | None] = []

    def read() -> None:
        try:
            ours.receive(30)
        except ConnectionLost as exc:
            raised.append(exc.__cause__)

    reader = Thread(target=read)
    reader.start()
    # When more is written than the kernels keep
    began = monotonic()
    with pytest.raises(NoReply) as error:
        for _ in range(1000):
            ours.write(bytes(1 << 20))
    # Then write_timeout counts, and to the reader the connection is lost
    assert monotonic() - began < 5
    reader.join(5)
    assert raised == [error.value]


@pytest.mark.parametrize("seconds", [60, None, 0])
def test_a_program_that_sets_the_timeout_of_the_socket_changes_no_wait(pair: Pair, seconds: float | None) -> None:
    # Given a read before, of the same time, and a program that sets the driver's socket as oslo.messaging does
    ours, peer = pair
    assert ours.receive(0.2) is None
    ours.sock.settimeout(seconds)
    # Then reading still ends after its own time and not before, and writing never blocks
    began = monotonic()
    assert ours.receive(0.2) is None
    assert 0.2 <= monotonic() - began < 5
    ours.sock.settimeout(seconds)
    with pytest.raises(NoReply):
        for _ in range(1000):
            ours.write(bytes(1 << 20))
