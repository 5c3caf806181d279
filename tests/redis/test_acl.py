"""A user who may touch nothing but keys and channels with a prefix, and servers with a password, a socket, TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.certificates import Authority
    from tests.support.fleet import Fleet
    from tests.support.redis_server import RedisServer


def limited(server: RedisServer) -> str:
    return f"redis://limited:battery@127.0.0.1:{server.port}/0"


def test_everything_works_for_a_limited_user(redis_with_acl: RedisServer, make_fleet: Callable[..., Fleet]) -> None:
    # Given
    server = redis_with_acl
    fleet = make_fleet(limited(server), global_keyprefix="p:", lease=1)
    work = {"name": "work", "exchange": "tasks", "type": "topic", "key": "a.#"}
    news = {"name": "news", "exchange": "all", "type": "fanout", "key": ""}
    publisher = fleet.start()
    listener, holder = fleet.start().consume(news), fleet.start().consume(work, then="hold", prefetch=1)
    streams = fleet.start(fanout="stream").consume({**news, "name": "kept"})
    # When: work, news, a delay, and a consumer that dies
    publisher.ask("publish", bodies=["work"], exchange="tasks", type="topic", key="a.b")
    publisher.ask("publish", bodies=["news"], exchange="all", type="fanout")
    publisher.ask("publish", bodies=["not for anybody"], exchange="other", type="fanout")
    publisher.ask("publish", bodies=["more"], exchange="all", type="fanout", key="with a key")
    publisher.ask("publish", bodies=["later"], exchange="tasks", type="topic", key="a.b", delay=0.5)
    assert holder.wait_for("got") == ["work"]
    heir = fleet.start().consume(work)
    assert heir.wait_for("acked") == ["later"]
    holder.kill()
    # Then
    assert heir.wait_for("acked", 2) == ["later", "work"]
    assert listener.wait_for("acked", 2) == ["news", "more"]
    assert streams.wait_for("acked", 2) == ["news", "more"]
    with Connection(limited(server), transport_options={"global_keyprefix": "p:"}) as connection:
        queue = Queue("work")(connection.default_channel)
        assert queue.purge() == 0
        queue.delete()
        channel = connection.channel()
        Queue("brief", exclusive=True, expires=1, max_length=2, max_priority=3)(channel).declare()
        channel.close()
    keys = server.client().keys()
    assert keys
    assert all(key.startswith(b"p:") for key in keys)
    # (a pattern of channels is allowed to nobody who may not use them all, so a broader one is asked for then)
    refused = {entry["object"] for entry in server.client().acl_log()}
    assert refused <= {"p:/0.all/*"}


def test_without_the_prefix_the_error_says_what_is_refused(redis_with_acl: RedisServer) -> None:
    with Connection(limited(redis_with_acl)) as connection:
        with pytest.raises((*connection.channel_errors, *connection.connection_errors), match="(?i)perm"):
            connection.Producer().publish("hello", routing_key="q", declare=[Queue("q")])


def test_a_wrong_password_is_an_error_at_once_that_hides_it(redis_with_password: RedisServer) -> None:
    with Connection(f"redis://:wrong-horse@127.0.0.1:{redis_with_password.port}/0") as connection:
        with pytest.raises(connection.connection_errors) as caught:
            connection.connect()
    assert "horse" not in str(caught.value)


def send_and_get(connection: Connection) -> Any:
    """A message there and back, and one to everybody."""
    with connection, connection.SimpleQueue("q") as queue:
        queue.put("hello")
        message = queue.get(timeout=5)
        message.ack()
        heard: list[Any] = []
        news = Exchange("news", "fanout")
        with connection.Consumer([Queue("inbox", news)], on_message=heard.append, no_ack=True):
            connection.Producer().publish("to all", exchange=news)
            until(lambda: drain(connection) or heard, 30, "the news")
        return message.payload, heard[0].payload


def drain(connection: Connection) -> None:
    try:
        connection.drain_events(timeout=0.2)
    except TimeoutError:
        pass


def test_with_a_password(redis_with_password: RedisServer) -> None:
    assert send_and_get(Connection(redis_with_password.url)) == ("hello", "to all")


def test_by_a_unix_socket(redis_server: RedisServer, redis_db: int) -> None:
    url = f"redis+socket://{redis_server.socket}?virtual_host={redis_db}"
    assert send_and_get(Connection(url)) == ("hello", "to all")
    with redis_server.client(redis_db) as client:
        assert client.dbsize() > 0


def test_by_tls(redis_with_tls: RedisServer, redis_authority: Authority) -> None:
    url = f"rediss://127.0.0.1:{redis_with_tls.tls_port}/0"
    assert send_and_get(Connection(url, ssl={"ssl_ca_certs": redis_authority.cafile})) == ("hello", "to all")
    with Connection(url) as connection, pytest.raises(connection.connection_errors, match="(?i)certificate"):
        connection.connect()
    assert send_and_get(Connection(url, ssl={"ssl_cert_reqs": "none"})) == ("hello", "to all")


def test_valkeys_names_are_the_same(redis_url: str) -> None:
    assert send_and_get(Connection(redis_url.replace("redis://", "valkey://"))) == ("hello", "to all")
