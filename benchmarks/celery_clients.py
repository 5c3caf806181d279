"""Celery on this tree and on Kombu 5.7: enqueueing tasks that do nothing, and a worker that drains them.

``celery_clients.py CLIENT JOB COUNT URL`` prints the seconds of CPU and by the clock for each task, as JSON. It is also
the worker's application, told its broker by ``BENCH_BROKER``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from celery import Celery

NAME = "bench-celery"

app = Celery("bench", broker=os.environ.get("BENCH_BROKER"))
app.conf.update(
    task_default_queue=NAME,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task(name="nothing")
def nothing() -> None:
    """What both have to do for a task beyond this is what is measured."""


@app.task(name="mark")
def mark(name: str) -> None:
    """Write down when it is run, for whoever measures."""
    path = Path(os.environ["BENCH_MARKS"], name)
    path.with_suffix(".part").write_text(str(time.time()))
    path.with_suffix(".part").rename(path)


def fill(count: int) -> None:
    """What ``drain`` finds: ``count`` tasks between the two that are written down."""
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        mark.apply_async(("begin",), producer=producer)
        for _ in range(count):
            nothing.apply_async(producer=producer)
        mark.apply_async(("end",), producer=producer)


def enqueue(count: int) -> tuple[float, float]:
    """CPU and wall seconds of a program that calls ``delay()``."""
    nothing.delay()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        nothing.delay()
    return time.process_time() - cpu, time.perf_counter() - wall


def drain(url: str) -> tuple[float, float]:
    """CPU seconds of a worker and its two processes, their start included; wall seconds from first task to last."""
    with tempfile.TemporaryDirectory() as directory:
        command = [
            sys.executable, "-m", "celery", "-A", "celery_clients", "worker", "--pool=prefork", "--concurrency=2",
            "--loglevel=WARNING",
        ]  # fmt: skip
        environment = {**os.environ, "BENCH_BROKER": url, "BENCH_MARKS": directory, "C_FORCE_ROOT": "1"}
        worker = subprocess.Popen(
            command,
            env=environment,
            cwd=Path(__file__).parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end, limit = Path(directory, "end"), time.monotonic() + 300
        try:
            while not end.exists() and time.monotonic() < limit and worker.poll() is None:
                time.sleep(0.05)
            if not end.exists():
                raise SystemExit("the worker has not drained its queue")
            wall = float(end.read_text()) - float(Path(directory, "begin").read_text())
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime, wall


def measure(client: str, job: str, count: int, url: str) -> dict[str, object]:
    app.conf.broker_url = url
    cpu, wall = enqueue(count) if job == "enqueue" else drain(url)
    distribution = "kombu" if client == "kombu-5.7" else "kombu-core"
    return {"version": version(distribution), "cpu": cpu / count, "wall": wall / count}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
