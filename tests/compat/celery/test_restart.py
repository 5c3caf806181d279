"""The broker goes and comes back under load: workers connect again, and every task is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import Site, needs
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.sqs import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 30

#: Tasks before, while and after it is away.
TASKS = 200


class Gateway:
    """The way to an SQS endpoint. SQS does not restart, nor lose a queue: it is what cannot be reached for a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return Endpoint(self._port, self._endpoint.key, self._endpoint.secret).url

    def start(self) -> None:
        self._proxy = Proxy(("127.0.0.1", self._endpoint.port), self._port).__enter__()

    def stop(self) -> None:
        """Cut all connections, and refuse others."""
        self._proxy.__exit__()


@pytest.fixture
def fragile(request: pytest.FixtureRequest) -> Iterator[tuple[Site, Any]]:
    """A site with a broker that can be stopped and started again, and that broker."""
    redis = request.getfixturevalue("redis_server")
    results = redis.url_of(next(request.getfixturevalue("_redis_databases")))
    options: dict[str, Any]
    if request.param == "amqp":
        broker = request.getfixturevalue("victim")
        options = {"confirm_publish": True}  # (a broker that is killed keeps what it has confirmed)
    elif request.param == "redis":
        broker = request.getfixturevalue("make_redis")(settings={"appendonly": "yes", "appendfsync": "always"})
        options = {"lease": 3}  # (then the next connection gets what was held when one was lost)
    else:
        broker = Gateway(request.getfixturevalue("sqs_endpoint"))
        options = {"supports_fanout": True, "is_secure": False, "visibility_timeout": 3}
        request.addfinalizer(broker.stop)
    # (and the mailbox of the connection that was lost stays locked as long, see the last test)
    site = Site(
        request.param, broker.url, results, broker_transport_options=options, control_queue_exclusive=False
    )
    yield site, broker
    site.close()


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_no_task_is_lost_when_the_broker_restarts(fragile: tuple[Site, Any], notes: Any, pool: str) -> None:
    site, broker = fragile
    late = site.task("late")

    def send(numbers: range) -> list[Any]:
        policy = {"max_retries": 200, "interval_start": 0.1, "interval_step": 0, "timeout": 60}
        return [
            late.apply_async((notes.path, n), delivery_mode=2, retry=True, retry_policy=policy) for n in numbers
        ]

    site.app.set_current()
    with site.worker(pool=pool) as worker:
        # Given a worker that is busy
        sent = send(range(TASKS))
        notes.await_lines(20, "end")
        # When
        broker.stop()
        worker.await_line("(?i)connection to broker lost|cannot connect|connection refused|trying again")
        broker.start()
        # Then: all are done, those too that are sent now
        sent += send(range(TASKS, 2 * TASKS))
        assert {result.get(WAIT) for result in sent} == {f"end {n}" for n in range(2 * TASKS)}
        # and the worker can be talked to
        assert site.app.control.ping([worker.hostname], timeout=30) == [{worker.hostname: {"ok": "pong"}}]


@needs("native delay")
def test_native_delayed_delivery_with_quorum_queues(site: Site) -> None:
    from time import time
    from uuid import uuid4

    queue = f"c{uuid4().hex[:8]}.quorum"
    settings = {
        "task_default_queue": queue,
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "broker_native_delayed_delivery_queue_type": "quorum",
        "worker_detect_quorum_queues": True,
    }
    quorum = Site("amqp", site.settings["broker_url"], site.settings["result_backend"], **settings)
    quorum.app.set_current()
    try:
        with quorum.worker() as worker:
            begun = time()
            echo = quorum.task("echo")
            later, now = echo.apply_async(countdown=5), echo.apply_async()
            assert now.get(WAIT)["time"] < begun + 4
            # Then the broker keeps it, not the worker
            inspect = quorum.app.control.inspect([worker.hostname], timeout=30)
            assert inspect.scheduled()[worker.hostname] == []
            assert later.get(WAIT)["time"] >= begun + 4
            assert later.get(WAIT)["exchange"].startswith("celery_delayed")
    finally:
        quorum.close()


def test_a_worker_keeps_its_exclusive_mailbox_when_redis_restarts(make_redis: Any, tmp_path: Any) -> None:
    server = make_redis(settings={"appendonly": "yes", "appendfsync": "always"})
    site = Site("redis", server.url, "cache+memory://")
    with site.worker(pool="solo") as worker:
        server.stop()
        worker.await_line("(?i)connection to broker lost")
        server.start()
        worker.await_line("Connected to", 2)
        # Then it answers, and goes on answering
        eventually(lambda: site.app.control.ping([worker.hostname], timeout=1), "an answer to ping")
    site.close()
