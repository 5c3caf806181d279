#!/usr/bin/env python3
"""Count the lines, tokens and bytes of Python's standard library by messages.

    python examples/linecount.py [URL] [--workers N] [--limit FILES]

Every source file travels as one compressed message to a work queue. Workers, each on a connection of its own, count
and answer to the queue named in ``reply_to``. The totals are compared with a direct count; any difference is a
failure. The same program runs on every transport: the default URL is the embedded broker, ``memory://``.
"""

from __future__ import annotations

import argparse
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

    def __init__(self, url: str, tasks: Queue) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.tasks = tasks
        self.stopping = threading.Event()
        self.done = 0

    def run(self) -> None:
        with Connection(self.url) as connection:
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


def run(url: str, files: list[Path], workers: int) -> tuple[dict[str, Counts], float, list[int]]:
    """Count by messages: counts by path, seconds, files counted by each worker."""
    name = f"linecount.{uuid()}"
    tasks = Queue(name, Exchange(name, "direct", auto_delete=True), routing_key="count", auto_delete=True)
    replies = Queue(f"{name}.replies", exclusive=True, auto_delete=True)
    collector = Collector(len(files))
    with Connection(url) as connection:
        channel = connection.default_channel
        tasks(channel).declare()
        with Consumer(channel, [replies], callbacks=[collector.receive], accept=["json"]):
            pool = [Worker(url, tasks) for _ in range(workers)]
            started = time.perf_counter()
            for worker in pool:
                worker.start()
            for _ in publish_all(Producer(channel), files, tasks, replies):
                pass
            collector.wait(connection, show_progress)
            seconds = time.perf_counter() - started
            for worker in pool:
                worker.stopping.set()
            for worker in pool:
                worker.join()
    return collector.counts, seconds, [worker.done for worker in pool]


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Count the standard library's lines, tokens and bytes by messages."
    )
    parser.add_argument("url", nargs="?", default="memory://", help="the broker (default: memory://)")
    parser.add_argument("--workers", type=int, default=3, help="consumers, each a thread with its connection")
    parser.add_argument("--limit", type=int, default=None, help="count only the first so many files")
    options = parser.parse_args()

    files = source_files(options.limit)
    counts, seconds, shares = run(options.url, files, options.workers)
    lines, tokens, size = total(list(counts.values()))
    safe_url = Connection(options.url).as_uri()
    print(f"{len(counts)} files over {safe_url}: {lines:,} lines, {tokens:,} tokens, {size:,} bytes")
    print(
        f"{seconds:.2f} s, {len(counts) / seconds:,.0f} files/s, {size / seconds / 1e6:.1f} MB/s; by worker: {shares}"
    )

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
