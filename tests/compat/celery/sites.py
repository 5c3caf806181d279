"""Where the Celery tests run: a broker, a result backend, and the workers started there.

Each is asked to do the same. What one cannot do is in its ``cannot``, by name and with the reason; tests that need
it are marked ``@needs(name)`` and skipped there.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from celery.contrib.testing.worker import start_worker

from tests.compat.celery.application import make_app
from tests.compat.celery.programs import Program, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a worker in a thread of the test's own process cannot do, whatever the broker.
_IN_PROCESS = "memory:// is seen by its own process only, so its worker is a thread of it"

CANNOT = {
    "amqp": {},
    "redis": {
        "native delay": "delayed delivery by exchanges is RabbitMQ's; Celery's workers keep ETA tasks themselves",
    },
    "sqs": {
        "native delay": "delayed delivery by exchanges is RabbitMQ's; Celery's workers keep ETA tasks themselves",
        "priority": "SQS has none",
        "events": "a binding to a topic exchange is known to the process that made it, so events reach nobody else",
        "mingle": "an answer takes a second, the time of a long poll, and Celery's mingle waits for one",
    },
    "memory": {
        "processes": _IN_PROCESS,
        "restart": "the broker is the process",
        "native delay": "delayed delivery by exchanges is RabbitMQ's; Celery's workers keep ETA tasks themselves",
    },
}


class Site:
    """One broker with an application on it.

    Arguments:
        kind: ``amqp``, ``redis``, ``sqs`` or ``memory``.
        broker: its URL.
        backend: the URL of the result backend.
        settings: more settings of the application.
    """

    def __init__(self, kind: str, broker: str, backend: str, **settings: Any) -> None:
        self.kind = kind
        self.cannot = CANNOT[kind]
        name = f"c{uuid4().hex[:8]}"
        self.settings: dict[str, Any] = {
            "broker_url": broker,
            "result_backend": backend,
            "task_default_queue": name,
            "control_exchange": name,
            "event_exchange": f"{name}.ev",
            "event_queue_prefix": f"{name}.ev",
            **settings,
        }
        self.queue: str = self.settings["task_default_queue"]
        self.app = make_app(self.settings)
        self._stack = ExitStack()
        self._shared: Any = None
        self._ending: list[Worker] = []
        self._numbers = count(1)

    def __repr__(self) -> str:
        return f"<Site {self.kind}>"

    def task(self, name: str) -> Any:
        return self.app.tasks[name]

    # -- workers

    def shared(self) -> str:
        """The name of the worker that tests share and leave as it was; it runs two tasks at a time where it can."""
        if self._shared is None:
            self._shared = self._stack.enter_context(self.worker())
        return str(self._shared.hostname)

    @contextmanager
    def reader_of(self, queue: str, pool: str = "solo", **settings: Any) -> Iterator[str]:
        """The name of a worker that reads this queue for the time of the block, and as a rule nothing else."""
        if self.kind != "memory":
            with self.worker("--queues", queue, pool=pool, **settings) as worker:
                yield worker.hostname
            return
        shared = self.shared()
        self.app.control.add_consumer(queue, destination=[shared], reply=True, timeout=30)
        yield shared
        self.app.control.cancel_consumer(queue, destination=[shared], reply=True, timeout=30)

    @contextmanager
    def worker(self, *extra: str, pool: str = "prefork", **settings: Any) -> Iterator[Any]:
        """A worker for the time of the block, ready when it begins: options of ``celery worker``, and settings
        that differ from the site's.
        """
        name = f"w{next(self._numbers)}@{self.kind}"
        if self.kind == "memory":
            with start_worker(
                self.app, pool="solo", concurrency=1, perform_ping_check=False, hostname=name, shutdown_timeout=20
            ) as worker:
                yield worker
            return
        if "--concurrency" not in extra:
            extra = ("--concurrency=2", *extra)
        if "--mingle" in extra:
            extra = tuple(option for option in extra if option != "--mingle")
        else:
            extra = ("--without-mingle", "--without-gossip", *extra)
        started = Worker({**self.settings, **settings}, name, *extra, pool=pool)
        try:
            yield started.await_ready()
        finally:
            started.begin_to_stop()  # (a pool takes seconds to end: others start meanwhile)
            self._ending.append(started)
            print(f"-- {name}\n{started.output}")  # (pytest shows it when the test fails)

    def command(self, *arguments: str, **options: str) -> Program:
        """``celery -A application ARGUMENTS`` on this site."""
        return Program(self.settings, "celery", "-A", "tests.compat.celery.application", *arguments, **options)

    # -- looking

    def size(self, queue: str = "") -> int:
        """How many messages wait in a queue."""
        with self.app.connection_for_read() as connection:
            declared = connection.default_channel.queue_declare(queue or self.queue, passive=True)
            return int(declared.message_count)

    def close(self) -> None:
        self._stack.close()
        for worker in self._ending:
            worker.stop()
        gc.collect()  # (results that are forgotten speak to their backend, which ends soon)
        self.app.close()


def needs(*names: str) -> Any:
    """Mark a test that runs only on brokers which can do all that is named."""
    return pytest.mark.needs(*names)
