"""What servers answer becomes kombu's errors, and stays redis-py's."""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import redis.exceptions as driver

from kombu import exceptions as ours
from kombu_redis import error_classes_t, errors, get_redis_ConnectionError, get_redis_error_classes
from tests.support.redis_server import RedisServer
from tests.unit.kombu_redis.support_client import client_to

ANSWERS: list[tuple[str, type[Exception], type[Exception]]] = [
    (
        "LOADING Redis is loading the dataset in memory",
        ours.RecoverableConnectionError,
        driver.BusyLoadingError,
    ),
    (
        "READONLY You can't write against a read only replica.",
        ours.RecoverableConnectionError,
        driver.ReadOnlyError,
    ),
    (
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        ours.RecoverableConnectionError,
        driver.MasterDownError,
    ),
    ("CLUSTERDOWN The cluster is down", ours.RecoverableConnectionError, driver.ClusterDownError),
    ("OOM command not allowed when used memory > 'maxmemory'.", ours.ResourceError, driver.OutOfMemoryError),
    ("BUSY Redis is busy running a script.", ours.RecoverableConnectionError, driver.ResponseError),
    (
        "UNBLOCKED force unblock from blocking operation",
        ours.RecoverableConnectionError,
        driver.ResponseError,
    ),
    ("MISCONF Errors writing to the AOF file", ours.RecoverableConnectionError, driver.ResponseError),
    ("NOREPLICAS Not enough good replicas to write.", ours.RecoverableConnectionError, driver.ResponseError),
    ("ERR max number of clients reached", ours.RecoverableConnectionError, driver.ConnectionError),
    ("WRONGPASS invalid username-password pair", ours.ConnectionError, driver.AuthenticationError),
    ("NOAUTH Authentication required.", ours.ConnectionError, driver.AuthenticationError),
    (
        "NOPERM this user has no permissions to run the 'x' command",
        ours.AccessRefused,
        driver.NoPermissionError,
    ),
    ("WRONGTYPE Operation against a key", ours.ChannelError, driver.ResponseError),
    ("ERR unknown command 'X'", ours.ChannelError, driver.ResponseError),
]


@pytest.mark.parametrize(
    ("answer", "kombu", "redis"), ANSWERS, ids=[row[0].partition(" ")[0] for row in ANSWERS]
)
def test_what_a_server_answers(
    redis_url: str, answer: str, kombu: type[Exception], redis: type[Exception]
) -> None:
    with client_to(redis_url) as client:
        with pytest.raises(kombu) as caught:
            client.call("EVAL", "return redis.error_reply(ARGV[1])", 0, answer)
        error: Any = caught.value
        assert isinstance(error, redis)
        # (the driver may leave out the first word)
        assert answer.partition(" ")[2] in error.reply_text and error.reply_text in str(error)
        # Programs print errors, and send them to other processes
        assert type(error).__name__ in repr(error)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
        # and the connection, or the next one, is in step
        assert client.call("ECHO", "next") == b"next"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("-READONLY You can't write against a read only replica.", errors.ReadOnly),
        ("-NOREPLICAS Not enough good replicas to write.", errors.Unavailable),
        ("-OOM command not allowed when used memory > 'maxmemory'.", errors.OutOfMemory),
        ("-MISCONF Redis is configured to save RDB snapshots", errors.Unavailable),
        ("The user executing the script can't run this command or subcommand", errors.AccessRefused),
        ("Wrong number of args calling Redis command From Lua script", errors.CommandError),
    ],
)
def test_what_redis_6_answers_to_a_command_of_a_script(answer: str, kind: type[Exception]) -> None:
    """Later versions have the answer first, and where it comes from behind it."""
    script = "Error running script (call to f_4d8890d52e062e750c4865de9b6b4cb220ddc03b): @user_script:26:"
    error = errors.error_from_driver(driver.ResponseError(f"{script} @user_script: 26: {answer} "))
    assert type(error) is kind
    assert answer.lstrip("-") in str(error)


def test_every_error_is_of_both_families() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, driver.RedisError) and issubclass(kind, ours.AMQPError), name
            assert str(kind("a text")).endswith("a text")
    for kind in (errors.ConnectionLost, errors.NoReply):
        assert issubclass(kind, OSError), "programs catch OSError around a connection"
    assert issubclass(errors.NoReply, builtins.TimeoutError)


def test_the_historic_lists() -> None:
    found = get_redis_error_classes()
    assert isinstance(found, error_classes_t)
    assert get_redis_ConnectionError() is driver.ConnectionError
    for kind in (errors.ConnectionLost, errors.NoReply, errors.Loading, errors.AuthenticationError, OSError):
        assert issubclass(kind, found.connection_errors)
    for kind in (errors.CommandError, errors.AccessRefused, driver.DataError, driver.InvalidResponse):
        assert issubclass(kind, found.channel_errors)


def test_wrong_password(redis_with_password: RedisServer) -> None:
    url = f"redis://:{{}}@127.0.0.1:{redis_with_password.port}/0"
    for wrong in (url.format("swordfish"), url.format("swordfish").replace("//:", "//bob:")):
        with (
            client_to(wrong) as client,
            pytest.raises(errors.AuthenticationError, match="invalid username-password") as caught,
        ):
            client.connect()
        assert "swordfish" not in f"{caught.value!r} {caught.value} {client.address!r} {client.address}"
    without = f"redis://127.0.0.1:{redis_with_password.port}/3"
    with (
        client_to(without) as client,
        pytest.raises(errors.AuthenticationError, match="Authentication required"),
    ):
        client.connect()
    with client_to(url.format("correct-horse")) as client:
        assert client.call("PING") == b"PONG"


def test_a_password_that_nobody_asked_for(redis_server: RedisServer) -> None:
    with client_to(redis_server.url.replace("//", "//:sesame@")) as client:
        with pytest.raises(errors.AuthenticationError, match="without any password"):
            client.connect()


def test_a_user_with_limits(redis_with_acl: RedisServer) -> None:
    with client_to(
        f"redis://limited:battery@127.0.0.1:{redis_with_acl.port}/0", client_name="limited"
    ) as client:
        assert client.call("SET", "p:key", "x") == b"OK"
        for command in (("SET", "key", "x"), ("FLUSHALL",)):
            with pytest.raises(errors.AccessRefused, match="NOPERM"):
                client.call(*command)
        # nor by a script
        for call in ("redis.call('FLUSHALL')", "redis.call('SET', 'key', 'x')"):
            with pytest.raises(errors.AccessRefused, match="user"):
                client.call("EVAL", call, 0)
        assert client.connects == 1


def test_a_server_that_loads(make_redis: Callable[..., RedisServer]) -> None:
    # Given: a server with data that take it half a second to read
    server = make_redis(settings={"key-load-delay": 500, "rdbcompression": "no"})
    look = server.client()
    look.mset({f"key{number}": "x" * 10_000 for number in range(1000)})  # it listens after each 2 MB
    look.save()
    server.kill()
    server.start(wait=False)
    # Then: connecting says so, until it has
    seen = set()
    with client_to(server.url) as client:
        while True:
            try:
                assert client.call("GET", "key0") == b"x" * 10_000
                break
            except (errors.Loading, errors.ConnectionLost) as exc:
                seen.add(type(exc))
    assert errors.Loading in seen


def test_a_replica(make_redis: Callable[..., RedisServer]) -> None:
    # Given: a server that becomes a replica of another
    primary = make_redis(settings={"repl-diskless-sync-delay": 0})
    server = make_redis()
    look = server.client()
    with client_to(server.url) as client:
        client.call("SET", "key", "x")
        look.replicaof("127.0.0.1", primary.port)
        while look.info("replication")["master_link_status"] != "up":
            pass
        # Then: writing fails, and connects anew the next time, perhaps to the new primary
        connects = client.connects
        with pytest.raises(errors.ReadOnly):
            client.call("SET", "key", "y")
        assert not client.connected
        # and when it has lost its primary
        look.config_set("replica-serve-stale-data", "no")
        primary.kill()
        while look.info("replication")["master_link_status"] != "down":
            pass
        with pytest.raises(errors.MasterDown):
            client.call("GET", "key")
        look.replicaof("NO", "ONE")
        assert client.call("SET", "key", "z") == b"OK"
        assert client.connects > connects


def test_a_full_server(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(settings={"maxmemory-policy": "noeviction"})
    look = server.client()
    look.config_set("maxmemory", look.info("memory")["used_memory"] + 1_000_000)
    with client_to(server.url) as client:
        with pytest.raises(errors.OutOfMemory):
            for number in range(100):
                client.call("SET", f"key{number}", b"x" * 100_000)
        # Reading goes on, on the same connection
        assert client.call("STRLEN", "key0") == 100_000
        assert client.connects == 1


def test_too_many_clients(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis(settings={"maxclients": 1})
    with client_to(server.url) as first, client_to(server.url) as second:
        wait_until_served(first)  # (who looked whether the server is there may be counted still)
        with pytest.raises(errors.ConnectionLost, match="max number of clients"):
            second.connect()
        # When there is room
        first.close()
        wait_until_served(second)


def wait_until_served(client: Any) -> None:
    while True:
        try:
            client.connect()
            return
        except errors.ConnectionLost:
            continue
