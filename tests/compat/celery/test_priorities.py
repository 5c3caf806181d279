"""Which of the waiting tasks is done first, and how many a worker takes ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Queue
from tests.compat.celery.notes import eventually
from tests.compat.celery.sites import needs

if TYPE_CHECKING:
    from tests.compat.celery.sites import Site

WAIT = 30


@needs("priority")
def test_urgent_tasks_go_first(site: Site, notes: Any) -> None:
    # Given a queue with priorities, and tasks that wait in it
    queue = Queue(f"{site.queue}.urgent", queue_arguments={"x-max-priority": 10})
    with site.app.connection_for_write() as connection:
        queue(connection).declare()
    sent = [
        site.task("note").apply_async((notes.path, priority), queue=queue, priority=priority)
        for priority in (6, 0, 9, 3, 0, 9)
    ]

    # When a worker comes that does one after the other, Then the most urgent are first
    site.app.amqp.queues.add(queue)
    with site.reader_of(queue.name, task_queue_max_priority=10, worker_prefetch_multiplier=1):
        for result in sent:
            result.get(WAIT)
    urgent = ["9", "9", "6", "3", "0", "0"]
    # (on Redis, Celery's users and kombu have always counted the other way)
    assert notes.lines() == (urgent[::-1] if site.kind == "redis" else urgent)


@needs("processes")
def test_the_multiplier_limits_what_a_worker_takes(site: Site, notes: Any) -> None:
    # Given a worker that takes two tasks at once, and one ahead for each
    for multiplier, ahead in ((1, 2), (3, 6)):
        queue = f"{site.queue}.few{multiplier}"  # (the first worker may still be about to end)
        with site.worker("--queues", queue, pool="threads", worker_prefetch_multiplier=multiplier) as worker:
            # When more are there, Then it takes no more, and the rest waits at the broker
            sent = [site.task("early").apply_async((notes.path, n, notes.gate), queue=queue) for n in range(10)]
            inspect = site.app.control.inspect([worker.hostname], timeout=30)
            eventually(lambda: len(inspect.active()[worker.hostname]) == 2, "2 active")  # noqa: B023
            eventually(lambda: site.size(queue) <= 10 - ahead, "prefetched")  # noqa: B023
            assert inspect.stats()[worker.hostname]["prefetch_count"] == ahead
            taken = len(inspect.reserved()[worker.hostname]) + 2
            # (early acknowledged tasks make room for others: those that run count no more)
            assert taken <= ahead + 2
            assert site.size(queue) == 10 - taken
            notes.open()
            assert [result.get(WAIT) for result in sent] == [f"end {n}" for n in range(10)]
        notes.close()
