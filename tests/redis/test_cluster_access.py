"""``rediss+cluster://`` and a user of the cluster's ACL, on a cluster of one node."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from tests.support.redis_cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.certificates import Authority

#: What docs/redis.md asks for.
RULES = "~app:* resetchannels &app:* +@read +@write +@connection +@pubsub +@scripting +time +cluster|slots +asking"
NEWS = Exchange("news", "fanout")
QUEUES = [
    Queue(
        "work", Exchange("tasks", "topic"), routing_key="a.#", queue_arguments={"x-dead-letter-exchange": ""}
    ),
    Queue("a.b"),
    Queue("inbox", NEWS),
]


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, redis_server: Any, redis_authority: Authority
) -> Iterator[Cluster]:
    issued = redis_authority.issue("node", "localhost", "DNS:localhost,IP:127.0.0.1")
    made = Cluster(
        tmp_path_factory.mktemp("one"),
        masters=1,
        replicas=0,
        settings={"user": [f"{name} on >battery {RULES}" for name in ("app", "app2")]},
        tls={**issued, "cafile": redis_authority.cafile},
    )
    yield made.start()
    made.stop()


def check(connection: Connection) -> None:
    """Publish, reject, delay and broadcast; everything arrives."""
    got: list[str] = []

    def receive(body: str, message: Any) -> None:
        got.append(body)
        if body == "bad" and "x-death" not in message.headers:
            message.reject()
        else:
            message.ack()

    with connection, connection.Consumer(QUEUES, callbacks=[receive]):
        producer = connection.Producer()
        producer.publish("bad", exchange="tasks", routing_key="a.b")
        producer.publish("late", routing_key="a.b", delay=0.1)
        producer.publish("news", exchange=NEWS)
        while len(got) < 4:
            connection.drain_events(timeout=10)
    assert sorted(got) == ["bad", "bad", "late", "news"]


def test_a_user_limited_to_a_prefix(cluster: Cluster) -> None:
    url = f"redis+cluster://app:battery@127.0.0.1:{cluster.nodes[0].port}"
    check(Connection(url, transport_options={"global_keyprefix": "app:"}))


def test_what_the_user_may_not_do_is_refused(cluster: Cluster) -> None:
    url = f"redis+cluster://app:battery@127.0.0.1:{cluster.nodes[0].port}"
    with Connection(url, transport_options={"global_keyprefix": "other:"}) as connection:
        with pytest.raises(connection.channel_errors, match="NOPERM"):
            QUEUES[0](connection.default_channel).declare()


class Rotating:
    """Another user from some time on."""

    user = "app"

    def get_credentials(self) -> tuple[str, str]:
        return self.user, "battery"


def test_all_connections_follow_a_credential_provider(cluster: Cluster) -> None:
    # Given: a consumer that waits, and listens to broadcasts
    node, provider, got = cluster.nodes[0], Rotating(), []
    options = {"global_keyprefix": "app:", "lease": 1, "client_name": "rotating"}
    url = f"redis+cluster://127.0.0.1:{node.port}"

    def users() -> set[str]:
        lines = (node.ask("CLIENT", "LIST") or b"").decode().splitlines()
        return {line.partition(" user=")[2].split()[0] for line in lines if "name=rotating" in line}

    connection = Connection(url, transport_options=options, credential_provider=provider)
    with (
        connection,
        connection.Consumer([QUEUES[2]], callbacks=[lambda body, _: got.append(body)], no_ack=True),
    ):
        connection.Producer().publish("one", exchange=NEWS)
        connection.drain_events(timeout=10)
        assert users() == {"app"}
        # When
        provider.user = "app2"

        def rotated() -> bool:
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.1)
            return users() == {"app2"}

        cluster.until(rotated, "all have logged in again")
        # Then
        connection.Producer().publish("two", exchange=NEWS)
        connection.drain_events(timeout=10)
        assert got == ["one", "two"]


def test_tls(cluster: Cluster, redis_authority: Authority) -> None:
    url = f"rediss+cluster://127.0.0.1:{cluster.nodes[0].tls_port}"
    check(Connection(f"{url}?ssl_ca_certs={redis_authority.cafile}"))
    with Connection(url, connect_timeout=5) as connection:
        with pytest.raises(connection.connection_errors, match="certificate"):
            connection.connect()


def test_a_server_that_is_no_cluster_says_so(redis_server: Any) -> None:
    with Connection(f"redis+cluster://127.0.0.1:{redis_server.port}") as connection:
        with pytest.raises(connection.connection_errors, match="no node of a cluster"):
            connection.connect()


def test_a_database_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="database 0"),
        Connection("redis+cluster://127.0.0.1:1/3") as connection,
    ):
        connection.connect()


def test_broadcasts_that_wait_are_refused() -> None:
    options = {"fanout": "stream"}
    with (
        pytest.raises(ValueError, match="a Redis Cluster cannot have.* 'queue' keeps broadcasts as well"),
        Connection("redis+cluster://127.0.0.1:1", transport_options=options) as connection,
    ):
        connection.connect()
