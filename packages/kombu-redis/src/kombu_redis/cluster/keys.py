"""The names of keys and channels on a cluster: those of a single server behind the hash tag of a shard."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kombu_redis.keys import Keys

from .slots import SHARDS, TOPOLOGY, shard_of, tags

if TYPE_CHECKING:
    from kombu_redis.options import Options

__all__ = ("ClusterKeys",)


class ClusterKeys(Keys):
    """The names of the topology; what belongs to a queue, a channel or a connection has the tag of a shard.

    A channel has the name of its exchange and nothing of the routing key: sharded pub/sub knows no patterns.

    Raises:
        ValueError: ``global_keyprefix`` has a brace in it, which would make a hash tag of its own.
    """

    def __init__(self, options: Options, db: int = 0) -> None:
        if set(options.global_keyprefix) & set("{}"):
            raise ValueError(
                f"global_keyprefix is {options.global_keyprefix!r}: on a cluster it cannot have braces, which mark"
                " the part of a key that chooses its node"
            )
        self._options = replace(options, fanout_patterns=False)
        super().__init__(self._tagged(TOPOLOGY))
        #: The keys of the topology and nothing else.
        self.topology = Keys(self._tagged(TOPOLOGY))
        self._shards: list[Keys | None] = [None] * SHARDS

    def _tagged(self, tag: str) -> Options:
        options = self._options
        return replace(options, global_keyprefix=f"{options.global_keyprefix}{{{tag}}}.")

    def shard(self, number: int) -> Keys:
        """The names in one shard."""
        keys = self._shards[number]
        if keys is None:
            keys = self._shards[number] = Keys(self._tagged(tags()[number]))
        return keys

    def of(self, name: str) -> Keys:
        """The names in the shard that a name belongs to."""
        return self.shard(shard_of(name))

    # -- of a queue

    def queue(self, queue: str) -> str:
        return self.of(queue).queue(queue)

    def level(self, queue: str, step: int) -> str:
        return self.of(queue).level(queue, step)

    def levels(self, queue: str, max_priority: int | None = None) -> list[str]:
        return self.of(queue).levels(queue, max_priority)

    def queues_of(self, queue: str) -> str:
        return self.of(queue).queues

    def temporary_of(self, queue: str) -> str:
        return self.of(queue).temporary

    def delayed(self, queue: str) -> str:
        return self.of(queue).delayed(queue)

    def wake(self, queue: str) -> str:
        return self.of(queue).wake(queue)

    def queue_of_wake(self, key: str) -> str:
        """The queue that a wake-up key is of. (No prefix has a brace in it but for the tag.)"""
        return key.partition("}._kombu.wake.")[2]

    def consumers(self, queue: str) -> str:
        return self.of(queue).consumers(queue)

    def bytes(self, queue: str) -> str:
        return self.of(queue).bytes(queue)

    def undecodable(self, queue: str) -> str:
        return self.of(queue).undecodable(queue)

    def unacked(self, queue: str) -> str:
        return self.of(queue).unacked(queue)

    def unacked_index(self, queue: str) -> str:
        return self.of(queue).unacked_index(queue)

    # -- of an exchange and of a connection

    def channel(self, exchange: str, routing_key: str = "") -> str:
        return self.of(exchange).channel(exchange)

    def patterns(self, exchange: str, binding_key: str = "") -> list[str]:
        return [self.channel(exchange)]

    def owner(self, connection: str) -> str:
        return self.of(connection).owner(connection)
