"""Messages at the server: typed Python over the scripts in ``lua/``, whose headers say what each promises.

A message is in a list, in the sorted set of delayed ones, or leased: in the hash ``unacked`` and its index. Every step
between those is one script, so that a process may die at any moment. Leases have tags that nobody else uses, made of
a prefix and a number; whoever moves or acknowledges a message names its tag and does nothing when it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .calls import TRY, Calls
from .claiming import Claimed, Claims, Source, header_of
from .moving import Due, Move, Moves
from .outlet import Check, Limits, Outlet, Streams, Target
from .replies import Leased, Run, Unreadable
from .resp import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from .client import Client
    from .keys import Keys
    from .options import Options
    from .resp import Argument

__all__ = (
    "Check",
    "Claimed",
    "Due",
    "Leased",
    "Limits",
    "Move",
    "Outlet",
    "Pushed",
    "Source",
    "Store",
    "Target",
    "Unreadable",
)


class Pushed(NamedTuple):
    """What has become of a push."""

    #: Index of the check that did not hold, so that nothing was done.
    stale: int | None = None
    #: (index of the message, index of the target) that was full.
    refused: Sequence[tuple[int, int]] = ()
    #: What had to give way, held by this connection.
    dropped: Sequence[Leased] = ()
    unreadable: Sequence[Unreadable] = ()
    #: How many gave way and are gone.
    lost: int = 0
    #: Queues that have the message although another has not: those of another node.
    reached: frozenset[str] = frozenset()

    @property
    def gave_way(self) -> list[Leased | Unreadable]:
        """What had to, readable or not."""
        return [*self.dropped, *self.unreadable]


DONE = Pushed()


class Store(Claims, Moves, Calls):
    """The messages at one server.

    Arguments:
        client: the command socket; its lock is held during each call.
    """

    def __init__(self, client: Client, keys: Keys, options: Options) -> None:
        super().__init__(client, keys, options)
        self._claims = {}

    # -- into the lists ------------------------------------------------------------------------------------

    def outlet(
        self,
        targets: Sequence[Target],
        checks: Sequence[Check] = (),
        channel: str | None = None,
        *,
        shared: bool = False,
        streams: Streams | None = None,
    ) -> Outlet:
        """A route to push to; worth keeping."""
        push = self._script("push", "common", "checks", "broadcast")
        plain = self._script("push_plain", "checks", self.waking)
        return Outlet((push, plain), self._keys, targets, checks, channel, shared, self._score, streams)

    def push(
        self, outlet: Outlet, payloads: Sequence[bytes], stamps: Sequence[float | None] | None = None
    ) -> Pushed:
        """Append messages; see :meth:`Outlet.pack`. Without payloads the limits of the queues are enforced."""
        lease = self.new_prefix() if outlet.limited else ""
        reply = self._publish(outlet.pack(payloads, stamps, lease))
        return DONE if reply == 1 else self.pushed(outlet, lease, reply)

    def push_many(
        self, batch: Iterable[tuple[Outlet, Sequence[bytes], Sequence[float | None] | None]]
    ) -> list[Pushed | Exception]:
        """As :meth:`push` for several outlets; each part is on its way while the next one is being made."""
        calls: list[tuple[Outlet, str]] = []

        def packed() -> Iterator[bytes]:
            for outlet, payloads, stamps in batch:
                lease = self.new_prefix() if outlet.limited else ""
                calls.append((outlet, lease))
                yield outlet.pack(payloads, stamps, lease)

        client = self._client
        with client.lock:
            self.send_acks_along()
            replies = client.stream(packed())
            if self._copies:
                self.await_copies()
        return [
            DONE
            if reply == 1
            else reply
            if isinstance(reply, Exception)
            else self.pushed(outlet, lease, reply)
            for (outlet, lease), reply in zip(calls, replies, strict=True)
        ]

    def pushed(self, outlet: Outlet, prefix: str, reply: Any) -> Pushed:
        """Read the reply to a call that an outlet has packed."""
        if reply == 1:
            return DONE
        if isinstance(reply, int):
            return Pushed(stale=-reply - 1)
        refused, dropped, lost = header_of(reply[0])
        runs: list[Run] = []
        for target, level, many in dropped:
            queue, _, limits = outlet.targets[target]
            runs.append((queue, self._keys.levels(queue, limits and limits.max_priority)[level], many))
        messages, unreadable = self._parser.messages(reply[1:], runs, prefix, 1) if runs else ((), ())
        return Pushed(None, [(message, target) for message, target in refused], messages, unreadable, lost)

    def push_delayed(
        self,
        targets: Sequence[tuple[Target, bytes, float | None]],
        due: float,
        checks: Sequence[Check] = (),
    ) -> Pushed:
        """Append a message to queues when ``due`` (seconds since the epoch): target, payload, when it expires."""
        keys = self._keys
        names: list[Argument] = [key for _, key, _, _ in checks]
        about: list[Argument] = [len(checks), len(targets), due, keys.sep]
        about += [part for kind, _, *rest in checks for part in (kind, *rest)]
        names.append(keys.expiring)
        for (queue, level, _), payload, expires_at in targets:
            names.append(keys.delayed(queue))
            step = level[len(keys.level(queue, 0)) + len(keys.sep) :] or "0"
            about += (queue, step, "" if expires_at is None else expires_at, payload)
        reply = self._publish(self._script("delay", "common", "checks").pack(names, about))
        return DONE if reply == 1 else Pushed(stale=-reply - 1)

    # -- time ----------------------------------------------------------------------------------------------

    def due_to_expire(self, limit: int = 100) -> list[str]:
        """Queues of which a message may have expired; nobody else gets them for 2 seconds. See :meth:`expire`."""
        return [name.decode() for name in self.due(self._keys.expiring, limit)]

    def due(self, key: str, limit: int = 100) -> list[bytes]:
        """Members of a sorted set whose time has come; nobody else gets them for 2 seconds."""
        found: list[bytes] = self._request(self.pack_due(key, limit))
        return found

    def pack_due(self, key: str, limit: int) -> bytes:
        """The call of due.lua."""
        return self._script("due", "common").pack([key], [limit, TRY])

    # -- queues --------------------------------------------------------------------------------------------

    def size(self, queue: str, max_priority: int | None = None) -> int:
        """How many messages are ready."""
        levels = self._keys.levels(queue, max_priority)
        if len(levels) == 1:
            return int(self._request(pack("LLEN", levels[0])))
        return int(self._request(self._script("size", "common").pack(levels)))

    def size_bytes(self, queue: str, max_priority: int | None = None) -> int:
        """Bytes of the bodies that are ready."""
        levels = self._keys.levels(queue, max_priority)
        return int(self._request(self._script("size_bytes", "common").pack([self._keys.bytes(queue), *levels])))

    def purge(self, queue: str, max_priority: int | None = None) -> int:
        """Remove what is ready; how many messages that were."""
        levels = self._keys.levels(queue, max_priority)
        return int(self._request(self._script("purge", "common").pack([self._keys.bytes(queue), *levels])))

    def keys_of(self, queue: str, max_priority: int | None = None) -> list[str]:
        """Every key that goes with the queue; what could not be decoded is kept."""
        keys = self._keys
        own = [keys.delayed(queue), keys.wake(queue), keys.consumers(queue), keys.bytes(queue)]
        return [*keys.levels(queue, max_priority), *own]

    # -- waking --------------------------------------------------------------------------------------------

    def pass_on(self, token: str) -> None:
        """Leave a token, taken by somebody who has no use for it, to the next who waits."""
        self._request(self._script("wake", "common").pack([token]))

    nudge = pass_on

    def broadcast(self, channel: str, payload: bytes) -> None:
        """Publish on a pub/sub channel."""
        self._request(pack("PUBLISH", channel, payload))
