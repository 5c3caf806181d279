"""Leased messages on a cluster: settled, renewed, and moved, also out of their shard.

A message that leaves its shard is held for a whole lease first, then appended where it goes to, and then removed. The
transfer is remembered there for some leases by the tag of the message, so that whoever tries again, after a process was
killed half way, makes no second copy of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_redis.calls import MOST

from .shard import ShardStore, shard_of_tag
from .slots import SHARDS, shard_of, tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_redis.moving import Due, Move
    from kombu_redis.options import Options

    from .client import ClusterClient
    from .keys import ClusterKeys

__all__ = ("ClusterMoves",)

#: Tag, the score it must have (""), destinations.
Entry = tuple[str, "str | bytes", "Sequence[Move]"]


class ClusterMoves:
    """The shards, and what becomes of messages they hold for this connection."""

    def __init__(self, client: ClusterClient, keys: ClusterKeys, options: Options) -> None:
        self._client = client
        self._keys = keys
        self._options = options
        self._shards: list[ShardStore | None] = [None] * SHARDS
        #: The server knows channels of a slot.
        self._sharded = True
        #: Why some messages were not renewed, to be raised when all else is done.
        self.not_renewed: Exception | None = None

    def shard(self, number: int) -> ShardStore:
        """The messages of one shard."""
        store = self._shards[number]
        if store is None:
            client = self._client.shard(tags()[number])
            store = self._shards[number] = ShardStore(client, self._keys.shard(number), self._options, number)
        return store

    def of(self, queue: str) -> ShardStore:
        """The shard of a queue."""
        return self.shard(shard_of(queue))

    def scatter(self, calls: Sequence[tuple[ShardStore, bytes]], wait: bool = True) -> list[Any]:
        """The replies to calls in several shards, errors among them; acknowledgements that wait go along.

        Arguments:
            wait: see :meth:`.ClusterClient.attempt`.
        """
        with self._client.lock:
            for store in {store.number: store for store, _ in calls}.values():
                if store.is_busy:
                    store.send_acks_along()
            return self._client.attempt([packed for _, packed in calls], wait)

    # -- acknowledgements ----------------------------------------------------------------------------------

    def ack(self, tag: str, now: bool = False) -> None:
        """The message is done with; see :meth:`kombu_redis.calls.Calls.ack`."""
        self.shard(shard_of_tag(tag)).ack(tag, now)

    def flush(self) -> None:
        """Send the acknowledgements that wait."""
        self._each("flush")

    def confirm(self) -> None:
        """Read the answers to acknowledgements."""
        self._each("confirm")

    def _each(self, verb: str) -> None:
        trouble: Exception | None = None
        for store in self._shards:
            if store is not None and store.is_busy:
                try:
                    getattr(store, verb)()
                except OSError as exc:  # the others first
                    trouble = exc
        if trouble is not None:
            raise trouble

    # -- holding -------------------------------------------------------------------------------------------

    def renew(self, tags: Sequence[str], lease: float | None = None) -> list[str]:
        """Hold the messages for ``lease`` seconds from now on; the tags that are lost.

        A shard that cannot be reached does not keep the others from it; see :attr:`not_renewed`.
        """
        shards: dict[int, list[str]] = {}
        for tag in tags:
            shards.setdefault(shard_of_tag(tag), []).append(tag)
        calls = [
            (self.shard(number), self.shard(number).pack_renew(some, lease))
            for number, some in shards.items()
        ]
        lost: list[str] = []
        for some, reply in zip(shards.values(), self.scatter(calls), strict=True):
            if isinstance(reply, Exception):
                self.not_renewed = reply
            else:
                lost += [some[at] for at in reply]
        return lost

    # -- moving --------------------------------------------------------------------------------------------

    def give_back(self, queue: str, entries: Sequence[tuple[str, Move]]) -> list[str]:
        """Put messages of one queue back in front, in their order; the tags that were not ours any more."""
        return self.of(queue).give_back(queue, entries)

    def set_aside(self, queue: str, tags: Sequence[str]) -> list[str]:
        """Move what cannot be decoded to the queue's list of such payloads."""
        return self.of(queue).set_aside(queue, tags)

    def restore(self, entries: Sequence[tuple[Due, Sequence[Move]]]) -> list[str]:
        """Move fetched entries to their destinations."""
        return self.move("", [(due.tag, due.score, moves) for due, moves in entries])

    def move(self, queue: str, entries: Sequence[Entry]) -> list[str]:
        """Move leased messages to where they belong now: in one step within a shard.

        Returns: the tags of those that were not ours any more.
        """
        shards: dict[int, list[Entry]] = {}
        for entry in entries:
            shards.setdefault(shard_of_tag(entry[0]), []).append(entry)
        lost: list[str] = []
        for number, some in shards.items():
            store = self.shard(number)
            for start in range(0, len(some), MOST):
                staying, gone = self._send_away(store, some[start : start + MOST])
                lost += gone + store.move(queue, staying)
        return lost

    def _send_away(self, store: ShardStore, entries: list[Entry]) -> tuple[list[Entry], list[str]]:
        """Append what goes to other shards; what is left to be done in this one, and the tags that were not ours."""
        away = {
            entry[0]: to
            for entry in entries
            if (to := [move for move in entry[2] if not _is_in(store, move)])
        }
        if not away:
            return entries, []
        score, ours = self._hold(store, [entry for entry in entries if entry[0] in away])
        transfers = [
            self._transfer(tag, move) for tag, moves in away.items() if tag in ours for move in moves
        ]
        for reply in self.scatter(transfers):
            if isinstance(reply, Exception):
                raise reply
        left: list[Entry] = []
        for tag, expected, moves in entries:
            if tag not in away:
                left.append((tag, expected, moves))
            elif tag in ours:
                left.append((tag, score, [move for move in moves if _is_in(store, move)]))
        return left, [tag for tag in away if tag not in ours]

    def _hold(self, store: ShardStore, entries: Iterable[Entry]) -> tuple[bytes, set[str]]:
        tags = [(tag, score) for tag, score, _ in entries]
        score, *others = store.hold(tags)
        return score, {tag for at, (tag, _) in enumerate(tags) if at not in others}

    def _transfer(self, tag: str, move: Move) -> tuple[ShardStore, bytes]:
        assert move.payload is not None, "only what stays in its shard may stay as it was"
        return self.of(move.queue), self.of(move.queue).pack_transfer(tag, move)


def _is_in(store: ShardStore, move: Move) -> bool:
    return shard_of(move.queue) == store.number
