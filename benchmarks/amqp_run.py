"""This tree against the other clients of RabbitMQ, in turns; see ``docs/benchmarks.md``."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Any

from amqp_clients import BODY, CLIENTS, NAME, PROPERTIES
from goals import AMQP_GOALS, AMQP_JOBS, AmqpGoal
from processes import HERE, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("compare",)

#: Which environment has the client; the others are in "peers".
WHERE = {"kombu": "new", "kombu-5.7": "old"}

#: A tenth of the messages: amqpstorm sleeps for 10 ms whenever it has to wait, which these do for each message.
SHORTENED = {("consume_1", "amqpstorm"), ("confirm", "amqpstorm"), ("roundtrip", "amqpstorm")}

#: By job and client: what each process printed.
Samples = dict[tuple[str, str], list[dict[str, Any]]]


def compare(environments: dict[str, str], jobs: list[str], rounds: int, url: str | None) -> dict[str, Any]:
    """Measure, print two tables, and return them with all samples; ``goals`` say whether they were met."""
    with broker(url) as (found, name):
        samples = measure(environments, jobs, rounds, found)
    medians = {
        key: {figure: statistics.median(run[figure] for run in runs) for figure in ("cpu", "wall")}
        for key, runs in samples.items()
    }
    versions = {client: runs[0]["version"] for (_, client), runs in samples.items()}
    print(f"\n{name}: CPU µs of the client for a message, messages a second\n")
    table(
        ["", *(f"{client} {versions[client]}" for client in CLIENTS)],
        [[job, *(cell(medians[job, client]) for client in CLIENTS)] for job in jobs],
    )
    reached = [result(goal, medians) for goal in AMQP_GOALS if goal.job in jobs]
    print()
    table(
        ["amqp", "goal", "found", "met"],
        [[row["job"], row["goal"], f"{row['found']:.2f}x", "yes" if row["met"] else "NO"] for row in reached],
    )
    runs = [{"job": job, "client": client, "runs": all_} for (job, client), all_ in samples.items()]
    return {"versions": versions, "goals": reached, "samples": runs}


@contextmanager
def broker(url: str | None) -> Iterator[tuple[str, str]]:
    """A broker's URL and name: the one given, or a private one for as long as it is needed."""
    if url is not None:
        yield url, url.rpartition("@")[2]
        return
    sys.path.insert(0, str(HERE.parent))
    from tests.support.rabbit import RabbitMQ, installed

    if not installed():
        raise SystemExit(
            "there is no rabbitmq-server: scripts/services installs it, --amqp names another broker"
        )
    with tempfile.TemporaryDirectory() as directory:
        private = RabbitMQ(directory)
        try:
            private.start()
            yield f"{private.url.removesuffix('//')}/%2F", f"RabbitMQ {private.ctl('version').strip()}"
        finally:
            private.remove()


def measure(environments: dict[str, str], jobs: list[str], rounds: int, url: str) -> Samples:
    """Run every job ``rounds`` times with each client, in turns."""
    samples: Samples = defaultdict(list)
    for job in jobs:
        for turn in range(rounds):
            for client in CLIENTS:
                if sys.stderr.isatty():
                    print(f"\ramqp {job} {turn + 1}/{rounds} {client}".ljust(50), end="", file=sys.stderr)
                count = AMQP_JOBS[job] // (10 if (job, client) in SHORTENED else 1)
                prepare(url, count if job.startswith("consume") or job == "no_ack" else 0)
                python = environments[WHERE.get(client, "peers")]
                printed = spawn(python, "amqp_clients.py", client, job, str(count), url)
                samples[job, client].append(json.loads(printed))
    prepare(url, None)
    return samples


def prepare(url: str, messages: int | None) -> None:
    """An exchange with one queue of so many messages; None removes them."""
    from kombu import Connection, Exchange, Queue

    exchange = Exchange(NAME, durable=True)
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.default_channel
        queue = Queue(NAME, exchange, NAME)(channel)
        queue.delete()
        if messages is None:
            exchange(channel).delete()
            return
        queue.declare()
        producer = connection.Producer(exchange=exchange, routing_key=NAME)
        with producer.batch(500):
            for _ in range(messages):
                producer.publish(BODY, **PROPERTIES)
        while queue.queue_declare(passive=True).message_count < messages:
            sleep(0.02)


def result(goal: AmqpGoal, medians: dict[tuple[str, str], dict[str, float]]) -> dict[str, Any]:
    """What was reached of a goal."""
    ours, theirs = medians[goal.job, "kombu"], medians[goal.job, goal.client]
    if goal.cpu is not None:
        found, wanted = theirs["cpu"] / ours["cpu"], goal.cpu
        words = f"≥ {wanted:g}x less CPU than {goal.client}"
    else:
        found, wanted = theirs["wall"] / ours["wall"], goal.rate or 0
        words = f"≥ {wanted:g}x the rate of {goal.client}"
    return {"job": goal.job, "goal": words, "found": found, "met": found >= wanted}


def cell(figures: dict[str, float]) -> str:
    return f"{figures['cpu'] * 1e6:6.1f} {1 / figures['wall']:7,.0f}/s"


def table(heads: list[str], lines: list[list[str]]) -> None:
    """Print a table as Markdown."""
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]
    for line in (heads, ["-" * width for width in widths], *lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
