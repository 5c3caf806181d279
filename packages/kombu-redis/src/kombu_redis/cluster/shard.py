"""The messages of one shard: a :class:`~kombu_redis.store.Store` whose keys are all in one slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_redis.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_redis.keys import Keys
    from kombu_redis.moving import Move
    from kombu_redis.options import Options
    from kombu_redis.resp import Argument
    from kombu_redis.scripts import Script

__all__ = ("ShardStore", "shard_of_tag")


class ShardStore(Store):
    """Its tags begin with the number of the shard.

    Arguments:
        client: a :class:`.client.Shard`.
    """

    waking = "waiters"

    def __init__(self, client: Any, keys: Keys, options: Options, number: int) -> None:
        super().__init__(client, keys, options)
        self.number = number
        self.line = client
        self.keys = keys
        self._own = f"{number}.{self._own}"

    def _script(self, name: str, *before: str) -> Script:
        if name == "push_plain":
            return super()._script("push", "common", "checks", "broadcast")
        return super()._script(name, *before)

    def hold(self, entries: Sequence[tuple[str, str | bytes]]) -> list[Any]:
        """Hold messages (tag, the score it must have) for a lease: their score, and indexes of those not ours."""
        keys = self.keys
        arguments: list[Argument] = [self._score, *(part for entry in entries for part in entry)]
        names = [keys.unacked(""), keys.unacked_index("")]
        found: list[Any] = self._request(self._script("hold", "common").pack(names, arguments))
        return found

    def pack_transfer(self, tag: str, move: Move) -> bytes:
        """The call of transfer.lua for a message that is leased by this tag in another shard."""
        keys, queue = self.keys, move.queue
        names = [f"{keys.prefix}_kombu.moved.{tag}.{queue}", keys.queues, keys.alive, keys.expiring]
        names += [move.level, keys.wake(queue), keys.bytes(queue)]
        expires_at = "" if move.expires_at is None else move.expires_at
        about = [
            queue,
            "1" if move.declared else "",
            expires_at,
            move.payload or b"",
            int(4 * self._lease) + 60,
        ]
        return self._script("transfer", "common").pack(names, about)

    def pack_enlist(self, queues: Iterable[tuple[str, int | None]], channel: str) -> bytes:
        """The call of enlist.lua for queues, each with its greatest priority."""
        keys = self.keys
        levels = {queue: keys.levels(queue, max_priority) for queue, max_priority in queues}
        names = [name for queue, some in levels.items() for name in (keys.wake(queue), *some)]
        return self._script("enlist", "common").pack(names, [channel, *map(len, levels.values())])

    @property
    def is_busy(self) -> bool:
        """Whether acknowledgements wait to be sent or answered."""
        return bool(self._acks or self._sent)


def shard_of_tag(tag: str) -> int:
    """The number of the shard that a leased message is in."""
    return int(tag.partition(".")[0])
