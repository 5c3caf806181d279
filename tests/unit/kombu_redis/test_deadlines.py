"""No call waits for ever, and a client is as good as new after every way a connection can end."""

from __future__ import annotations

import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

import pytest
import redis

from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import deadline_scope
from kombu_redis import errors
from kombu_redis.client import Client
from kombu_redis.resp import pack
from kombu_redis.wire import kept
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.unit.kombu_redis.support_client import client_to

#: Seconds that a shared machine may add to a limit.
GRACE = 5


def within(seconds: float, started: float) -> bool:
    return seconds * 0.9 <= monotonic() - started < seconds + GRACE


def test_a_server_that_stopped(redis_victim: RedisServer) -> None:
    with client_to(redis_victim.url, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
        client.call("SET", "key", "x")
        redis_victim.pause()
        # Then: a call ends with socket_timeout
        started = monotonic()
        with pytest.raises(
            errors.NoReply, match=r"127.0.0.1:\d+/0 did not answer within 0.5 s \(socket_timeout\)"
        ):
            client.call("GET", "key")
        assert within(0.5, started) and not client.connected
        # connecting (the kernel accepts, nobody logs in) with socket_connect_timeout
        started = monotonic()
        with pytest.raises(errors.NoReply, match="no connection.*socket_connect_timeout"):
            client.call("GET", "key")
        assert within(0.5, started)
        # and either with a deadline that is nearer
        started = monotonic()
        with pytest.raises(DeadlineExceeded), deadline_scope(0.1):
            client.connect()
        assert within(0.1, started)
        # When it goes on, so does the client
        redis_victim.resume()
        assert client.call("GET", "key") == b"x"


def test_a_deadline_is_nearer_than_the_timeout(redis_victim: RedisServer) -> None:
    with client_to(redis_victim.url, socket_timeout=30) as client:
        client.connect()
        redis_victim.pause()
        started = monotonic()
        with pytest.raises(DeadlineExceeded, match="within 0.2 s"), deadline_scope(0.2):
            client.call("PING")
        assert within(0.2, started)
        redis_victim.resume()
        # A deadline that has passed is said before anything is sent: the connection stays
        client.connect()
        connects = client.connects
        with deadline_scope(0.001) as deadline:
            while deadline is not None and not deadline.expired:
                pass
            with pytest.raises(DeadlineExceeded):
                client.call("PING")
        assert client.call("PING") == b"PONG" and client.connects == connects
        # and after one that was kept the timeout is what it was
        for after in (None, 60):
            with deadline_scope(1):
                client.call("PING")
            with deadline_scope(after):
                assert client.call("BLPOP", "nothing", 1.1) is None


def test_a_server_that_does_not_read(redis_victim: RedisServer) -> None:
    # Given: more bytes than fit between two processes
    with client_to(redis_victim.url, socket_timeout=0.2) as client:
        client.connect()
        redis_victim.pause()
        started = monotonic()
        with pytest.raises(errors.NoReply):
            client.call("SET", "key", b"x" * 50_000_000)
        assert within(0.2, started)
        redis_victim.resume()


def test_an_answer_that_drips(redis_url: str) -> None:
    # Given: a server that never finishes its answer, and never pauses for long
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        client_to(f"redis://127.0.0.1:{listener.getsockname()[1]}", socket_timeout=1) as client,
    ):
        done = threading.Event()

        def serve() -> None:
            with listener.accept()[0] as peer:
                while b"GET" not in peer.recv(1000):
                    peer.sendall(b"+OK\r\n")
                peer.sendall(b"$1000\r\n")
                while not done.wait(0.05):
                    try:
                        peer.sendall(b"x")
                    except OSError:
                        return

        server = threading.Thread(target=serve)
        server.start()
        client.connect()
        started = monotonic()
        with pytest.raises(DeadlineExceeded), deadline_scope(0.3):
            client.call("GET", "key")
        assert within(0.3, started)
        done.set()
        server.join(60)


def test_not_a_redis_server() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        client_to(f"redis://127.0.0.1:{listener.getsockname()[1]}") as client,
    ):
        with ThreadPoolExecutor() as pool:
            accepted = pool.submit(listener.accept)
            greeted = pool.submit(lambda: accepted.result()[0].sendall(b"220 smtp ready\r\n"))
            with pytest.raises(errors.InvalidReply, match="rotocol"):
                client.connect()
            greeted.result()
            accepted.result()[0].close()


@pytest.mark.parametrize("fault", ["rst", "fin"])
def test_a_connection_that_ends(redis_proxy_url: str, redis_proxy: Proxy, fault: str) -> None:
    with client_to(redis_proxy_url) as client:
        client.call("SET", "key", "x")
        # Given: in the middle of a reply
        redis_proxy.cut_after(40, fault)
        with pytest.raises(errors.ConnectionLost):
            client.pipeline([("GET", "key")] * 5)
        # Then
        assert client.call("GET", "key") == b"x"


def test_a_black_hole(redis_proxy_url: str, redis_proxy: Proxy) -> None:
    with client_to(redis_proxy_url, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
        client.connect()
        redis_proxy.fail("blackhole")
        for _ in range(2):
            with pytest.raises(errors.NoReply):
                client.call("PING")
        redis_proxy.heal()
        assert client.call("PING") == b"PONG"


def idle(client: Client, seconds: float) -> None:
    """As if nobody had used the client for so long."""
    client._used -= seconds


def test_closed_by_the_server_while_idle(redis_url: str, redis_client: Any) -> None:
    # Given: the server has closed the connection, and something is buffered
    with client_to(redis_url) as client:
        number = client.call("CLIENT", "ID")
        client.buffer(pack("SET", "key", "kept"), 1)
        redis_client.client_kill_filter(_id=number, skipme=False)
        # When: the next call comes some time later
        idle(client, 2)
        # Then: nobody notices
        assert client.call("GET", "key") == b"kept"
        assert client.connects == 2


def test_gone_without_a_word_while_idle(
    redis_proxy_url: str, redis_proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    # Given: a connection whose other end has forgotten it, as a firewall makes it
    with client_to(redis_proxy_url, health_check_interval=5, socket_timeout=1) as client:
        client.call("SET", "key", "x")
        redis_proxy.fail("dead")
        client.write(pack("PING"), 1)
        with caplog.at_level(logging.WARNING):
            idle(client, 6)
            # Then: a PING finds out, and the call goes over another
            assert client.call("GET", "key") == b"x"
        assert client.connects == 2


def test_another_thread_uses_the_socket(redis_url: str) -> None:
    with client_to(redis_url) as client, client.lock:
        failed: list[BaseException] = []

        def use() -> None:
            try:
                with deadline_scope(0.1):
                    client.call("PING")
            except BaseException as exc:
                failed.append(exc)

        thread = threading.Thread(target=use)
        started = monotonic()
        thread.start()
        thread.join(60)
        assert isinstance(failed[0], DeadlineExceeded) and "another thread" in str(failed[0])
        assert within(0.1, started)


def test_an_interrupt_does_not_mix_up_replies(redis_url: str, redis_client: Any) -> None:
    # Given: a call that a signal handler ends, as a time limit of a task does
    import signal

    class Interrupt(Exception):
        pass

    def interrupt(*args: object) -> None:
        raise Interrupt

    with client_to(redis_url) as client:
        client.connect()
        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupt):
                client.call("BLPOP", "nothing", 5)
        finally:
            signal.signal(signal.SIGALRM, previous)
        # Then
        assert client.call("ECHO", "mine") == b"mine"


def test_abandoning_wakes_who_waits(redis_url: str) -> None:
    with client_to(redis_url) as client:
        client.connect()
        failed = threading.Event()

        def wait() -> None:
            with pytest.raises(errors.ConnectionLost):
                client.call("BLPOP", "nothing", 5)
            failed.set()

        thread = threading.Thread(target=wait)
        thread.start()
        threading.Timer(0.1, client.abandon).start()
        assert failed.wait(4)
        thread.join(10)


def test_a_subscribed_connection_is_not_looked_after(redis_url: str) -> None:
    # Given: broadcasts that nobody has read for a while
    with client_to(redis_url, health_check_interval=5) as client, client_to(redis_url) as other:
        client.checks = False
        client.write(pack("SUBSCRIBE", "channel"), 0)
        assert client.read()[0] == b"subscribe"
        other.call("PUBLISH", "channel", "one")
        assert client.readable(5)
        for seconds in (2, 6):
            idle(client, seconds)
            client.write(pack("PING"), 0)
        # Then: they are still there, and so is the subscription
        assert [client.read()[-1] for _ in range(3)] == [b"one", b"", b""]
        other.call("PUBLISH", "channel", "two")
        assert client.read()[-1] == b"two" and client.connects == 1


def test_a_socket_that_came_too_late_is_closed(redis_server: RedisServer) -> None:
    made = []

    class Slow(redis.Connection):
        def _connect(self) -> Any:
            made.append(super()._connect())  # type: ignore[no-untyped-call]
            sleep(0.1)
            return made[-1]

    connection = kept(Slow)(host="127.0.0.1", port=redis_server.port, socket_connect_timeout=5)  # type: ignore[arg-type]
    with deadline_scope(0.05), pytest.raises((DeadlineExceeded, redis.TimeoutError)):
        connection.connect()
    assert made[-1].fileno() == -1
