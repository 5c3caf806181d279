"""Commands and replies over one connection, on a real server."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import warnings
from typing import Any

import pytest
import redis

from kombu_redis import errors
from kombu_redis.client import Client
from kombu_redis.resp import pack
from kombu_redis.scripts import Script
from tests.support.redis_server import RedisServer
from tests.unit.kombu_redis.support_client import client_to, commands_run


@pytest.fixture
def client(redis_url: str) -> Any:
    with client_to(redis_url) as client:
        yield client


def test_replies_of_every_kind(client: Client) -> None:
    assert client.call("SET", "key", "väl\r\nue") == b"OK"
    assert client.call("GET", "key") == "väl\r\nue".encode()
    assert client.call("GET", "nothing") is None
    assert client.call("INCRBY", "number", -7) == -7
    assert client.call("ZADD", "scores", 1.5, b"\x00\xff") == 1
    assert client.call("ZRANGE", "scores", 0, -1, "WITHSCORES") == [b"\x00\xff", b"1.5"]
    assert client.call("LRANGE", "nothing", 0, -1) == []
    assert client.call("BLPOP", "nothing", 0.01) is None
    assert client.call("SET", "key", "") == b"OK" and client.call("GET", "key") == b""
    nested = client.call("EVAL", "return {1, {'a', {}}, false, redis.error_reply('ERR inner')}", 0)
    assert nested[:3] == [1, [b"a", []], None]
    assert isinstance(nested[3], redis.ResponseError)


@pytest.mark.parametrize("size", [65_534, 65_536, 3_000_000])
def test_large_values(client: Client, size: int) -> None:
    # Given: a value longer than one read, next to others
    value = os.urandom(size)
    client.pipeline([("SET", "large", value), ("SET", "small", "s")])
    # Then
    assert client.pipeline([("GET", "small"), ("GET", "large"), ("GET", "small")]) == [b"s", value, b"s"]


def test_what_cannot_be_an_argument(client: Client) -> None:
    for argument in (None, True, ["list"]):
        with pytest.raises(TypeError, match=type(argument).__name__):
            client.call("SET", "key", argument)  # type: ignore[arg-type]
    assert client.call("PING") == b"PONG"


def test_an_error_leaves_the_stream_in_step(client: Client) -> None:
    client.call("SET", "text", "x")
    with pytest.raises(errors.CommandError, match="WRONGTYPE"):
        client.call("LPUSH", "text", "y")
    with pytest.raises(errors.CommandError, match="WRONGTYPE"):
        client.pipeline([("LPUSH", "text", "y"), ("INCR", "n")])
    assert client.attempt([("INCR", "n"), ("LPUSH", "text", "y")])[0] == 2
    assert client.connects == 1


def test_scripts_are_sent_once(client: Client, redis_client: Any) -> None:
    # Given: a server that has never seen the script
    script = Script("echo", f"-- {os.urandom(8).hex()}\nreturn {{KEYS[1], ARGV[1]}}")
    assert client.run(script, ["key"], [1]) == [b"key", b"1"]
    # Then: known from now on
    assert commands_run(redis_client, lambda: client.run(script, ["key"], [2])) == 1
    # and again after the server has forgotten it, together with what was buffered, which runs once
    redis_client.script_flush()
    client.buffer(pack("INCR", "once"), 1)
    assert client.run(script, ["key"], [3]) == [b"key", b"3"]
    assert redis_client.get("once") == b"1"
    redis_client.script_flush()
    calls = [script.pack(["key"], [number]) for number in (4, 5)]
    assert client.pipeline([calls[0], ("PING",), calls[1]]) == [[b"key", b"4"], b"PONG", [b"key", b"5"]]


def test_a_script_called_by_its_head(client: Client) -> None:
    script = Script("sum", "return #KEYS + #ARGV")
    packed = script.head(1, 3) + b"$1\r\nk\r\n$1\r\na\r\n$1\r\nb\r\n"
    assert packed == script.pack(["k"], ["a", "b"])
    assert client.request(packed) == 3


def test_replies_read_later(client: Client, redis_client: Any, caplog: pytest.LogCaptureFixture) -> None:
    # Given: a buffered command, which has not left yet
    got: list[Any] = []
    client.call("SET", "text", "x")
    client.buffer(pack("INCR", "n") + pack("LPUSH", "text", "y"), 2, got.append)
    assert redis_client.get("n") is None
    # When: something else is asked for
    assert client.call("GET", "n") == b"1"
    # Then
    assert got[0][0] == 1 and isinstance(got[0][1], errors.CommandError)
    # A written one leaves at once, and its errors are not lost
    client.write(pack("LPUSH", "text", "y") + pack("INCR", "n"), 2)
    while redis_client.get("n") != b"2":
        pass
    late: list[Exception] = []
    client.on_late_error = late.append
    client.flush()
    assert "WRONGTYPE" in str(late)


def test_late_errors_are_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.call("SET", "text", "x")
    with caplog.at_level(logging.WARNING):
        client.write(pack("LPUSH", "text", "y"), 1)
        client.flush()
    assert "WRONGTYPE" in caplog.text


def test_closing_sends_what_is_buffered(redis_url: str, redis_client: Any) -> None:
    with client_to(redis_url) as client:
        client.connect()
        client.buffer(pack("SET", "key", "kept"), 1)
    assert redis_client.get("key") == b"kept"
    assert not client.connected


def test_waiting_for_a_reply(client: Client, redis_client: Any) -> None:
    # Given: a blocking pop under way
    client.write(pack("BRPOP", "list", 5), 0)
    assert not client.readable(0)
    # When
    redis_client.lpush("list", "token")
    # Then: looking leaves it to be seen by who waits for the descriptor
    assert client.readable(5) and client.readable()
    assert select.select([client.fileno()], [], [], 0)[0]
    assert client.read() == [b"list", b"token"]
    # and what came together is seen without the descriptor
    client.write(pack("PING") * 2, 0)
    assert client.read() == b"PONG" and client.readable(5) and client.read() == b"PONG"
    assert not client.readable()


def test_a_wait_that_an_operator_ends(client: Client, redis_client: Any) -> None:
    number = client.call("CLIENT", "ID")
    client.write(pack("BRPOP", "list", 5), 0)
    while redis_client.client_unblock(number, error=True) != 1:
        pass
    with pytest.raises(errors.Unavailable, match="UNBLOCKED"):
        client.read()
    assert client.call("PING") == b"PONG"


def test_the_name(redis_url: str, redis_client: Any) -> None:
    with (
        client_to(redis_url, client_name="worker-1") as client,
        client_to(redis_url, "worker-1-wait") as other,
    ):
        assert client.call("CLIENT", "GETNAME") == b"worker-1"
        assert other.call("CLIENT", "GETNAME") == b"worker-1-wait"


def test_threads_share_a_client(client: Client) -> None:
    wrong: list[Any] = []

    def use(number: int) -> None:
        for _ in range(200):
            if client.call("ECHO", number) != b"%d" % number:
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and client.connects == 1


def test_unix_socket(redis_server: RedisServer, redis_db: int) -> None:
    with client_to(f"redis+socket://{redis_server.socket}?virtual_host={redis_db}") as client:
        assert client.call("SET", "key", "by socket") == b"OK"
    assert redis_server.client(redis_db).get("key") == b"by socket"


def test_no_such_database(redis_server: RedisServer) -> None:
    with (
        client_to(redis_server.url_of(9999)) as client,
        pytest.raises(errors.ConnectionError, match="9999.*out of"),
    ):
        client.connect()


# (redis-py 5.0 leaves closing a unix socket to Python when nobody listens)
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_nobody_listens(redis_server: RedisServer, tmp_path: Any) -> None:
    for url in ("redis://127.0.0.1:1/0", f"redis+socket://{tmp_path}/none.sock"):
        with client_to(url) as client, pytest.raises(errors.ConnectionLost, match="no connection to"):
            client.connect()


def test_a_forked_child_does_not_touch_the_parents_connection(client: Client) -> None:
    # Given: a command that waits to be sent, and a lock that another thread held when the process forked
    client.call("SET", "n", 0)
    client.buffer(pack("INCR", "n"), 1)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with client.lock:
            held.set()
            release.wait()

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    held.wait()
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: there are threads
        child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)
        try:
            answer = client.call("GET", "n") + b" %d" % client.connects
            client.close()
        except BaseException as exc:
            answer = repr(exc).encode()
        os.write(write, answer)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"0 2"
    os.waitpid(child, 0)
    release.set()
    holder.join(60)
    # Then: the parent goes on as before
    assert client.call("GET", "n") == b"1"
    assert client.connects == 1
