"""Redis for :mod:`clients_run`: a server, and what each job finds there."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clients_run import Contest
from goals import REDIS_GOALS, REDIS_JOBS
from processes import HERE, Missing
from redis_clients import CLIENTS, LARGE, NAME, PROPERTIES, SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CONTEST",)

#: Kombu 5.7 reads all bindings for each message. The others have no bindings, redis-py none to acknowledge by itself.
INSTEAD = {
    ("bindings_10000", "kombu-5.7"): 50,
    **{
        (job, client): 0
        for client, absent in {
            "redis-py": ("bindings_10", "bindings_10000"),
            "dramatiq": ("batch", "bindings_10", "bindings_10000", "empty_get"),
        }.items()
        for job in absent
    },
}


@contextmanager
def broker(url: str | None) -> Iterator[tuple[str, str]]:
    """A server's URL and name: the one given, whose database is emptied, or a private one."""
    if url is not None:
        yield url, url.rpartition("@")[2]
        return
    sys.path.insert(0, str(HERE.parent))
    from tests.support.redis_server import RedisServer, program

    if not program():
        raise Missing("there is no redis-server: scripts/services installs it, --redis names another")
    with tempfile.TemporaryDirectory() as directory:
        private = RedisServer(directory)
        try:
            private.start()
            yield private.url, f"Redis {private.client().info('server')['redis_version']}"
        finally:
            private.remove()


def prepare(url: str, job: str | None, count: int) -> None:
    """An empty server, an exchange with bindings, and messages if the job is to consume them."""
    from redis import Redis

    from kombu import Connection, Exchange, Queue

    Redis.from_url(url).flushdb()
    if job is None:
        return
    with Connection(url) as connection:
        channel = connection.default_channel
        exchange = Exchange(NAME, "topic" if job.startswith("bindings") else "direct")
        queue = Queue(NAME, exchange, NAME)(channel)
        queue.declare()
        if job.startswith("bindings"):
            for number in range(int(job.removeprefix("bindings_")) - 1):
                queue.bind_to(exchange, routing_key=f"{NAME}.{number}")
        if job.startswith("consume"):
            producer = connection.Producer(exchange=exchange, routing_key=NAME)
            with producer.batch():
                for _ in range(count):
                    producer.publish(LARGE if job.endswith("64k") else SMALL, **PROPERTIES)


CONTEST = Contest(
    "redis", "redis_clients.py", tuple(CLIENTS), REDIS_JOBS, INSTEAD, REDIS_GOALS, broker, prepare
)
