"""Celery's own throughput, for :mod:`clients_run`, on Redis and on RabbitMQ."""

from __future__ import annotations

import amqp_run
import redis_run
from clients_run import Contest
from goals import CELERY_AMQP_GOALS, CELERY_JOBS, CELERY_REDIS_GOALS

__all__ = ("CONTESTS",)


def prepare(url: str, job: str | None, count: int) -> None:
    """No tasks, or the ones to drain."""
    from celery_clients import NAME, app, fill

    from kombu import Queue

    app.conf.broker_url = url
    with app.connection_for_write() as connection:
        queue = Queue(NAME, NAME, NAME)(connection.default_channel)
        queue.declare()
        queue.purge()
        if job is None:
            queue.delete()
    if job == "drain":
        fill(count)


CONTESTS = tuple(
    Contest(name, "celery_clients.py", ("kombu", "kombu-5.7"), CELERY_JOBS, {}, goals, broker, prepare)
    for name, goals, broker in (
        ("celery_redis", CELERY_REDIS_GOALS, redis_run.broker),
        ("celery_amqp", CELERY_AMQP_GOALS, amqp_run.broker),
    )
)
