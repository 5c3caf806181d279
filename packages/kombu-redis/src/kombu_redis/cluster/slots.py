"""Which keys share a slot of the cluster. Pure.

Queues are spread over 64 *shards*: a queue belongs to the shard of its name's hash slot, 256 slots to each. All keys of
a shard begin with one hash tag, so they are in one slot and one script may touch them. A shard has what a single server
has: lists, leases, declarations, deadlines. So what time asks for costs 64 looks, however many queues there are.

A queue whose name has a hash tag of its own, such as ``{orders}.dead``, shares the shard of ``orders``.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import count

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

__all__ = ("SHARDS", "TOPOLOGY", "shard_of", "slot_of", "tags")

SHARDS = 64
#: Tag of what is there once: exchanges and bindings.
TOPOLOGY = "kombu"

_WIDTH = SLOTS // SHARDS


@lru_cache(4096)
def slot_of(key: bytes) -> int:
    """The hash slot of a key."""
    return int(key_slot(key))


@lru_cache(8192)
def shard_of(queue: str) -> int:
    """The number of the shard that a queue belongs to."""
    return slot_of(queue.encode("utf-8", "surrogateescape")) // _WIDTH


@cache
def tags() -> tuple[str, ...]:
    """The hash tag of each shard: the smallest whole number whose slot is one of the shard's."""
    found: dict[int, str] = {}
    for number in map(str, count()):
        found.setdefault(shard_of(number), number)
        if len(found) == SHARDS:
            return tuple(found[shard] for shard in range(SHARDS))
    raise AssertionError("numbers do not end")
