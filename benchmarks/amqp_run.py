"""RabbitMQ for :mod:`clients_run`: a broker, and a queue for each job."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING

from amqp_clients import BODY, CLIENTS, NAME, PROPERTIES
from clients_run import Contest
from goals import AMQP_GOALS, AMQP_JOBS
from processes import HERE, Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CONTEST",)

#: A tenth of the messages: amqpstorm sleeps for 10 ms whenever it has to wait, which these do for each message.
SHORTENED = {
    (job, "amqpstorm"): AMQP_JOBS[job] // 10
    for job in AMQP_JOBS
    if job in ("consume_1", "confirm", "roundtrip")
}


@contextmanager
def broker(url: str | None) -> Iterator[tuple[str, str]]:
    """A broker's URL and name: the one given, or a private one for as long as it is needed."""
    if url is not None:
        yield url, url.rpartition("@")[2]
        return
    sys.path.insert(0, str(HERE.parent))
    from tests.support.rabbit import RabbitMQ, installed

    if not installed():
        raise Missing(
            "there is no rabbitmq-server: scripts/services installs it, --amqp names another broker"
        )
    with tempfile.TemporaryDirectory() as directory:
        private = RabbitMQ(directory)
        try:
            private.start()
            yield f"{private.url.removesuffix('//')}/%2F", f"RabbitMQ {private.ctl('version').strip()}"
        finally:
            private.remove()


def prepare(url: str, job: str | None, count: int) -> None:
    """An exchange with one queue, with messages if the job is to consume them."""
    from kombu import Connection, Exchange, Queue

    messages = count if job is not None and (job.startswith("consume") or job == "no_ack") else 0
    exchange = Exchange(NAME, durable=True)
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.default_channel
        queue = Queue(NAME, exchange, NAME)(channel)
        queue.delete()
        if job is None:
            exchange(channel).delete()
            return
        queue.declare()
        producer = connection.Producer(exchange=exchange, routing_key=NAME)
        with producer.batch(500):
            for _ in range(messages):
                producer.publish(BODY, **PROPERTIES)
        while queue.queue_declare(passive=True).message_count < messages:
            sleep(0.02)


CONTEST = Contest(
    "amqp", "amqp_clients.py", tuple(CLIENTS), AMQP_JOBS, SHORTENED, AMQP_GOALS, broker, prepare
)
