"""The topology on a cluster: exchanges and bindings in one slot, a queue's declaration in that of its shard.

So no script can see both. What takes two steps is ordered so that whoever dies, or is overtaken, between them leaves
nothing that matters: a queue is deleted before its bindings, a binding is taken back when its queue is gone after that,
and a binding that leads to no declared queue leads nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.utils.uuid import uuid
from kombu_redis import errors
from kombu_redis.directory import Directory
from kombu_redis.mirror import locked
from kombu_redis.rows import text

from .slots import SHARDS, shard_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_redis.routes import Route

    from .keys import ClusterKeys

__all__ = ("ClusterDirectory",)


class ClusterDirectory(Directory):
    """As on a single server, with what belongs to queues in their shards."""

    client: Any
    keys: ClusterKeys

    #: Key of a shard's mark -> the mark as this connection met it first.
    _marks: dict[str, bytes]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._marks = {}
        #: The shards that this connection has declared queues in.
        self._used: set[int] = set()

    # -- queues --------------------------------------------------------------------------------------------

    def declare_queue(self, name: str, *args: Any) -> None:
        """As on a single server; its shard has a mark before it has a queue."""
        self._used.add(shard_of(name))
        super().declare_queue(name, *args)

    def _read_queues(self, names: Sequence[str]) -> list[str]:
        return [
            text(value)
            for value in self.client.pipeline([("HGET", self.keys.queues_of(name), name) for name in names])
        ]

    def _pack_touch(self, pairs: list[str | float]) -> list[bytes]:
        shards: dict[str, list[str | float]] = {}
        for at in range(0, len(pairs), 2):
            shards.setdefault(self.keys.temporary_of(str(pairs[at])), []).extend(pairs[at : at + 2])
        return [self._touch.pack([key], some) for key, some in shards.items()]

    def _find_overdue(self, limit: int) -> list[bytes]:
        keys = [self.keys.shard(number).temporary for number in range(SHARDS)]
        replies = self.client.attempt([self._overdue.pack([key], [limit]) for key in keys], wait=False)
        return [name for reply in replies if not isinstance(reply, Exception) for name in reply][:limit]

    def _delete_queue(self, name: str, only: tuple[bool, bool, bool]) -> Any:
        own = self.keys.of(name)
        value = text(self.client.call("HGET", own.queues, name))
        answer = self.client.request(self._pack_delete(own, name, value, [], 0, only))
        if isinstance(answer, bytes):
            return answer
        return [answer[0], *self._delete_with_bindings(self.keys.topology, name, (False, False, False))[1:]]

    # -- bindings ------------------------------------------------------------------------------------------

    def _enter_binding(self, keys: list[str], arguments: list[Any]) -> Any:
        exchange, about, queue, kind, row, life, source, *more = arguments
        if queue and not self._is_declared(queue):
            return b"gone"
        answer = super()._enter_binding(keys, [exchange, about, "", kind, row, life, source, *more])
        if queue and not self._is_declared(queue):
            exchanges, queues, *others = keys
            names = [exchanges, *others[:5], queues, others[5]]
            self.client.run(self._unbind, names, [exchange, queue, kind, row, source])
            return b"gone"
        return answer

    def _is_declared(self, queue: str) -> bool:
        return bool(self.client.call("HEXISTS", self.keys.queues_of(queue), queue))

    def _find(self, exchange: str, key: str, headers: Mapping[str, Any]) -> Route:
        found = super()._find(exchange, key, headers)
        if not exchange or all(self._specs.get(name) for name, _ in found.queues):
            return found
        queues = tuple(target for target in found.queues if self._specs.get(target[0]))
        found = found._replace(queues=queues)
        if (exchange, key) in self._memo:
            self._memo[exchange, key] = found
        return found

    # -- a part of the cluster that has lost its data ------------------------------------------------------

    @locked
    def meet(self) -> bool:
        """Look whether the shards this connection uses, and the topology, still have what they had."""
        shards = self._used | {shard_of(name) for name in self._consuming}
        keys = [self.keys.alive, *(self.keys.shard(number).alive for number in sorted(shards))]
        found = dict(zip(keys, self.client.attempt([("GET", key) for key in keys]), strict=True))
        missing = [key for key in keys if found[key] is None]
        if missing:
            self.client.pipeline([("SET", key, uuid(), "NX") for key in missing])
            found.update(zip(missing, self.client.pipeline([("GET", key) for key in missing]), strict=True))
        lost = False
        for key, mark in found.items():
            if isinstance(mark, Exception):
                if not isinstance(mark, (errors.ConnectionLost, errors.NoReply, errors.Unavailable)):
                    raise mark
            elif self._marks.setdefault(key, mark) != mark:
                self._marks[key] = mark
                lost = True
        if lost:
            try:
                self.reassert()
            except BaseException:  # the connection is lost: again, when there is another
                self._marks = dict.fromkeys(self._marks, b"lost")
                raise
        return lost
