#!/usr/bin/env python3
"""Count the lines, tokens and bytes of Python's standard library by messages.

    python examples/linecount.py [URL] [--workers N] [--limit FILES] [--kills N] [--option NAME=VALUE]

Every source file travels as one compressed message to a work queue. Workers, each on a connection of its own, count
and answer to the queue named in ``reply_to``. The totals are compared with a direct count; any difference is a
failure. The same program runs on every transport: the default URL is the embedded broker, ``memory://``. With
``--kills`` the workers are processes, and so many of them are killed with SIGKILL on the way.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from kombu import Connection, Consumer, Exchange, Producer, Queue, uuid

TOKEN = re.compile(rb"\w+|[^\w\s]")
STALLED = 60.0  # seconds without an answer after which something is wrong

Counts = tuple[int, int, int]


def count(source: bytes) -> Counts:
    """Lines, tokens and bytes."""
    return source.count(b"\n"), sum(1 for _ in TOKEN.finditer(source)), len(source)


def source_files(limit: int | None) -> list[Path]:
    """The standard library's modules, without what was installed beside them."""
    root = Path(sysconfig.get_path("stdlib"))
    found = [path for path in sorted(root.rglob("*.py")) if "site-packages" not in path.parts]
    return [path for path in found if "dist-packages" not in path.parts][:limit]


class Worker(threading.Thread):
    """Counts what the work queue holds until told to stop; one connection each."""

    def __init__(self, broker: dict, tasks: Queue) -> None:
        super().__init__(daemon=True)
        self.broker = broker
        self.tasks = tasks
        self.stopping = threading.Event()
        self.done = 0

    def run(self) -> None:
        with Connection(**self.broker) as connection:
            self.producer = Producer(connection)
            with Consumer(connection, [self.tasks], on_message=self.answer, prefetch_count=10):
                while not self.stopping.is_set():
                    try:
                        connection.drain_events(timeout=0.5)
                    except TimeoutError:
                        continue

    def answer(self, message) -> None:
        lines, tokens, size = count(message.payload)
        self.producer.publish(
            {"path": message.headers["path"], "lines": lines, "tokens": tokens, "bytes": size},
            exchange="",
            routing_key=message.properties["reply_to"],
            correlation_id=message.properties["correlation_id"],
        )
        message.ack()
        self.done += 1


def work(broker: dict, tasks: Queue) -> None:
    """A worker in a process of its own, which ends with the process."""
    Worker(broker, tasks).run()


class Crew:
    """Workers as processes; those that are killed are replaced."""

    def __init__(self, broker: dict, tasks: Queue, workers: int, kills: int, files: int) -> None:
        self.broker, self.tasks = broker, tasks
        self.spawn = multiprocessing.get_context("spawn").Process
        self.killed = 0
        self.kill_at = [files * number // (kills + 1) for number in range(1, kills + 1)]
        self.processes = [self.hire() for _ in range(workers)]

    def hire(self) -> multiprocessing.Process:
        process = self.spawn(target=work, args=(self.broker, self.tasks), daemon=True)
        process.start()
        return process

    def progress(self, done: int, total: int) -> None:
        """Kill somebody when it is time."""
        show_progress(done, total)
        while self.kill_at and done >= self.kill_at[0]:
            del self.kill_at[0]
            self.killed += 1
            victim = random.randrange(len(self.processes))
            self.processes[victim].kill()
            self.processes[victim] = self.hire()

    def dismiss(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()


def publish_all(producer: Producer, files: list[Path], tasks: Queue, replies: Queue) -> Iterator[int]:
    """Publish every file; yields the number of bytes published so far."""
    total = 0
    for path in files:
        body = path.read_bytes()
        producer.publish(
            body,
            content_type="application/data",
            content_encoding="binary",
            compression="zlib",
            exchange=tasks.exchange,
            routing_key=tasks.routing_key,
            declare=[tasks],
            headers={"path": str(path)},
            reply_to=replies.name,
            correlation_id=uuid(),
            retry=True,
        )
        total += len(body)
        yield total


class Collector:
    """Takes the answers in; an answer that comes twice counts once."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.counts: dict[str, Counts] = {}

    def receive(self, body, message) -> None:
        self.counts[body["path"]] = (body["lines"], body["tokens"], body["bytes"])
        message.ack()

    def wait(self, connection: Connection, progress) -> None:
        while len(self.counts) < self.expected:
            connection.drain_events(timeout=STALLED)
            progress(len(self.counts), self.expected)


def show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 20 == 0 or done == total):
        print(
            f"\r{done}/{total} files counted", end="\n" if done == total else "", file=sys.stderr, flush=True
        )
    elif not sys.stderr.isatty() and done % max(1, total // 5) == 0:
        print(f"{done}/{total} files counted", file=sys.stderr, flush=True)


def total(counts: list[Counts]) -> Counts:
    lines, tokens, size = (sum(column) for column in zip(*counts, strict=True))
    return lines, tokens, size


def run(broker: dict, files: list[Path], workers: int, kills: int) -> tuple[dict[str, Counts], float, str]:
    """Count by messages: counts by path, seconds, and who did it.

    Arguments:
        broker: keyword arguments for ``Connection``.
    """
    name = f"linecount.{uuid()}"
    tasks = Queue(
        name, Exchange(name, "direct", auto_delete=True), routing_key="count", auto_delete=not kills
    )
    replies = Queue(f"{name}.replies", exclusive=True, auto_delete=True)
    collector = Collector(len(files))
    with Connection(**broker) as connection:
        channel = connection.default_channel
        tasks(channel).declare()
        with Consumer(channel, [replies], callbacks=[collector.receive], accept=["json"]):
            crew = Crew(broker, tasks, workers, kills, len(files)) if kills else None
            pool = [Worker(broker, tasks) for _ in range(0 if kills else workers)]
            started = time.perf_counter()
            for worker in pool:
                worker.start()
            for _ in publish_all(Producer(channel), files, tasks, replies):
                pass
            collector.wait(connection, crew.progress if crew else show_progress)
            seconds = time.perf_counter() - started
            for worker in pool:
                worker.stopping.set()
            for worker in pool:
                worker.join()
            if crew:
                crew.dismiss()
                tasks(channel).delete()
    shares = f"{crew.killed} workers killed" if crew else f"by worker: {[worker.done for worker in pool]}"
    return collector.counts, seconds, shares


def option(text: str) -> tuple[str, object]:
    """NAME=VALUE, the value as JSON where it is that."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Count the standard library's lines, tokens and bytes by messages."
    )
    parser.add_argument("url", nargs="?", default="memory://", help="the broker (default: memory://)")
    parser.add_argument("--workers", type=int, default=3, help="consumers, each with a connection of its own")
    parser.add_argument("--limit", type=int, default=None, help="count only the first so many files")
    parser.add_argument("--kills", type=int, default=0, help="workers are processes; kill so many of them")
    parser.add_argument(
        "--option", type=option, action="append", default=[], help="a transport option, NAME=VALUE"
    )
    options = parser.parse_args()

    files = source_files(options.limit)
    broker = {"hostname": options.url, "transport_options": dict(options.option)}
    counts, seconds, shares = run(broker, files, options.workers, options.kills)
    lines, tokens, size = total(list(counts.values()))
    safe_url = Connection(options.url).as_uri()
    print(f"{len(counts)} files over {safe_url}: {lines:,} lines, {tokens:,} tokens, {size:,} bytes")
    print(f"{seconds:.2f} s, {len(counts) / seconds:,.0f} files/s, {size / seconds / 1e6:.1f} MB/s; {shares}")

    direct = {str(path): count(path.read_bytes()) for path in files}
    if counts != direct:
        wrong = [path for path in direct if counts.get(path) != direct[path]]
        print(
            f"DIFFERENT from a direct count in {len(wrong)} files, for instance {wrong[0]}", file=sys.stderr
        )
        return 1
    print("equal to a direct count of the same files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
