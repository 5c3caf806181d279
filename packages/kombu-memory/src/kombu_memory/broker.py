"""The broker behind ``memory://``: one for each URL, living in this process until it is reset."""

from __future__ import annotations

import os
from heapq import heappop, heappush
from itertools import count
from threading import Lock, RLock
from typing import Any, NamedTuple

from kombu.transport.virtual import BrokerState
from kombu.transport.virtual.policy import PLAIN

from .queues import MemoryQueue

__all__ = ("Broker", "Event", "get_broker", "reset")


class Event(NamedTuple):
    """Something that time will bring about: ``kind`` is ``expire``, ``ready`` or ``idle``."""

    when: float
    order: int
    kind: str
    queue: MemoryQueue
    message: dict[str, Any] | None


class Waiter:
    """A connection that sleeps until it is released."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = Lock()
        self.lock.acquire()


class Broker:
    """Exchanges, bindings, queues, and what is due, shared by the connections of one URL.

    Every method may be called from any thread.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.lock = RLock()
        self.state = BrokerState()
        self.queues: dict[str, MemoryQueue] = {}
        #: What time will bring about, the earliest first (a heap).
        self.schedule: list[Event] = []
        self._order = count().__next__
        self._place = count(1).__next__
        self._waiting: set[Waiter] = set()

    def __repr__(self) -> str:
        return f"<Broker memory://{self.name}: {len(self.queues)} queues>"

    def reset(self) -> None:
        """Forget all exchanges, queues and messages; consumers are cancelled."""
        with self.lock:
            for spec in self.state.queues.values():
                for subscription in spec.consumers:
                    subscription.cancelled = True
            self.state.clear()
            self.queues.clear()
            self.schedule.clear()
            self.wake_all()

    # -- queues --------------------------------------------------------------------------------------------

    def declare(self, name: str, now: float) -> MemoryQueue:
        """The queue, made when it is new, with the policy of its declaration."""
        with self.lock:
            queue = self.queues.get(name)
            if queue is None:
                spec = self.state.queues.get(name)
                policy = spec.policy if spec is not None else PLAIN
                queue = self.queues[name] = MemoryQueue(name, policy, now, self._place)
                if policy.expires is not None:
                    self.plan_idle(queue, now + policy.expires)
            queue.touched = now
            return queue

    def delete(self, name: str) -> None:
        """Forget the queue and its messages."""
        with self.lock:
            self.queues.pop(name, None)

    def put_expiring(self, queue: MemoryQueue, message: dict[str, Any]) -> None:
        """Append a message that has a time to live."""
        with self.lock:
            queue.put(message)
            queue.expiring = True
            self.plan_expiry(queue)

    def plan_expiry(self, queue: MemoryQueue) -> None:
        """Look at the queue again when its first message expires, unless that is planned already."""
        first = queue.first()
        when = first["properties"].get("expires_at") if first is not None else None
        if when is not None and (queue.planned is None or when < queue.planned):
            queue.planned = when
            self.plan(when, "expire", queue)

    def plan_idle(self, queue: MemoryQueue, when: float) -> None:
        """Look then whether the queue has been used."""
        queue.idle_at = when
        self.plan(when, "idle", queue)

    # -- time ----------------------------------------------------------------------------------------------

    def put_delayed(self, queue: MemoryQueue, message: dict[str, Any], due: float) -> None:
        """Keep a message of this queue until ``due``."""
        with self.lock:
            queue.delayed += 1
            self.plan(due, "ready", queue, message)

    def plan(
        self, when: float, kind: str, queue: MemoryQueue, message: dict[str, Any] | None = None
    ) -> None:
        """Remember what is to happen at ``when`` (seconds since the epoch)."""
        with self.lock:
            earliest = not self.schedule or when < self.schedule[0].when
            heappush(self.schedule, Event(when, self._order(), kind, queue, message))
            if earliest:
                self.wake_all()

    def take_due(self, now: float) -> list[Event]:
        """What has come due; each event is handed out once."""
        with self.lock:
            due = []
            while self.schedule and self.schedule[0].when <= now:
                due.append(heappop(self.schedule))
            return due

    # -- waiting -------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many connections sleep until a message comes."""
        return len(self._waiting)

    def enter(self, waiter: Waiter, queues: list[MemoryQueue]) -> bool:
        """Start waiting for these queues; whether one of them has a message already."""
        with self.lock:
            for queue in queues:
                queue.waiters.append(waiter)
            self._waiting.add(waiter)
            return any(len(queue) for queue in queues)

    def leave(self, waiter: Waiter, queues: list[MemoryQueue]) -> None:
        """Stop waiting."""
        with self.lock:
            self._waiting.discard(waiter)
            for queue in queues:
                if waiter in queue.waiters:
                    queue.waiters.remove(waiter)

    def wake_one(self, queue: MemoryQueue) -> None:
        """Release one connection that waits for this queue."""
        with self.lock:
            while queue.waiters:
                waiter = queue.waiters.pop(0)
                if self.release(waiter):
                    return

    def wake_all(self) -> None:
        """Release every connection that waits."""
        with self.lock:
            for waiter in list(self._waiting):
                self.release(waiter)

    def release(self, waiter: Waiter) -> bool:
        """End this wait; False when it had ended already."""
        with self.lock:
            if waiter not in self._waiting:
                return False
            self._waiting.discard(waiter)
            waiter.lock.release()
            return True

    def _after_fork(self) -> None:
        self.lock = RLock()
        self._waiting = set()
        for queue in self.queues.values():
            queue.waiters = []


_brokers: dict[str, Broker] = {}
_registry_lock = Lock()


def get_broker(name: str = "") -> Broker:
    """The broker of this name, made when it is new; connections to the same URL share it."""
    with _registry_lock:
        broker = _brokers.get(name)
        if broker is None:
            broker = _brokers[name] = Broker(name)
        return broker


def reset(name: str | None = None) -> None:
    """Forget one broker, or all: their consumers are cancelled and the next connection finds a new one."""
    with _registry_lock:
        names = list(_brokers) if name is None else [name]
        gone = [_brokers.pop(each) for each in names if each in _brokers]
    for broker in gone:
        broker.reset()


def _after_fork() -> None:
    global _registry_lock
    _registry_lock = Lock()
    for broker in _brokers.values():
        broker._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
