"""``channel.client``: the driver's own client on the same server, for commands of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from kombu import Connection

if TYPE_CHECKING:
    from tests.support.redis_server import RedisServer


def test_it_looks_at_the_queues(redis_url: str) -> None:
    with Connection(redis_url) as connection:
        channel = connection.default_channel
        with connection.SimpleQueue("work") as queue:
            queue.put("a message")
            assert channel.client.llen("work") == 1
        assert isinstance(channel.client, redis.Redis) and channel.client is channel.client
        with pytest.raises(redis.ResponseError):
            channel.client.execute_command("NO SUCH COMMAND")


def test_it_logs_in_as_the_connection_does(redis_with_acl: RedisServer) -> None:
    class Tokens(redis.CredentialProvider):
        def get_credentials(self) -> Any:
            return "limited", "battery"

    options = {"global_keyprefix": "p:", "client_name": "app", "credential_provider": Tokens()}
    with Connection(redis_with_acl.url, transport_options=options) as connection:
        client = connection.default_channel.client
        assert client.acl_whoami() in (b"limited", "limited")
        assert client.client_getname() in (b"app", "app")


def test_by_a_unix_socket(redis_server: RedisServer, redis_db: int) -> None:
    with Connection(f"redis+socket://{redis_server.socket}?virtual_host={redis_db}") as connection:
        assert connection.default_channel.client.ping()


def test_it_is_closed_with_the_channel(make_redis: Any) -> None:
    server = make_redis()
    look = server.client()

    def sockets() -> int:
        return int(look.info("clients")["connected_clients"])

    with Connection(server.url) as connection:
        channel = connection.channel()
        before = sockets()
        channel.client.ping()
        assert sockets() == before + 1
        channel.close()
        while sockets() > before:
            pass
