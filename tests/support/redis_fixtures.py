"""Fixtures with a real redis-server, private ones on loopback.

Without redis-server on the machine the tests are skipped; where ``CI`` is set they fail. A test that only uses the
server shares it and gets a database of its own; one that stops, pauses or configures it starts another.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import Authority
from tests.support.missing import missing
from tests.support.proxy import Proxy
from tests.support.redis_cluster import Cluster
from tests.support.redis_server import DATABASES, RedisServer, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("redis")
    group.addoption("--kills", type=int, default=20, help="processes killed under load (default %(default)s)")
    group.addoption("--soak", type=float, default=0.08, help="minutes of the soak (default %(default)s)")
    group.addoption("--soak-seed", type=int, default=4711, help="of what happens in it (default %(default)s)")
    group.addoption("--failovers", type=int, default=1, help="of each kind, under load (default %(default)s)")
    group.addoption(
        "--opens", type=int, default=1000, help="connections opened, used and closed (default %(default)s)"
    )
    group.addoption("--cluster", action="store_true", help="all of the conformance suite on a cluster, too")
    group.addoption(
        "--delayed", type=int, default=5000, help="messages that wait for their time (default %(default)s)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--cluster`` classes go that their module names in ``LEFT_OUT``."""
    if config.getoption("--cluster"):
        return
    gone = {item for item in items if isinstance(item, pytest.Function) and _is_left_out(item)}
    if gone:
        config.hook.pytest_deselected(items=list(gone))
        items[:] = [item for item in items if item not in gone]


def _is_left_out(item: pytest.Function) -> bool:
    return item.cls is not None and item.cls.__name__ in getattr(item.module, "LEFT_OUT", ())


def require_redis() -> None:
    if program() is None:
        missing("redis-server is not installed (Debian: apt-get install redis-server)")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server that tests share: nobody stops, pauses, flushes or configures it."""
    require_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def _redis_databases() -> Iterator[int]:
    return iter(count(1))


@pytest.fixture
def redis_db(redis_server: RedisServer, _redis_databases: Iterator[int]) -> Iterator[int]:
    """The number of a database that nobody else uses."""
    number = next(_redis_databases) % DATABASES
    yield number
    with redis_server.client(number) as client:
        client.flushdb()


@pytest.fixture
def redis_url(redis_server: RedisServer, redis_db: int) -> str:
    """The URL of an empty database."""
    return redis_server.url_of(redis_db)


@pytest.fixture
def redis_client(redis_server: RedisServer, redis_db: int) -> Any:
    """A redis-py client on the database of ``redis_url``."""
    return redis_server.client(redis_db)


@pytest.fixture
def make_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """A function that starts another server, with the arguments of :class:`RedisServer`, for this test."""
    require_redis()
    made: list[RedisServer] = []

    def make(**options: Any) -> RedisServer:
        made.append(RedisServer(tmp_path_factory.mktemp("redis"), **options))
        return made[-1].start()

    yield make
    for server in made:
        server.remove()


@pytest.fixture
def redis_victim(make_redis: Callable[..., RedisServer]) -> RedisServer:
    """A server to be stopped, paused, killed and configured."""
    return make_redis()


@pytest.fixture
def redis_with_password(make_redis: Callable[..., RedisServer]) -> RedisServer:
    return make_redis(password="correct-horse")


@pytest.fixture
def redis_with_acl(make_redis: Callable[..., RedisServer]) -> RedisServer:
    """With the user ``limited`` (password ``battery``), who may touch keys and channels that start with ``p:``."""
    may = "~p:* resetchannels &p:* +@all -@admin -@dangerous +info +acl|whoami +@connection"
    return make_redis(settings={"user": [f"limited on >battery {may}"]})


@pytest.fixture(scope="session")
def redis_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Issues the certificates of ``redis_with_tls``."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def redis_with_tls(make_redis: Callable[..., RedisServer], redis_authority: Authority) -> RedisServer:
    """With a TLS listener on ``tls_port``, whose certificate is for localhost and 127.0.0.1."""
    issued = redis_authority.issue("redis", "localhost", "DNS:localhost,IP:127.0.0.1")
    return make_redis(tls={**issued, "cafile": redis_authority.cafile})


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three masters and three replicas that tests share: nobody stops them, or moves their slots."""
    require_redis()
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster.start()
    cluster.stop()


@pytest.fixture
def redis_cluster_url(redis_cluster: Cluster) -> str:
    """The URL of the shared cluster; programs that share it have a ``global_keyprefix``."""
    return redis_cluster.url


@pytest.fixture
def redis_prefix(_redis_databases: Iterator[int]) -> str:
    """A ``global_keyprefix`` that nobody else uses."""
    return f"p{next(_redis_databases)}:"


@pytest.fixture
def redis_proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """A TCP proxy in front of the shared server, which can be cut, paused and blackholed."""
    with Proxy(("127.0.0.1", redis_server.port)) as proxy:
        yield proxy


@pytest.fixture
def redis_proxy_url(redis_server: RedisServer, redis_proxy: Proxy, redis_db: int) -> str:
    """The URL of ``redis_url``'s database by way of the proxy."""
    return redis_server.url_of(redis_db, redis_proxy.port)
