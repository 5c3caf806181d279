"""Moving messages out of the lease, and going on holding them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .calls import MOST, TRY, Calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .resp import Argument

__all__ = ("Due", "Move", "Moves", "dues")


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
    #: SHA-1s, in a row, of payloads that it goes behind if they are in front.
    behind: str = ""


class Due(NamedTuple):
    """An entry whose lease is over; see :meth:`Store.restore`."""

    tag: str
    #: JSON [payload, exchange, routing key]; ours have "" and the queue.
    value: bytes
    score: bytes


class Moves(Calls):
    """Each move of a message is one step, and none if its lease is somebody else's."""

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
                    f"front{to.behind}" if to.front else "back",
                    "" if to.expires_at is None else to.expires_at,
                    "" if to.payload is None else to.payload,
                )
        return self._script("move", "common").pack(names, [queue, len(lists), *about, *arguments])

    def set_aside(self, queue: str, tags: Sequence[str]) -> list[str]:
        """Move what cannot be decoded to the queue's list of such payloads, its bytes as they came.

        Returns: the tags that were not ours any more.
        """
        aside = Move(queue, self._keys.undecodable(queue), front=False)
        return self.move(queue, [(tag, "", (aside,)) for tag in tags])

    def renew(self, tags: Sequence[str], lease: float | None = None) -> list[str]:
        """Hold the messages for ``lease`` seconds from now on; the tags that are lost."""
        return [tags[at] for at in self._request(self.pack_renew(tags, lease))] if tags else []

    def pack_renew(self, tags: Sequence[str], lease: float | None) -> bytes:
        """The call of renew.lua, which returns the indexes of the tags that are lost."""
        score = (self._lease if lease is None else lease) - self._visibility
        return self._script("renew", "common").pack([self._keys.unacked_index("")], [score, *tags])

    def fetch_due(self, limit: int = 100) -> list[Due]:
        """Entries whose lease is over, the one to be delivered last first; nobody else gets them for 2 seconds."""
        return dues(self._request(self.pack_fetch_due(limit)))

    def pack_fetch_due(self, limit: int) -> bytes:
        """The call of fetch_due.lua, whose reply :func:`dues` reads."""
        keys = self._keys
        fetch = self._script("fetch_due", "common")
        return fetch.pack([keys.unacked(""), keys.unacked_index("")], [self._visibility, min(limit, MOST), TRY])

    def restore(self, entries: Sequence[tuple[Due, Sequence[Move]]]) -> list[str]:
        """Move fetched entries to their destinations, in the order they were fetched: in front, oldest first.

        Returns: the tags whose holder has renewed, acknowledged or given back meanwhile.
        """
        return self.move("", [(due.tag, due.score, moves) for due, moves in entries])


def dues(reply: list[bytes]) -> list[Due]:
    """Read the reply of fetch_due.lua."""
    if not reply:
        return []
    score, *found = reply
    return [Due(tag.decode(), value, score) for tag, value in zip(found[::2], found[1::2], strict=True)]
