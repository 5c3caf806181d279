"""Waiting for results: a consumer of several tasks' queues, which outlives its connection."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ConsumerCancelled, NotFound, OperationalError, PreconditionFailed
from kombu.log import get_logger
from kombu.utils.deadline import deadline_scope

from .latest import Latest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kombu import Consumer, Queue
    from kombu.connection_pool import ConnectionPool
    from kombu.utils.deadline import Deadline

    from .latest import Meta

__all__ = ("Reception",)

logger = get_logger(__name__)

#: Seconds that connecting and subscribing may take when less than this is left, so that a short wait finds anything.
GRACE = 1.0

#: Seconds before the next attempt when a connection was lost, or lost again.
PAUSE = 0.1

#: How connecting is tried again, without end or until the deadline.
PAUSES: dict[str, Any] = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 1}


class Reception:
    """Receives what comes to some tasks' queues. What it holds goes back when it is closed.

    Arguments:
        pool: lends the connection.
        queues: the queues by task.
        consumer: the class of consumers.
        accept: content types that may be decoded.
        deadline: ends connecting; None goes on trying for ever.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        queues: Mapping[str, Queue],
        consumer: type[Consumer],
        accept: Collection[str] | None,
        deadline: Deadline | None = None,
    ) -> None:
        self._pool = pool
        self._queues = dict(queues)
        self._Consumer = consumer
        self._accept = accept
        self._deadline = deadline
        self._latest = Latest(self._queues)
        self._connection: Any = None
        self._consumer: Any = None
        self._second: Any = None
        self._careful = False
        self._cancelled = False

    def receive(self, timeout: float) -> list[Meta]:
        """What has come, after ``timeout`` seconds at most; a lost connection is replaced by the next call.

        Raises:
            ContentDisallowed, DecodeError: a result cannot be read; it stays where it was.
            DeadlineExceeded: no broker could be reached in time.
        """
        try:
            if self._consumer is None:
                self._start()
            elif self._cancelled:
                self._subscribe()
            if not self._latest.news:
                self._drain(timeout)
        except PreconditionFailed as exc:
            if self._careful:
                raise
            logger.warning("Waiting for results in a queue that was declared otherwise: %s", exc)
            self._careful = True
            self.close()
        except self._passing as exc:
            self._lose(exc)
            sleep(min(timeout, PAUSE))
        news = list(self._latest.news)
        self._latest.news.clear()
        return news

    def settle(self, task_id: str) -> None:
        """Stop receiving for this task and put its message back, where another waiter gets it."""
        queue = self._queues.pop(task_id)
        message = self._latest.held.pop(task_id, None)
        if message is None:
            return
        try:
            self._consumer.cancel_by_queue(queue.name)
            message.requeue()
        except self._passing as exc:
            self._lose(exc)

    def discard(self, queues: Collection[Queue]) -> None:
        """Delete these queues, with what is in them, unless somebody waits there; what cannot be deleted expires."""
        try:
            if queues and self._connection is None:
                self._connect(GRACE)
            for queue in queues:
                self._aside(lambda channel, queue=queue: queue(channel).delete(if_unused=True))
        except OperationalError as exc:
            logger.debug("results are left to expire: %r", exc)
        except self._passing as exc:
            self._lose(exc)

    def _aside(self, do: Callable[..., object]) -> None:
        """What the broker may well refuse, on a second channel, since that closes it."""
        if self._second is None:
            self._second = self._connection.channel()
        try:
            do(channel=self._second)
        except PreconditionFailed:
            self._connection.maybe_close_channel(self._second)
            self._second = None

    def close(self) -> None:
        """Give everything back: what is held to its queue, the connection to its pool."""
        connection, self._connection = self._connection, None
        channels = [self._consumer and self._consumer.channel, self._second]
        self._forget()
        if connection is not None:
            for channel in channels:
                if channel is not None:
                    connection.maybe_close_channel(channel)
            connection.release()

    @property
    def _passing(self) -> tuple[type[BaseException], ...]:
        """What is over when everything was done again: a lost connection, a queue deleted between two steps."""
        if self._connection is None:
            return ()
        return (*self._connection.recoverable_connection_errors, ConsumerCancelled, NotFound)

    def _drain(self, timeout: float) -> None:
        try:
            self._connection.drain_events(timeout=timeout)
        except TimeoutError:  # (an OSError, as lost connections are)
            pass

    def _connect(self, timeout: float | None) -> None:
        with deadline_scope(timeout):
            connection = self._pool.acquire(block=True)
            try:
                connection.ensure_connection(errback=self._on_error, **PAUSES)
            except BaseException:
                connection.release()
                raise
            self._connection = connection

    def _start(self) -> None:
        left = None if self._deadline is None else max(self._deadline.remaining(), GRACE)
        with deadline_scope(left):
            self._connect(None)
            self._consumer = self._Consumer(
                self._connection.channel(),
                self._queues.values(),
                auto_declare=False,
                on_message=self._latest,
                accept=self._accept,
                on_cancel=self._on_cancel,
            )
            self._subscribe()

    def _subscribe(self) -> None:
        """Declare what is to be consumed, unbound, which is for who publishes; and consume."""
        self._cancelled = False
        for queue in self._consumer.queues:
            if self._careful:
                self._aside(queue.queue_declare)
            else:
                queue.queue_declare(nowait=True)
        self._consumer.consume()

    def _on_cancel(self, tag: str) -> None:
        """A queue was deleted while it was consumed: whoever runs the task may still publish to another."""
        self._cancelled = True

    def _on_error(self, exc: BaseException, interval: float) -> None:
        logger.warning("Waiting for results: no connection (%s), next attempt in %.1f s", exc, interval)

    def _lose(self, exc: BaseException) -> None:
        logger.warning("Waiting for results: starting again after %r", exc)
        connection, self._connection = self._connection, None
        self._forget()
        connection.collect()
        connection.release()

    def _forget(self) -> None:
        self._consumer = self._second = None
        self._latest.held.clear()
