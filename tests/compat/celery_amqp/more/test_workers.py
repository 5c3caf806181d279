"""More of the same: other pools and brokers, workflows one inside the other, and many tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import chain, chord, group
from celery.contrib.abortable import AbortableAsyncResult

from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 60


@pytest.fixture(scope="module", params=["amqp", "redis", "memory"])
def _everywhere(request: pytest.FixtureRequest) -> Iterator[Site]:
    from tests.compat.celery_amqp.conftest import broker_of

    if request.param == "redis":
        redis = request.getfixturevalue("redis_server")
        url = redis.url_of(next(request.getfixturevalue("_redis_databases")))
    else:
        url = broker_of(request.param, request)
    site = Site(request.param, url, "amqp://")
    site.shared()
    yield site
    site.close()


@pytest.fixture
def anywhere(_everywhere: Site) -> Site:
    _everywhere.app.set_current()
    return _everywhere


def test_workflows(anywhere: Site) -> None:
    add, total = anywhere.task("add"), anywhere.task("total")
    inner = chain(group(add.s(1, n) for n in range(3)), total.s())  # 1 + 2 + 3
    sent = chord([inner, add.s(4, 4)], total.s()) | add.s(100)
    assert sent.apply_async().get(WAIT) == 114
    sent = add.apply_async((1, 2), link=add.s(5))
    assert sent.get(WAIT) == 3
    assert sent.children[0].get(WAIT) == 8
    assert add.chunks([(n, n) for n in range(6)], 3).apply_async().get(WAIT) == [[0, 2, 4], [6, 8, 10]]
    nested = group(group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)).apply_async()
    assert nested.get(WAIT) == [[2, 4], 6] or nested.get(WAIT) == [2, 4, 6]


def test_many(anywhere: Site) -> None:
    add = anywhere.task("add")
    sent = group(add.s(n, n) for n in range(300)).apply_async()
    assert sent.get(WAIT) == [2 * n for n in range(300)]
    with anywhere.app.connection_for_write() as connection:
        for result in sent:  # nothing is left at the broker
            with pytest.raises(connection.channel_errors), connection.channel() as channel:
                channel.queue_declare(anywhere.app.backend.rkey(result.id), passive=True)


def test_states_of_ones_own_and_abortion(anywhere: Site) -> None:
    sent = anywhere.task("add").apply_async((1, 1), countdown=60)
    abortable = AbortableAsyncResult(sent.id, app=anywhere.app)
    abortable.abort()
    assert abortable.is_aborted() and abortable.state == "ABORTED"
    sent.revoke()
    abortable.forget()


def test_ignored_results_have_no_queue(anywhere: Site) -> None:
    sent = anywhere.task("add").apply_async((1, 1), ignore_result=True)
    assert anywhere.task("add").delay(1, 1).get(WAIT) == 2
    with anywhere.app.connection_for_write() as connection:
        with pytest.raises(connection.channel_errors):
            connection.default_channel.queue_declare(anywhere.app.backend.rkey(sent.id), passive=True)


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_pools(site: Site, notes: Any, pool: str) -> None:
    queue = f"{site.queue}.{pool}"
    with site.worker("--queues", queue, pool=pool):
        sent = [site.task("add").apply_async((n, n), queue=queue) for n in range(40)]
        assert [result.get(WAIT) for result in sent] == [2 * n for n in range(40)]
        # and a task that waits for another one's result, which is another worker's
        eventually(lambda: site.task("flaky").apply_async((3,), queue=queue).get(WAIT) == 3)
