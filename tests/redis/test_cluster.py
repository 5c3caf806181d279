"""``redis+cluster://`` while the cluster changes under it: slots move, masters die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from kombu_redis.errors import NoReply
from tests.redis.clusters import TOPOLOGY_SLOT, master_of, slot_of_queue
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
    """The shared one; whole again after the test."""
    yield redis_cluster
    for node in redis_cluster.nodes:
        if not node.alive():
            node.start()
    redis_cluster.until(redis_cluster.is_whole, "the cluster is whole again", 60)
    redis_cluster.set_patience(PATIENT)


@pytest.fixture
def options(redis_prefix: str) -> dict[str, Any]:
    return {"global_keyprefix": redis_prefix, "lease": 2, "socket_timeout": 5}


def test_slots_move_while_messages_are_published_and_consumed(
    cluster: Cluster, options: dict[str, Any]
) -> None:
    # Given
    with running(cluster.url, cluster.url, **options) as load:
        for slot in (slot_of_queue("work"), TOPOLOGY_SLOT, slot_of_queue("news")):
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
    assert cluster.refused("MOVED") > 0


def test_consumers_of_several_queues_have_those_that_can_be_reached(
    cluster: Cluster, options: dict[str, Any]
) -> None:
    # Given: a consumer of queues at two masters
    keeper = cluster.owner(TOPOLOGY_SLOT)
    at = {master_of(cluster, name): name for name in ("work", "news", "a", "b", "c", "d")}
    victim = next(node for node in at if node is not keeper)
    silent, other = at.pop(victim), next(iter(at.values()))
    got: list[Any] = []
    options |= {"socket_timeout": 1.5, "socket_connect_timeout": 1}
    with Connection(cluster.url, transport_options=options) as connection:
        producer = connection.Producer()
        for body in ("x", "y"):
            producer.publish(body, routing_key=other)
        with connection.Consumer([Queue(silent), Queue(other)], on_message=got.append) as consumer:
            consumer.qos(prefetch_count=1)
            until(lambda: drained(connection) and got, 10, "a message comes")
            # When: one of them does not answer
            victim.pause()
            try:
                # Then: its queue is not taken for an empty one,
                with pytest.raises(NoReply):
                    connection.default_channel.basic_get(silent)
                # nothing happens while it is the only one asked, since the other's consumer has no room,
                drained(connection)
                # and the other's messages come
                got[0].ack()
                until(lambda: drained(connection) and len(got) == 2, 10, "the other's message comes")
            finally:
                victim.resume()


@pytest.mark.timeout(7200)
def test_masters_die_and_nothing_that_was_confirmed_is_lost(
    cluster: Cluster, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    """Killed, and with ``--failovers`` 2 and more stopped for a while as well."""
    # Given: a publish counts when a replica has it
    cluster.set_patience(IMPATIENT)
    with running(cluster.url, cluster.url, **options, wait_replicas=1) as load:
        for number in range(request.config.getoption("--failovers")):
            home = master_of(cluster, "work")
            other = next(node for node in cluster.masters() if node is not home)
            # When: a master dies that has another queue; and then the one that has this
            for victim in (other, home):
                replace(cluster, victim, by_kill=number % 2 == 0)
                # Then
                load.await_going("it goes on", 40)
                load.await_answer(20)
        load.stop()


def drained(connection: Connection) -> bool:
    try:
        connection.drain_events(timeout=0)
    except TimeoutError as exc:
        if isinstance(exc, NoReply):
            raise
    return True


def replace(cluster: Cluster, victim: ClusterNode, by_kill: bool) -> None:
    """Have a replica take over from a master, which comes back as a replica."""
    slot = victim.first_slot()
    if by_kill:
        victim.kill()
    else:
        victim.pause()
    others = [node for node in cluster.nodes if node is not victim]
    cluster.until(lambda: cluster.owner(slot, others) not in (None, victim), "a replica takes over", 40)
    if by_kill:
        victim.start()  # (it has no disk, so not before: it would come back with nothing)
    else:
        victim.resume()
    cluster.until(cluster.is_whole, "the victim is a replica", 60)
