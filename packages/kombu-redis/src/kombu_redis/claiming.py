"""Taking messages out of their lists, into the lease."""

from __future__ import annotations

from functools import lru_cache
from json import loads
from typing import TYPE_CHECKING, Any, NamedTuple

from .calls import MOST, Calls, padded
from .outlet import bulk, bulks
from .replies import Leased, Run, Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .resp import Argument
    from .session import Then

__all__ = ("Claim", "Claimed", "Claims", "Source", "header_of", "pack_claim")

#: Queues of the claims that are kept packed, together: each takes some 300 bytes.
MOST_PACKED = 4096

_NUMBERS = [bulk(number) for number in range(MOST + 1)]


@lru_cache(256)
def header_of(header: bytes) -> Any:
    """What comes before the payloads; there are few different ones. Not to be changed."""
    return loads(header)


class Source(NamedTuple):
    """A queue to claim from."""

    queue: str
    #: The declaration in the hash of queues as the client knows it, raw; "" for a queue nobody declared.
    declared: str | bytes = ""
    max_priority: int | None = None
    #: The queue is limited by bytes, which are counted.
    counts_bytes: bool = False
    #: Nobody here acknowledges: a message that is the only one is not leased, and has no tag.
    no_ack: bool = False


class Claimed(NamedTuple):
    """What a claim has brought, in the order of delivery."""

    messages: Sequence[Leased] = ()
    unreadable: Sequence[Unreadable] = ()
    #: Queues whose declaration is not what the client knows: deleted, changed, or the server has lost its data.
    stale: Sequence[str] = ()
    #: Queues that delayed messages have come into, which may be above their limits now.
    promoted: Sequence[str] = ()
    #: Number of the first tag of the next claim with this prefix.
    next: int = 0


class Claim:
    """What is the same in each claim of the same queues with the same prefix, packed."""

    __slots__ = ("head", "levels", "prefix", "sources")

    def __init__(self, head: bytes, prefix: str, sources: Sequence[Source], levels: list[list[str]]) -> None:
        self.head = head
        self.prefix = prefix
        self.sources = sources
        self.levels = levels

    def tag(self, number: int) -> str:
        """The tag with this number."""
        return f"{self.prefix}{number:09d}"


class Claims(Calls):
    """Claiming what is ready or has expired."""

    #: By (sources, prefix).
    _claims: dict[Any, Claim]
    #: How many queues those are of, together.
    _packed = 0

    def claim(
        self,
        sources: tuple[Source, ...],
        limits: Sequence[int],
        prefix: str,
        first: int,
        limit: int = MOST,
    ) -> Claimed:
        """Take up to ``limits`` messages of each queue, in their order, into the lease, in one round trip.

        Arguments:
            prefix: begins all tags, and nobody else's.
            first: number of the first tag.
            limit: for all queues together.
        """
        claim = self.prepared(sources, prefix)
        return self.claimed(self._request(pack_claim(claim, limits, first, limit)), claim, first)

    def begin_claim(
        self, sources: tuple[Source, ...], limits: Sequence[int], prefix: str, first: int, then: Then
    ) -> Claim:
        """Send a claim, with waiting acks; ``then`` gets its reply, for :meth:`claimed`, or an error, in a list."""
        claim = self.prepared(sources, prefix)
        with self._client.lock:
            self.send_acks_along()
            self._client.write(pack_claim(claim, limits, first), 1, then)
        return claim

    def prepared(self, sources: tuple[Source, ...], prefix: str) -> Claim:
        """What is the same in each claim of these queues with this prefix, packed."""
        known = self._claims.get((sources, prefix))
        if known is not None:
            return known
        if self._packed + len(sources) > MOST_PACKED:
            self._claims.clear()
            self._packed = 0
        self._packed += len(sources)
        keys = self._keys
        levels = [keys.levels(source.queue, source.max_priority) for source in sources]
        tags = padded(prefix)
        names: list[Argument] = [keys.queues]
        about: list[Argument] = [len(sources), tags, self._score, keys.sep]
        for (queue, declared, _, counts, no_ack), lists in zip(sources, levels, strict=True):
            names += (keys.unacked(queue), keys.unacked_index(queue), keys.wake(queue))
            names += (keys.delayed(queue), keys.bytes(queue), keys.consumers(queue), *lists)
            about += (queue, declared, "b" if counts else "n" if no_ack else "", len(lists))
        called = self._script("claim", "claim_only", "common")
        head = (
            called.head(len(names), len(names) + len(about) + 2 + len(sources)) + bulks(names) + bulks(about)
        )
        claim = self._claims[sources, prefix] = Claim(head, tags, sources, levels)
        return claim

    def claimed(self, reply: list[Any] | bytes | None, claim: Claim, first: int) -> Claimed:
        """Read the reply to a call of :func:`pack_claim`."""
        if reply is None:
            return Claimed(next=first)
        sources = claim.sources
        if isinstance(reply, bytes):
            reply = [0, reply]
        if reply[0].__class__ is int:
            only = [(sources[0].queue, claim.levels[0][reply[0]], 1)]
            return Claimed(*self._parser.messages(reply[1:], only, "", first), next=first)
        taken, stale, promoted = header_of(reply[0])
        runs: list[Run] = [(sources[at].queue, claim.levels[at][level], many) for at, level, many in taken]
        messages, unreadable = (
            self._parser.messages(reply[1:], runs, claim.prefix, first) if runs else ((), ())
        )
        return Claimed(
            messages,
            unreadable,
            [sources[at].queue for at in stale] if stale else (),
            [sources[at].queue for at in promoted] if promoted else (),
            first + len(reply) - 1,
        )

    def expire(
        self, queue: str, max_priority: int | None = None, limit: int = 100, look_again: float = 5.0
    ) -> tuple[list[Leased], list[Unreadable]]:
        """Take expired messages from the front of a queue into the lease."""
        keys = self._keys
        levels = keys.levels(queue, max_priority)
        prefix = self.new_prefix()
        names = [
            keys.unacked(queue),
            keys.unacked_index(queue),
            keys.expiring,
            keys.bytes(queue),
            keys.delayed(queue),
        ]
        about: list[Argument] = [queue, prefix, self._score, min(limit, MOST), look_again]
        reply = self._request(self._script("expire", "common").pack([*names, *levels], about))
        if reply is None:
            return [], []
        runs = [(queue, levels[level], many) for level, many in header_of(reply[0])]
        return self._parser.messages(reply[1:], runs, prefix, 1)


def pack_claim(claim: Claim, limits: Sequence[int], first: int, limit: int = MOST) -> bytes:
    """The call of claim.lua; see :meth:`Claims.claim`."""
    number = b"%d" % first
    return b"%b$%d\r\n%b\r\n%b%b" % (
        claim.head,
        len(number),
        number,
        _NUMBERS[limit if limit < MOST else MOST],
        b"".join([_NUMBERS[max(0, min(each, MOST))] for each in limits]),
    )
