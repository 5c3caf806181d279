"""How a connection that consumes from many queues is told of their messages.

A BRPOP of hundreds of wake-up lists would be sent and taken apart again for each message. Such a connection is
entered in a list for each queue instead, once, and says before it sleeps that it does, by a key with a short life.
Whoever makes a message ready takes the first of the list that sleeps, and tells it by pub/sub (``lua/tokens.lua``).
Whoever was told is not entered any more, until it looks at that queue again.

Nothing depends on being told: as all others the connection looks at its queues every half a second.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from .resp import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .transport import Transport

__all__ = ("FEW", "Roll")

#: Most queues whose wake-up lists are popped.
FEW = 64
#: Seconds that entries last at the server, and after which they are made anew.
LIFE, RENEW = 60, 20.0
#: Seconds that the sign of sleeping outlives the sleep: the server may be a bit late, and so may the next look.
MARGIN = 0.1


class Roll:
    """The queues that one connection is entered with."""

    def __init__(self, transport: Transport) -> None:
        #: Whether it is entered: it consumes from many queues.
        self.is_used = False
        #: Queues it consumes from and is not entered with.
        self.missing: set[str] = set()
        #: Queues it was told of and has not seen to.
        self.told: list[str] = []
        #: The next look is likely to find something: it need not be entered yet.
        self.expects = False
        self._transport = transport
        self._name = transport.keys.idle(transport.identity)
        self._queues: set[str] = set()
        #: Queues it was told of, so that it is surely not entered with them.
        self._out: set[str] = set()
        self._consumers: object = None
        self._session: tuple[int, int] | None = None
        self._renew_at = 0.0
        #: Until when the server takes it for asleep, at most.
        self._idle_until = 0.0
        self._was_told = False
        #: Looks that have found something, one after the other.
        self._row = 0

    def prepare(self) -> None:
        """Before it is known what to look at: whether it is used, and whether the server may have lost something."""
        transport = self._transport
        if self._consumers is not transport.consumers:
            self._consumers = transport.consumers
            queues = {each.queue for each in transport.consumers}
            self.missing = (self.missing & queues) | (queues - self._queues)
            self._queues = queues
            # (in another order messages are claimed one by one, and the other queues would be told of each time)
            self.is_used = transport.enlists and transport.takes_turns and len(queues) > FEW
        if not self.is_used:
            self.expects = False
            return
        transport.broadcasts.hear(self._name, self._hear)
        session = transport.server.connects, transport.broadcasts.sessions
        now = monotonic()
        if now >= self._renew_at or session != self._session:
            self._session, self._renew_at = session, now + RENEW
            self.missing |= self._queues
            self._out.clear()
        self.expects, self._was_told = self._was_told or self._row > 1, False

    def _hear(self, key: bytes) -> None:
        queue = self._transport.keys.queue_of_wake(key.decode("utf-8", "surrogateescape"))
        self._idle_until = 0.0
        self._was_told = True
        if queue in self._queues:
            self.missing.add(queue)
            self._out.add(queue)
        self.told.append(queue)

    def enter(self, queues: Iterable[str]) -> None:
        """Have this connection entered in the request that looks at these queues, or before.

        In this order: what comes before the look is found by it, and of what comes later the connection is told. A
        token that lies there, since nobody was entered, is for whoever looks.
        """
        keys, name = self._transport.keys, self._name
        commands = []
        for queue in self.missing.intersection(queues):
            entries = keys.enlisted(queue)
            if queue not in self._out:
                commands.append(pack("LREM", entries, 0, name))
            commands.append(pack("RPUSH", entries, name))
            commands.append(pack("PEXPIRE", entries, 1000 * LIFE))
            commands.append(pack("DEL", keys.wake(queue)))
            self.missing.discard(queue)
            self._out.discard(queue)
        if commands:
            self._transport.server.buffer(b"".join(commands), len(commands), self._check)

    def _check(self, replies: list[Any]) -> None:
        error = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if error is not None:
            self._transport.server.on_late_error(error)

    def doubt(self, queues: Iterable[str]) -> None:
        """Messages were found here that nobody told of: the entries may be lost."""
        self.missing.update(queues)

    def sleep(self, along: bool = False) -> None:
        """Have the server take this connection for asleep, until all queues are looked at again.

        Arguments:
            along: it is enough when it goes with the next request.
        """
        left = self._transport.lulls.left
        now = monotonic()
        if self._idle_until >= now + left:
            return
        packed = pack("SET", self._name, "1", "PX", int(1000 * (left + MARGIN)))
        server = self._transport.server
        (server.buffer if along else server.write)(packed, 1)
        self._idle_until = now + left + MARGIN

    def looked(self, found: bool) -> None:
        """All that had to be looked at was: when there is something to do, others are to be told."""
        self._row = self._row + 1 if found else 0
        if found and self._idle_until > monotonic():
            self._transport.server.write(pack("DEL", self._name), 1)
            self._idle_until = 0.0

    def close(self) -> None:
        """Have the connection struck off, with what else closing sends."""
        server, keys = self._transport.server, self._transport.keys
        if self._session is None or not server.connected:
            return
        commands = [pack("LREM", keys.enlisted(queue), 0, self._name) for queue in self._queues - self.missing]
        commands.append(pack("DEL", self._name))
        server.buffer(b"".join(commands), len(commands), self._check)
        self._session = None
