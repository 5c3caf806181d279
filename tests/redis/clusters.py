"""What the tests of clusters share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_redis.cluster.slots import TOPOLOGY, shard_of, slot_of, tags

if TYPE_CHECKING:
    from tests.support.redis_cluster import Cluster, ClusterNode

__all__ = ("TOPOLOGY_SLOT", "master_of", "slot_of_queue")

#: Where exchanges and bindings are.
TOPOLOGY_SLOT = slot_of(TOPOLOGY.encode())


def slot_of_queue(queue: str) -> int:
    """The slot in which everything of a queue is."""
    return slot_of(tags()[shard_of(queue)].encode())


def master_of(cluster: Cluster, queue: str) -> ClusterNode:
    """The node that serves a queue."""
    found = cluster.owner(slot_of_queue(queue))
    assert found is not None
    return found
