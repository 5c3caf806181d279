"""The part of the backend that waits for the ends of tasks."""

from __future__ import annotations

from contextlib import closing
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import celery.exceptions
from celery import states
from celery.backends.base import BaseBackend
from celery.result import ResultSet

import kombu
from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import Deadline

from .reception import Reception

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping

    from .latest import Meta

__all__ = ("WaitingBackend",)

READY = states.READY_STATES


class WaitingBackend(BaseBackend):
    """``wait_for``, ``get_many`` and what is built of them. All who wait for a task at a time get its final state."""

    Consumer = kombu.Consumer

    auto_delete: bool

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        cache: bool = True,
        propagate: bool = True,
        READY_STATES: Collection[str] = READY,
        PROPAGATE_STATES: Collection[str] = states.PROPAGATE_STATES,
        **kwargs: Any,
    ) -> Meta:
        """Wait for the end of the task; its final state, a dictionary with ``status`` and ``result``.

        Arguments:
            timeout: seconds; None waits for ever, 0 only looks.
            cache: an end that is remembered will do.
            propagate: raise the task's exception.
            kwargs: ``no_ack``, ``on_message``, ``on_interval`` and ``interval``, see :meth:`get_many`.

        Raises:
            celery.exceptions.TimeoutError: it did not end in time.
        """
        self._ensure_not_eager()
        known = self._ended({task_id}, READY_STATES) if cache else {}
        meta = self._first(known, {task_id} - known.keys(), timeout, READY_STATES=READY_STATES, **kwargs)
        if propagate and meta["status"] in PROPAGATE_STATES:
            raise meta["result"]
        return meta

    def wait_for_pending(
        self, result: Any, callback: Any = None, propagate: bool = True, **kwargs: Any
    ) -> Any:
        """For ``AsyncResult.get()``: wait, and give the result its final state."""
        result._maybe_set_cache(self.wait_for(result.id, propagate=False, **kwargs))
        return result.maybe_throw(propagate=propagate, callback=callback)

    def consume(self, task_id: str, timeout: float | None = None, **kwargs: Any) -> Meta:
        """Wait for the final state of the task at the broker, whatever is remembered; as :meth:`get_many`."""
        return self._first({}, {task_id}, timeout, **kwargs)

    def _first(self, *args: Any, **kwargs: Any) -> Meta:
        with closing(self._endings(*args, **kwargs)) as endings:
            return next(endings)[1]

    def iter_native(self, result: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """For ``ResultSet.join_native()``: sets within the set first, then results as they end.

        Those that have their final state already, as all that ``ready()`` was asked of, need no broker.
        """
        self._ensure_not_eager()
        nodes = {}
        for node in result.results:
            if isinstance(node, ResultSet):
                yield node.id, node.results
            else:
                nodes[node.id] = node
        known = self._ended(nodes, READY)
        known.update((task_id, node._cache) for task_id, node in nodes.items() if node._cache)
        for task_id, meta in self._endings(known, set(nodes) - known.keys(), **kwargs):
            if not nodes[task_id]._cache:
                nodes[task_id]._maybe_set_cache(meta)  # it may be the only one that has it now
            yield task_id, meta

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        READY_STATES: Collection[str] = READY,
        **kwargs: Any,
    ) -> Iterator[tuple[str, Meta]]:
        """The final states of the tasks as they end: (task id, meta).

        Arguments:
            timeout: seconds for all together; 0 only looks.
            kwargs: ``no_ack``: take the results (True), or leave them in their queues. ``on_message`` is called with
                each state that comes, the final one or not; ``on_interval`` after each state, and every ``interval``
                (0.5) seconds without. ``max_iterations``: look at each task so many times, ``interval`` seconds
                apart, and end. What earlier versions took besides is ignored.

        Raises:
            celery.exceptions.TimeoutError: one did not end in time.
        """
        self._ensure_not_eager()
        wanted = set(task_ids)
        known = self._ended(wanted, READY_STATES)
        yield from self._endings(known, wanted - known.keys(), timeout, READY_STATES=READY_STATES, **kwargs)

    def _ended(self, task_ids: Collection[str], ready: Collection[str]) -> dict[str, Meta]:
        """The final states that are remembered."""
        known = ((task_id, self._known(task_id)) for task_id in task_ids)
        return {task_id: self._decoded(meta) for task_id, meta in known if meta and meta["status"] in ready}

    def _endings(
        self,
        known: Mapping[str, Meta],
        waiting: set[str],
        timeout: float | None = None,
        no_ack: bool = True,
        on_message: Callable[[Meta], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        interval: float = 0.5,
        max_iterations: int | None = None,
        READY_STATES: Collection[str] = READY,
        **kwargs: Any,
    ) -> Generator[tuple[str, Meta], None, None]:
        """What :meth:`get_many` yields: what is known, and what comes from the broker; then queues are deleted."""
        queues: dict[str, kombu.Queue] = {task_id: self._create_binding(task_id) for task_id in waiting}
        taken: list[kombu.Queue] = [self._create_binding(task_id) for task_id in known]
        deadline = None if timeout is None else Deadline(timeout)
        reception = Reception(self._reading, queues, self.Consumer, self.accept, deadline)
        try:
            yield from known.items()
            if max_iterations or (timeout is not None and timeout <= 0):
                yield from self._look_at(waiting, max_iterations or 1, interval, READY_STATES)
                if max_iterations:
                    return
            while waiting:
                if deadline is not None and deadline.expired:
                    raise _too_late(waiting)
                left = interval if deadline is None else min(interval, deadline.remaining())
                try:
                    news = reception.receive(left)
                except DeadlineExceeded as exc:
                    raise _too_late(waiting) from exc
                for meta in news:
                    task_id = meta["task_id"]
                    self._cache[task_id] = meta
                    if on_message is not None:
                        on_message(dict(meta))
                    if task_id in waiting and meta["status"] in READY_STATES:
                        waiting.discard(task_id)
                        reception.settle(task_id)
                        taken.append(queues[task_id])
                        yield task_id, self._decoded(meta)
                if on_interval is not None:
                    on_interval()
        finally:
            if no_ack and self.auto_delete and not max_iterations:
                reception.discard(taken)  # at last, because brokers take milliseconds for a queue
            reception.close()

    def _look_at(
        self, waiting: set[str], times: int, interval: float, ready: Collection[str]
    ) -> Iterator[tuple[str, Meta]]:
        """Look at each task, so many times; those that have ended leave ``waiting``."""
        for number in range(times):
            if number and waiting:
                sleep(interval)
            for task_id in list(waiting):
                meta = self.get_task_meta(task_id)
                if meta["status"] in ready:
                    waiting.discard(task_id)
                    yield task_id, meta

    def drain_events(
        self,
        connection: kombu.Connection,
        consumer: kombu.Consumer,
        timeout: float | None = None,
        on_interval: Callable[[], object] | None = None,
        now: Callable[[], float] = monotonic,
        wait: Callable[..., object] | None = None,
    ) -> dict[str, Meta]:
        """Let a consumer of result queues receive until a task has ended: {task id: final state}.

        The consumer's callbacks are replaced. Messages that it has to acknowledge stay unacknowledged.

        Raises:
            builtins.TimeoutError: no task has ended after ``timeout`` seconds.
        """
        ended: dict[str, Meta] = {}

        def note(meta: Meta, message: Any) -> None:
            self._cache[meta["task_id"]] = meta
            if meta["status"] in READY:
                ended[meta["task_id"]] = self._decoded(meta)

        consumer.callbacks = [note]
        wait = wait or connection.drain_events
        begun = now()
        while not ended:
            left = 1.0 if timeout is None else min(1.0, timeout - (now() - begun))
            if left <= 0:
                raise DeadlineExceeded(f"no task has ended within {timeout:g} s")
            try:
                wait(timeout=left)
            except TimeoutError:
                pass
            if on_interval is not None:
                on_interval()
        return ended


def _too_late(waiting: Collection[str]) -> Exception:
    some = ", ".join(sorted(waiting)[:3])
    error: Exception = celery.exceptions.TimeoutError(
        f"The operation timed out: {len(waiting)} tasks have not ended ({some})"
    )
    return error
