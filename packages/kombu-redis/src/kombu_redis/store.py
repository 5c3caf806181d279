"""Messages at the server: typed Python over the scripts in ``lua/``, whose headers say what each promises.

A message is in a list, in the sorted set of delayed ones, or leased: in the hash ``unacked`` and its index. Every step
between those is one script, so that a process may die at any moment. Leases have tags that nobody else uses, made of
a prefix and a number; whoever moves or acknowledges a message names its tag and does nothing when it is gone.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from kombu.log import get_logger
from kombu.utils.uuid import uuid

from .outlet import Check, Limits, Outlet, Target, bulk, bulks
from .replies import Leased, Unreadable, header_of, leased, tags_of
from .resp import pack
from .scripts import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
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
)

logger = get_logger(__name__)

#: Most messages of one call of a script.
MOST = 1000

#: Acknowledgements that wait for the next request at most.
ACKS = 16

#: Seconds that nobody else tries what one connection has begun.
TRY = 2

_NUMBERS = [bulk(number) for number in range(MOST + 1)]


@cache
def script(name: str, *before: str) -> Script:
    """The script ``lua/<name>.lua`` behind those it needs."""
    folder = files("kombu_redis") / "lua"
    return Script(name, "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in (*before, name)))


class Source(NamedTuple):
    """A queue to claim from."""

    queue: str
    #: The declaration in the hash of queues as the client knows it, raw; "" for a queue nobody declared.
    declared: str | bytes = ""
    max_priority: int | None = None
    #: The queue is limited by bytes, which are counted.
    counts_bytes: bool = False


class Claimed(NamedTuple):
    """What a claim has brought, in the order of delivery."""

    messages: list[Leased] = []
    unreadable: list[Unreadable] = []
    #: Queues whose declaration is not what the client knows: deleted, changed, or the server has lost its data.
    stale: list[str] = []
    #: Queues that delayed messages have come into, which may be above their limits now.
    promoted: list[str] = []
    #: Number of the first tag of the next claim with this prefix.
    next: int = 0


class Pushed(NamedTuple):
    """What has become of a push."""

    #: Index of the check that did not hold, so that nothing was done.
    stale: int | None = None
    #: (index of the message, index of the target) that was full.
    refused: list[tuple[int, int]] = []
    #: What had to give way, held by this connection.
    dropped: list[Leased] = []
    unreadable: list[Unreadable] = []
    #: How many gave way and are gone.
    lost: int = 0


DONE = Pushed()


class Move(NamedTuple):
    """One destination of a leased message."""

    queue: str
    level: str
    #: None: as it was taken.
    payload: bytes | None = None
    #: Seconds since the epoch.
    expires_at: float | None = None
    front: bool = True
    #: The queue was declared: the message goes nowhere when it no longer is.
    declared: bool = False


class Due(NamedTuple):
    """An entry whose lease is over; see :meth:`Store.restore`."""

    tag: str
    #: JSON [payload, exchange, routing key]; ours have "" and the queue.
    value: bytes
    score: bytes


class Store:
    """The messages at one server.

    Arguments:
        client: the command socket; its lock is held during each call.
    """

    def __init__(self, client: Client, keys: Keys, options: Options) -> None:
        self._client = client
        self._keys = keys
        self._visibility = options.visibility_timeout
        self._lease = options.lease
        self._own = f"{uuid()}."
        self._calls = count(1).__next__
        self._claims: dict[Any, bytes] = {}
        self._acks: list[str] = []
        #: Called with how many acknowledgements of how many came too late.
        self.on_late_ack: Callable[[int, int], object] = _log_late_ack

    # -- out of a list, into the lease ---------------------------------------------------------------------

    def claim(
        self,
        sources: tuple[Source, ...],
        limits: Sequence[int],
        prefix: str,
        first: int,
        *,
        limit: int = MOST,
        begin: int = 0,
    ) -> Claimed:
        """Take up to ``limits`` messages of each queue into the lease; in one round trip, with waiting acks.

        Arguments:
            prefix: begins all tags; no quotes, and nobody else's.
            first: number of the first tag.
            limit: for all queues together.
            begin: index of the queue whose turn it is.
        """
        key = (sources, prefix)
        head = self._claims.get(key)
        if head is None:
            head = self._claims[key] = self._claim_head(sources, prefix)
        numbers = _NUMBERS
        reply = self._request(
            b"%b%b%b%b%b"
            % (
                head,
                bulk(first),
                numbers[min(limit, MOST)],
                numbers[begin],
                b"".join([numbers[max(0, min(each, MOST))] for each in limits]),
            )
        )
        if reply is None:
            return Claimed(next=first)
        return self._claimed(reply, sources, prefix, first)

    def _claim_head(self, sources: tuple[Source, ...], prefix: str) -> bytes:
        if len(self._claims) >= 64:
            self._claims.clear()
        keys = self._keys
        names: list[Argument] = [keys.queues]
        about: list[Argument] = [len(sources), prefix, self._score, keys.sep]
        for queue, declared, max_priority, counts in sources:
            levels = keys.levels(queue, max_priority)
            names += (keys.unacked(queue), keys.unacked_index(queue), keys.wake(queue))
            names += (keys.delayed(queue), keys.bytes(queue), *levels)
            about += (queue, declared, "1" if counts else "", len(levels))
        claim = script("claim", "common")
        return (
            claim.head(len(names), len(names) + len(about) + 3 + len(sources)) + bulks(names) + bulks(about)
        )

    def _claimed(self, reply: bytes, sources: tuple[Source, ...], prefix: str, first: int) -> Claimed:
        runs, stale, promoted = header_of(reply)
        taken = []
        total = 0
        for at, level, many in runs:
            source = sources[at]
            taken.append((source.queue, self._keys.levels(source.queue, source.max_priority)[level], many))
            total += many
        messages, unreadable = (
            leased(reply, taken, tags_of(prefix, first, total), self._values) if total else ([], [])
        )
        return Claimed(
            messages,
            unreadable,
            [sources[at].queue for at in stale],
            [sources[at].queue for at in promoted],
            first + total,
        )

    def _values(self, tags: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = self._client.call("HMGET", self._keys.unacked(""), *tags)
        return found

    @property
    def _score(self) -> float:
        """What an index entry made now has above the present: restorers add the visibility timeout to it."""
        return self._lease - self._visibility

    # -- out of the lease ----------------------------------------------------------------------------------

    def ack(self, tag: str, now: bool = False) -> None:
        """The message is done with. With ``now`` that leaves at once, else with the next request or :meth:`flush`."""
        self._acks.append(tag)
        if now or len(self._acks) >= ACKS:
            self.flush()

    def flush(self) -> None:
        """Send the acknowledgements that wait; their replies are read later."""
        with self._client.lock:
            if self._acks:
                self._client.write(*self._pack_acks())

    def forget(self) -> None:
        """In a forked child: what waits here is the parent's."""
        self._acks = []

    def _pack_acks(self) -> tuple[bytes, int, Callable[[list[Any]], object]]:
        tags, self._acks = self._acks, []
        asked = len(tags)

        def check(replies: list[Any]) -> None:
            for reply in replies:
                if isinstance(reply, Exception):
                    self._client.on_late_error(reply)
                    return
            if replies[0] < asked:
                self.on_late_ack(asked - replies[0], asked)

        names = [b"$%d\r\n%b\r\n" % (len(data), data) for data in [tag.encode() for tag in tags]]
        arguments = b"".join(names)
        # The message first: an index entry without one is removed by whoever finds it.
        return (
            b"*%d\r\n$4\r\nHDEL\r\n%b%b*%d\r\n$4\r\nZREM\r\n%b%b"
            % (
                asked + 2,
                bulk(self._keys.unacked("")),
                arguments,
                asked + 2,
                bulk(self._keys.unacked_index("")),
                arguments,
            ),
            2,
            check,
        )

    def _request(self, packed: bytes) -> Any:
        client = self._client
        with client.lock:
            if self._acks:
                client.buffer(*self._pack_acks())
            return client.request(packed)

    def give_back(self, queue: str, entries: Sequence[tuple[str, Move]]) -> list[str]:
        """Put messages of one queue (tag and where to, oldest first) back in front, in their order.

        Returns: the tags that were not ours any more.
        """
        return self.move(queue, [(tag, "", (to,)) for tag, to in reversed(entries)])

    def move(self, queue: str, entries: Sequence[tuple[str, str | bytes, Sequence[Move]]]) -> list[str]:
        """Move leased messages to where they belong now, each in one step.

        Arguments:
            queue: where they came from ("" when all payloads are given).
            entries: tag, the score it must have ("" for any), destinations. In front, the last one is delivered first.

        Returns: the tags of those that were not ours any more.
        """
        lost: list[str] = []
        for start in range(0, len(entries), MOST):
            chunk = entries[start : start + MOST]
            lost += [chunk[at][0] for at in self._request(self._pack_move(queue, chunk))]
        return lost

    def _pack_move(self, queue: str, entries: Sequence[tuple[str, str | bytes, Sequence[Move]]]) -> bytes:
        keys = self._keys
        names: list[Argument] = [
            keys.unacked(queue),
            keys.unacked_index(queue),
            keys.queues,
            keys.alive,
            keys.expiring,
        ]
        lists: dict[str, int] = {}
        about: list[Argument] = []
        arguments: list[Argument] = []
        for tag, score, moves in entries:
            arguments += (tag, score, len(moves))
            for to in moves:
                at = lists.get(to.level)
                if at is None:
                    at = lists[to.level] = len(lists)
                    names += (to.level, keys.wake(to.queue), keys.bytes(to.queue))
                    about += (to.queue, "1" if to.declared else "")
                arguments += (
                    at,
                    "front" if to.front else "back",
                    "" if to.expires_at is None else to.expires_at,
                    "" if to.payload is None else to.payload,
                )
        return script("move", "common").pack(names, [queue, len(lists), *about, *arguments])

    def set_aside(self, queue: str, tags: Sequence[str]) -> list[str]:
        """Move what cannot be decoded to the queue's list of such payloads, its bytes as they came.

        Returns: the tags that were not ours any more.
        """
        aside = Move(queue, self._keys.undecodable(queue), front=False)
        return self.move(queue, [(tag, "", (aside,)) for tag in tags])

    # -- the lease -----------------------------------------------------------------------------------------

    def renew(self, tags: Sequence[str], lease: float | None = None) -> list[str]:
        """Hold the messages for ``lease`` seconds from now on; the tags that are lost."""
        if not tags:
            return []
        score = (self._lease if lease is None else lease) - self._visibility
        reply = self._request(script("renew", "common").pack([self._keys.unacked_index("")], [score, *tags]))
        return [tags[at] for at in reply]

    def fetch_due(self, limit: int = 100) -> list[Due]:
        """Entries whose lease is over, the one to be delivered last first; nobody else gets them for 2 seconds."""
        keys = self._keys
        fetch = script("fetch_due", "common")
        reply = self._request(
            fetch.pack([keys.unacked(""), keys.unacked_index("")], [self._visibility, min(limit, MOST), TRY])
        )
        if not reply:
            return []
        score, *found = reply
        return [Due(tag.decode(), value, score) for tag, value in zip(found[::2], found[1::2], strict=True)]

    def restore(self, entries: Sequence[tuple[Due, Sequence[Move]]]) -> list[str]:
        """Move fetched entries to their destinations, in the order they were fetched; those in front thus come oldest first.

        Returns: the tags whose holder has renewed, acknowledged or given back meanwhile.
        """
        return self.move("", [(due.tag, due.score, moves) for due, moves in entries])

    # -- into the lists ------------------------------------------------------------------------------------

    def outlet(
        self,
        targets: Sequence[Target],
        checks: Sequence[Check] = (),
        channel: str | None = None,
        *,
        shared: bool = False,
    ) -> Outlet:
        """A route to push to; worth keeping."""
        push = script("push", "common", "checks")
        return Outlet(push, self._keys, targets, checks, channel, shared, self._score)

    def push(
        self, outlet: Outlet, payloads: Sequence[bytes], stamps: Sequence[float | None] | None = None
    ) -> Pushed:
        """Append messages; see :meth:`Outlet.pack`. Without payloads the limits of the queues are enforced."""
        lease = self._drops() if outlet.limited else ""
        reply = self._request(outlet.pack(payloads, stamps, lease))
        return DONE if reply == 1 else self._pushed(outlet, lease, reply)

    def push_many(
        self, batch: Iterable[tuple[Outlet, Sequence[bytes], Sequence[float | None] | None]]
    ) -> list[Pushed | Exception]:
        """As :meth:`push` for several outlets, in one write."""
        calls = [(outlet, self._drops() if outlet.limited else "", *rest) for outlet, *rest in batch]
        packed = [outlet.pack(payloads, stamps, lease) for outlet, lease, payloads, stamps in calls]
        client = self._client
        with client.lock:
            if self._acks:
                client.buffer(*self._pack_acks())
            replies = client.attempt(packed)
        return [
            DONE
            if reply == 1
            else reply
            if isinstance(reply, Exception)
            else self._pushed(call[0], call[1], reply)
            for call, reply in zip(calls, replies, strict=True)
        ]

    def _drops(self) -> str:
        return f"{self._own}{self._calls()}."

    def _pushed(self, outlet: Outlet, prefix: str, reply: Any) -> Pushed:
        if isinstance(reply, int):
            return Pushed(stale=-reply - 1)
        refused, dropped, lost = header_of(reply)
        runs = []
        total = 0
        for target, level, many in dropped:
            queue, _, limits = outlet.targets[target]
            runs.append((queue, self._keys.levels(queue, limits and limits.max_priority)[level], many))
            total += many
        messages, unreadable = (
            leased(reply, runs, tags_of(prefix, 1, total), self._values) if total else ([], [])
        )
        return Pushed(None, [(message, target) for message, target in refused], messages, unreadable, lost)

    def push_delayed(
        self,
        targets: Sequence[tuple[Target, bytes, float | None]],
        due: float,
        checks: Sequence[Check] = (),
    ) -> Pushed:
        """Append a message to queues when ``due`` (seconds since the epoch): target, payload, when it expires."""
        keys = self._keys
        names: list[Argument] = [check.key for check in checks]
        about: list[Argument] = [len(checks), len(targets), due, keys.sep]
        about += [part for check in checks for part in (check.kind, check.field, check.expected)]
        names.append(keys.expiring)
        for (queue, level, _), payload, expires_at in targets:
            names.append(keys.delayed(queue))
            step = level[len(keys.level(queue, 0)) + len(keys.sep) :] or "0"
            about += (queue, step, "" if expires_at is None else expires_at, payload)
        reply = self._request(script("delay", "common", "checks").pack(names, about))
        return DONE if reply == 1 else Pushed(stale=-reply - 1)

    # -- time ----------------------------------------------------------------------------------------------

    def due_to_expire(self, limit: int = 100) -> list[str]:
        """Queues of which a message may have expired; nobody else gets them for 2 seconds. See :meth:`expire`."""
        return [name.decode() for name in self.due(self._keys.expiring, limit)]

    def due(self, key: str, limit: int = 100) -> list[bytes]:
        """Members of a sorted set whose time has come; nobody else gets them for 2 seconds."""
        found: list[bytes] = self._request(script("due", "common").pack([key], [limit, TRY]))
        return found

    def expire(
        self, queue: str, max_priority: int | None = None, limit: int = 100, look_again: float = 5.0
    ) -> tuple[list[Leased], list[Unreadable]]:
        """Take expired messages from the front of a queue into the lease."""
        keys = self._keys
        levels = keys.levels(queue, max_priority)
        prefix = self._drops()
        names = [
            keys.unacked(queue),
            keys.unacked_index(queue),
            keys.expiring,
            keys.bytes(queue),
            keys.delayed(queue),
        ]
        about: list[Argument] = [queue, prefix, self._score, min(limit, MOST), look_again]
        reply = self._request(script("expire", "common").pack([*names, *levels], about))
        if reply is None:
            return [], []
        runs = header_of(reply)
        taken = [(queue, levels[level], many) for level, many in runs]
        return leased(reply, taken, tags_of(prefix, 1, sum(many for _, many in runs)), self._values)

    # -- queues --------------------------------------------------------------------------------------------

    def size(self, queue: str, max_priority: int | None = None) -> int:
        """How many messages are ready."""
        levels = self._keys.levels(queue, max_priority)
        if len(levels) == 1:
            return int(self._request(pack("LLEN", levels[0])))
        return int(self._request(script("size", "common").pack(levels)))

    def size_bytes(self, queue: str, max_priority: int | None = None) -> int:
        """Bytes of the bodies that are ready."""
        levels = self._keys.levels(queue, max_priority)
        return int(self._request(script("size_bytes", "common").pack([self._keys.bytes(queue), *levels])))

    def purge(self, queue: str, max_priority: int | None = None) -> int:
        """Remove what is ready; how many messages that were."""
        levels = self._keys.levels(queue, max_priority)
        return int(self._request(script("purge", "common").pack([self._keys.bytes(queue), *levels])))

    def keys_of(self, queue: str, max_priority: int | None = None) -> list[str]:
        """Every key that goes with the queue; what could not be decoded is kept."""
        keys = self._keys
        own = [keys.delayed(queue), keys.wake(queue), keys.consumers(queue), keys.bytes(queue)]
        return [*keys.levels(queue, max_priority), *own]

    # -- waking --------------------------------------------------------------------------------------------

    def pass_on(self, token: str) -> None:
        """Leave a token, taken by somebody who has no use for it, to the next who waits."""
        self._request(script("wake", "common").pack([token]))

    nudge = pass_on


def _log_late_ack(late: int, asked: int) -> None:
    logger.warning("%d of %d acknowledgements came after the end of the lease: delivered again", late, asked)
