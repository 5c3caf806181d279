"""How a connection to a cluster sleeps, and is woken once for each message.

A blocking pop waits for keys of one slot only. So an idle connection enters itself with each queue it waits for, and
hears of a message on a channel of its own in that queue's slot: whoever makes a message ready tells the one that has
waited longest (``lua/waiters.lua``). One socket a node serves any number of queues. As on a single server every
connection looks again after half a second, so nothing depends on being woken.
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
        #: Wake-up keys it was told.
        self._tokens: list[str] = []

    def _channel(self, queue: str) -> str:
        keys = self._transport.keys.of(queue)
        return str(keys.private_wake(self._transport.identity))

    # -- asking --------------------------------------------------------------------------------------------

    def ask(self, queues: Iterable[str]) -> None:
        """Be entered with these queues: those that are new, or all when it was long ago."""
        now = monotonic()
        if now >= self._look_at:
            self._entered.clear()
        fresh = [queue for queue in queues if queue not in self._entered]
        if not fresh:
            return
        self._look_at = now + LOOK_AGAIN
        channels = {queue: self._channel(queue) for queue in fresh}
        self._listener.listen(channels.values())
        for queue, channel in channels.items():
            self._enter(queue, channel)

    def _enter(self, queue: str, channel: str) -> None:
        transport = self._transport
        spec = transport.state.queues.get(queue)
        store = transport.store.shard(shard_of(queue))
        packed = store.pack_enlist(queue, spec.policy.max_priority if spec is not None else None, channel)
        line = store.line
        try:
            if line.connects in self._knowing:
                line.write(packed, 1)
            else:  # its server may have to learn the script first
                line.request(packed, wait=False)
                self._knowing.add(line.connects)
        except (errors.ConnectionLost, errors.NoReply, errors.Unavailable):
            return  # the next look for messages says so
        self._entered[queue] = transport.keys.wake(queue)

    def withdraw(self) -> None:
        """There is something to do: have others woken instead."""
        for queue, key in self._entered.items():
            store = self._transport.store.shard(shard_of(queue))
            if store.line.connected:
                store.line.buffer(pack("ZREM", key, self._channel(queue)), 1)
        self._entered.clear()

    @property
    def overdue(self) -> bool:
        """Whether it is time to look for messages again."""
        return monotonic() >= self._look_at

    def _woken(self, channel: str, key: bytes) -> None:
        token = key.decode()
        self._tokens.append(token)
        self._entered = {queue: known for queue, known in self._entered.items() if known != token}

    # -- sleeping ------------------------------------------------------------------------------------------

    def filenos(self) -> list[int]:
        """The descriptors to wait for."""
        return [self._pipe_ends()[0], *self._listener.filenos(), *self._broadcasts.filenos()]

    def sleep(self, timeout: float | None) -> list[int]:
        """Wait until a descriptor is readable, at most ``timeout`` seconds: those that are."""
        if self._tokens:
            return [self._pipe_ends()[0]]
        return super().sleep(timeout)

    def check(self) -> None:
        """Whether the nodes still answer; to be called now and then."""
        self._listener.check()
        self._broadcasts.check()

    def read(self, ready: Iterable[int]) -> str | None:
        """Take in what is readable; nothing is returned, see :meth:`tokens`."""
        for fileno in ready:
            if self._pipe is not None and fileno == self._pipe[0]:
                drain(fileno)
            else:
                self._listener.read(fileno)
                self._broadcasts.read(fileno)
        return None

    def tokens(self) -> list[str]:
        """The wake-up keys of which something was heard."""
        tokens, self._tokens = self._tokens, []
        return tokens

    def clients(self) -> list[Any]:
        """The clients it uses."""
        return self._listener.clients()

    def close(self) -> None:
        """Close the sockets, for good."""
        self._entered.clear()
        self._listener.close()
        super().close()
