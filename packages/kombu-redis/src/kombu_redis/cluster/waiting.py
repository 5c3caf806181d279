"""How a connection to a cluster sleeps, and is woken once for each message.

A blocking pop waits for keys of one slot only. So an idle connection enters itself with each queue it waits for, and
hears of a message on a channel of its own in that queue's slot: whoever makes a message ready tells the one that has
waited longest (``lua/waiters.lua``). One socket a node serves any number of queues. As on a single server every
connection looks again after half a second, so nothing depends on being woken.

Who has got a message has itself struck off the other queues, so that others are woken for those. That takes a command
for each queue, and one more to be entered again: of many queues only who is seldom at work for long stays entered.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu_redis import errors
from kombu_redis.resp import pack
from kombu_redis.waiting import LOOK_AGAIN, Waiter, drain

from .listening import Listener
from .slots import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("ClusterWaiter",)

#: Most queues that a connection is always struck off.
FEW = 8
#: Seconds of work that may keep others waiting; longer ones are half forgotten after so many seconds, and may have been
#: so many together: a hundredth of the time.
SHORT, HALF_LIFE, TOLERATED = 0.005, 10.0, 0.15

_TROUBLE = (errors.ConnectionLost, errors.NoReply, errors.Unavailable)


class ClusterWaiter(Waiter):
    """What one connection waits on: its channels, broadcasts, and :meth:`wake`."""

    def __init__(self, transport: Any, broadcasts: Any) -> None:
        super().__init__(transport, broadcasts)
        self._transport: Any = transport
        self._broadcasts: Any = broadcasts
        self._listener = Listener(transport, "wait", self._woken)
        #: Queue -> its wake-up key, of those that it is entered with.
        self._entered: dict[str, str] = {}
        self._look_at = 0.0
        #: Connections over which this was done before.
        self._knowing: set[object] = set()
        #: It has something else to do than to wait.
        self._busy = False
        #: Since when the consumers work, and how long they did so when that was not short; until when that was counted.
        self._working_since: float | None = None
        self._worked = 0.0
        self._counted_at = self._check_at = 0.0

    def _channel(self, queue: str) -> str:
        keys = self._transport.keys.of(queue)
        return str(keys.private_wake(self._transport.identity))

    # -- asking --------------------------------------------------------------------------------------------

    def ask(self, queues: Iterable[str]) -> None:
        """Be entered with these queues: those that are new, or all when it was long ago."""
        self._busy = False
        now = monotonic()
        if now >= self._look_at:
            self._entered.clear()
            self._look_at = now + LOOK_AGAIN
        shards: dict[int, list[str]] = {}
        for queue in set(queues):
            if queue not in self._entered:
                shards.setdefault(shard_of(queue), []).append(queue)
        if shards:
            self._listener.listen([self._channel(some[0]) for some in shards.values()])
        for number, some in shards.items():
            self._enter(number, some)

    def _enter(self, number: int, queues: list[str]) -> None:
        transport = self._transport
        store = transport.store.shard(number)
        specs = [(queue, transport.state.queues.get(queue)) for queue in queues]
        packed = store.pack_enlist(
            [(queue, spec.policy.max_priority if spec is not None else None) for queue, spec in specs],
            self._channel(queues[0]),
        )
        line = store.line
        try:
            if line.connects in self._knowing:
                line.write(packed, 1)
            else:  # its server may have to learn the script first
                line.request(packed, wait=False)
                self._knowing.add(line.connects)
        except _TROUBLE:
            return  # the next look for messages says so
        self._entered.update((queue, transport.keys.wake(queue)) for queue in queues)

    def withdraw(self) -> None:
        """There is something to do: have others woken instead."""
        self._busy = True
        if len(self._entered) <= FEW or self._worked > TOLERATED:
            self._strike_off()
        self._working_since = monotonic()

    def _strike_off(self) -> None:
        shards: dict[int, list[bytes]] = {}
        for queue, key in self._entered.items():
            shards.setdefault(shard_of(queue), []).append(pack("ZREM", key, self._channel(queue)))
        self._entered.clear()
        for number, commands in shards.items():
            line = self._transport.store.shard(number).line
            try:
                if line.connected:
                    line.write(b"".join(commands), len(commands))
            except _TROUBLE:
                pass  # (the next look for messages says so)

    def pause(self) -> None:
        """The consumers have worked off what there was."""
        now = monotonic()
        if now >= self._check_at:  # (also where messages leave no time to sleep)
            self._check_at = now + LOOK_AGAIN
            self._listener.check()
        if self._working_since is None:
            return
        work = now - self._working_since
        self._worked *= 0.5 ** ((now - self._counted_at) / HALF_LIFE)
        self._worked += work if work > SHORT else 0
        self._counted_at, self._working_since = now, None

    @property
    def is_listening(self) -> bool:
        """Whether it waits, and has nothing else to do."""
        return not self._busy

    @property
    def overdue(self) -> bool:
        """Whether it is time to look for messages again."""
        return monotonic() >= self._look_at

    @property
    def needs_a_clock(self) -> bool:
        """Nobody else ends the sleep of an event loop."""
        return True

    def _woken(self, channel: str, key: bytes) -> None:
        queue = self._transport.keys.queue_of_wake(key.decode("utf-8", "surrogateescape"))
        self._tokens.append(queue)
        self._entered.pop(queue, None)

    # -- sleeping ------------------------------------------------------------------------------------------

    def filenos(self) -> list[int]:
        """The descriptors to wait for."""
        return [self._pipe_ends()[0], *self._listener.filenos(), *self._broadcasts.filenos()]

    def sleep(self, timeout: float | None) -> list[int]:
        """Wait until a descriptor is readable, at most ``timeout`` seconds: those that are."""
        if self._tokens:
            return [self._pipe_ends()[0]]
        left = self._transport.lulls.left
        return super().sleep(left if timeout is None else min(timeout, left))

    def check(self) -> None:
        """Whether the nodes still answer; to be called now and then."""
        self._listener.check()
        self._broadcasts.check()

    def read(self, ready: Iterable[int]) -> None:
        """Take in what is readable; see :meth:`tokens`."""
        for fileno in ready:
            if self._pipe is not None and fileno == self._pipe[0]:
                drain(fileno)
            else:
                self._listener.read(fileno)
                self._broadcasts.read(fileno)

    def clients(self) -> list[Any]:
        """The clients it uses."""
        return self._listener.clients()

    def close(self) -> None:
        """Close the sockets, for good."""
        self._entered.clear()
        self._listener.close()
        super().close()
