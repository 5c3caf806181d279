"""Where results are: a broker, backends on it as different processes have them, and a look at its queues."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from celery import Celery

from kombu import Connection
from kombu.exceptions import NotFound
from tests.compat.celery.notes import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from kombu_celery_amqp import AMQPBackend


class Place:
    """One broker.

    Arguments:
        kind: ``amqp``, ``redis`` or ``memory``.
        url: of the broker.
    """

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self._tasks: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._channel() as channel:
            for task_id in self._tasks:
                channel.queue_delete(task_id.replace("-", ""))

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with Connection(self.url) as connection, connection.channel() as channel:
            yield channel

    def app(self, **settings: Any) -> Celery:
        """An application, with its own backend as each process has it."""
        app = Celery("results", set_as_current=False)
        app.conf.update(
            broker_url=self.url,
            result_backend="amqp://",
            result_expires=300,
            broker_connection_timeout=4,
        )
        app.conf.update(settings)
        return app

    def backend(self, **settings: Any) -> AMQPBackend:
        """The backend of a new application."""
        found: AMQPBackend = self.app(**settings).backend
        return found

    def task(self) -> str:
        """The id of a new task, whose queue goes away with the place."""
        self._tasks.append(str(uuid4()))
        return self._tasks[-1]

    def queue(self, task_id: str) -> Any:
        """(name, ready messages, consumers) of a task's queue; None when there is none."""
        with self._channel() as channel:
            try:
                return channel.queue_declare(task_id.replace("-", ""), passive=True)
            except NotFound:
                return None

    def message(self, task_id: str) -> Any:
        """The oldest message of a task, which goes back when it was looked at."""
        with self._channel() as channel:
            return channel.basic_get(task_id.replace("-", ""))

    def await_waiters(self, number: int, *task_ids: str) -> None:
        """Until so many consumers wait for each of the tasks."""
        for task_id in task_ids:
            eventually(
                lambda task_id=task_id: (found := self.queue(task_id)) and found.consumer_count == number,
                f"{number} waiters",
            )


@contextmanager
def meanwhile(*functions: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run them in threads for the time of the block; what they returned, or raised, is in the list afterwards."""
    outcomes: list[Any] = [None] * len(functions)

    def run(number: int, function: Callable[[], Any]) -> None:
        try:
            outcomes[number] = function()
        except Exception as exc:
            outcomes[number] = exc

    threads = [Thread(target=run, args=pair, daemon=True) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    yield outcomes
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "still waiting"
