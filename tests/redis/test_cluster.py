"""``redis+cluster://`` while the cluster changes under it: slots move, masters die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_redis.cluster.slots import TOPOLOGY, shard_of, slot_of, tags
from tests.redis.load import running
from tests.redis.wire import until
from tests.support.redis_cluster import IMPATIENT, PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.redis_cluster import Cluster, ClusterNode

# (who reconnects while the cluster is down cannot take its old consumer back, which goes when its lease ends)
pytestmark = pytest.mark.filterwarnings("ignore:A node named 'program' is already using:UserWarning")


@pytest.fixture
def cluster(redis_cluster: Cluster) -> Iterator[Cluster]:
    """The shared one, quick to replace a master; whole again after the test."""
    redis_cluster.set_patience(IMPATIENT)
    yield redis_cluster
    for node in redis_cluster.nodes:
        if not node.alive():
            node.start()
    redis_cluster.until(redis_cluster.is_whole, "the cluster is whole again", 60)
    redis_cluster.set_patience(PATIENT)


@pytest.fixture
def options(redis_prefix: str) -> dict[str, Any]:
    return {"global_keyprefix": redis_prefix, "lease": 2, "socket_timeout": 5}


def slot_of_queue(queue: str) -> int:
    """The slot in which everything of a queue is."""
    return slot_of(tags()[shard_of(queue)].encode())


def master_of(cluster: Cluster, queue: str) -> ClusterNode:
    found = cluster.owner(slot_of_queue(queue))
    assert found is not None
    return found


def test_slots_move_while_messages_are_published_and_consumed(
    cluster: Cluster, options: dict[str, Any]
) -> None:
    # Given
    with running(cluster.url, cluster.url, **options) as load:
        for slot in (slot_of_queue("work"), slot_of(TOPOLOGY.encode()), slot_of_queue("news")):
            home = cluster.owner(slot)
            others = [node for node in cluster.masters() if node is not home]
            for node in (others[0], others[1], home):
                assert node is not None
                # When
                cluster.move_slot(slot, node, batch=1)
                # Then: it goes on, broadcasts as well
                load.await_going("it goes on with the slot at another node")
        load.await_answer()
        load.stop()


def test_a_master_dies_and_all_that_the_others_have_confirmed_arrives(
    cluster: Cluster, options: dict[str, Any]
) -> None:
    # Given
    with running(cluster.url, cluster.url, **options) as load:
        victim = master_of(cluster, "work")
        safe = set(load.publisher.confirmed)
        assert victim.client().wait(1, 5000) >= 1  # the replica has these
        before = load.publisher.number
        # When
        victim.kill()
        at_risk = set(range(before + 1, load.publisher.number + 1)) - safe
        # Then
        load.await_going("it goes on with the replica as a master", 40)
        load.publisher.confirmed -= at_risk - load.program.received
        assert safe <= load.publisher.confirmed
        load.await_answer()
        load.stop()


def test_a_master_dies_that_has_another_queue(cluster: Cluster, options: dict[str, Any]) -> None:
    """Nothing that surviving masters confirmed is lost, whatever the dead one had."""
    with running(cluster.url, cluster.url, **options) as load:
        home = master_of(cluster, "work")
        victim = next(node for node in cluster.masters() if node is not home)
        victim.kill()
        until(lambda: cluster.owner(slot_of(TOPOLOGY.encode())) is not victim, 30, "a replica takes over")
        load.await_going("it goes on", 40)
        load.stop()
