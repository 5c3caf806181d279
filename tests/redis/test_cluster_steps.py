"""What is several steps on a cluster: each may be the last of a process, or fail, and nothing is lost or doubled."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu_redis.cluster.slots import shard_of, slot_of, tags
from kombu_redis.moving import Move
from tests.redis.clusters import TOPOLOGY_SLOT, master_of, slot_of_queue
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fleet import Fleet
    from tests.support.redis_cluster import Cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "linecount.py"

#: In shards of their own, at all three masters.
NAMES = ("one", "two", "three", "four", "five")
TASKS = Exchange("tasks", "direct")
QUEUES = [Queue(name, TASKS, "all") for name in NAMES]


@pytest.fixture
def options(redis_prefix: str) -> dict[str, Any]:
    return {"global_keyprefix": redis_prefix, "lease": 1, "fanout": "queue"}


@pytest.fixture
def connection(redis_cluster: Cluster, options: dict[str, Any]) -> Iterator[Connection]:
    with Connection(redis_cluster.url, transport_options=options) as made:
        yield made


def bodies(connection: Connection, queue: str) -> list[Any]:
    """What is ready in a queue, taken out of it."""
    found: list[Any] = []
    with connection.channel() as channel:
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append(channel.message_to_python(message).decode())
    return found


def test_the_names_are_at_all_masters(redis_cluster: Cluster) -> None:
    assert {master_of(redis_cluster, name).port for name in NAMES} == {
        node.port for node in redis_cluster.masters()
    }


def test_a_queue_that_was_declared_anew_gets_its_copy_once_like_the_others(
    redis_cluster: Cluster, connection: Connection, options: dict[str, Any]
) -> None:
    # Given: a publisher that knows the queues, one of which is another by now, though the bindings are as they were
    producer = connection.Producer()
    producer.publish("before", exchange=TASKS, routing_key="all", declare=QUEUES)
    store = connection.default_channel.connection.store
    declared = store._keys.queues_of("three")
    server = connection.default_channel.connection.server
    value = server.call("HGET", declared, "three")
    server.call(
        "HSET", declared, "three", value.replace(b'"arguments": {}', b'"arguments": {"x-max-length": 9}')
    )
    # When
    producer.publish("after", exchange=TASKS, routing_key="all")
    # Then
    for name in NAMES:
        assert bodies(connection, name) == ["before", "after"], name


def test_a_dead_letter_whose_bearer_was_killed_half_way_is_there_once(connection: Connection) -> None:
    # Given: a message of one shard that was appended to a queue of another, and is leased still
    for queue in QUEUES:
        queue(connection.default_channel).declare()
    transport = connection.default_channel.connection
    connection.Producer().publish("x", routing_key="one")
    found = transport.take_from({"one": 1})["one"]
    tag = found[0]["lease"].tag
    letter = Move("two", transport.keys.level("two", 0), b"{}", front=False, declared=True)
    assert shard_of("one") != shard_of("two")
    owner = transport.store.of("two")
    owner.line.request(owner.pack_transfer(tag, letter))
    # When: somebody else does it again
    assert transport.store.move("one", [(tag, "", (letter,))]) == []
    # Then
    assert (transport.store.size("one"), transport.store.size("two")) == (0, 1)
    assert transport.store.move("one", [(tag, "", (letter,))]) == [tag]
    assert transport.store.size("two") == 1


def test_a_binding_of_a_queue_that_is_gone_leads_nowhere(connection: Connection) -> None:
    # Given: whoever deleted the queue was killed before the bindings went
    producer = connection.Producer()
    for queue in QUEUES[:2]:
        queue(connection.default_channel).declare()
    transport = connection.default_channel.connection
    own = transport.keys.of("one")
    transport.server.request(transport.directory._pack_delete(own, "one", "", [], 0, (False, False, False)))
    # When
    producer.publish("x", exchange=TASKS, routing_key="all")
    # Then
    assert transport.store.size("one") == 0
    assert bodies(connection, "two") == ["x"]


def test_a_node_that_has_lost_its_data_gets_its_queues_back(
    redis_cluster: Cluster, connection: Connection, options: dict[str, Any]
) -> None:
    # Given
    producer = connection.Producer()
    producer.publish("before", exchange=TASKS, routing_key="all", declare=QUEUES)
    # When: all that this prefix has in the slot of one queue is gone (others share the cluster)
    victim = master_of(redis_cluster, "two")
    tag = f"{options['global_keyprefix']}{{{tags()[shard_of('two')]}}}"
    keys = victim.ask("KEYS", f"{tag}*")
    assert keys and victim.ask("DEL", *keys) == len(keys)
    producer.publish("after", exchange=TASKS, routing_key="all")
    # Then
    assert bodies(connection, "two") == ["after"]
    assert bodies(connection, "one") == ["before", "after"]


def test_a_publish_waits_while_its_slot_is_on_the_way(redis_cluster: Cluster, connection: Connection) -> None:
    """Some keys of the queue are here and some there, so no node can do it: TRYAGAIN, then ASK first."""
    # Given
    producer = connection.Producer()
    producer.publish("before", routing_key="one", declare=QUEUES[:1])
    slot, home = slot_of_queue("one"), master_of(redis_cluster, "one")
    to = next(node for node in redis_cluster.masters() if node is not home)
    refused = redis_cluster.refused("TRYAGAIN")
    redis_cluster.begin_move(slot, home, to)
    with ThreadPoolExecutor(1) as pool:
        try:
            # When
            done = pool.submit(producer.publish, "meanwhile", routing_key="one")
            until(lambda: redis_cluster.refused("TRYAGAIN") > refused, 30, "it was refused")
            assert not done.done()
            asked = redis_cluster.refused("ASK")
            redis_cluster.move_keys(slot, home, to)
            until(lambda: redis_cluster.refused("ASK") > asked, 30, "it was sent to the other node")
            assert not done.done()
        finally:
            redis_cluster.end_move(slot, home, to)
        # Then
        done.result(20)
    assert bodies(connection, "one") == ["before", "meanwhile"]
    redis_cluster.move_slot(slot, home)


def test_messages_of_several_shards_wait_as_leased_ones_also_when_nobody_acknowledges(
    connection: Connection,
) -> None:
    # Given: two queues with a message each, claimed together
    held: list[int] = []

    def on_message(message: Any) -> None:
        held.append(len(connection.transport.held))

    for queue in QUEUES[:2]:
        queue(connection.default_channel).declare()
        connection.Producer().publish("only", routing_key=queue.name)
    # When
    with connection.Consumer(QUEUES[:2], on_message=on_message, no_ack=True):
        while len(held) < 2:
            connection.drain_events(timeout=10)
    # Then: a program that dies while it works on the first leaves the second
    assert held == [1, 0]


def test_other_queues_go_on_while_a_slot_is_on_the_way(
    redis_cluster: Cluster, connection: Connection
) -> None:
    # Given: a consumer of two queues, one of which nobody can read for now
    slot, home = slot_of_queue("one"), master_of(redis_cluster, "one")
    to = next(node for node in redis_cluster.masters() if node is not home)
    got: list[Any] = []
    with connection.Consumer(QUEUES[:2], callbacks=[lambda body, _: got.append(body)], no_ack=True):
        producer = connection.Producer()
        producer.publish("waits", routing_key="one")
        redis_cluster.begin_move(slot, home, to)
        try:
            # When
            began = monotonic()
            for number in range(3):
                producer.publish(number, routing_key="two")
                while number not in got:
                    connection.drain_events(timeout=10)
            # Then: no look has waited for the slot, which is as long as `socket_timeout`
            assert monotonic() - began < 10
        finally:
            redis_cluster.end_move(slot, home, to)
        while "waits" not in got:
            connection.drain_events(timeout=10)
    redis_cluster.move_slot(slot, home)


def test_one_message_wakes_one_of_many(
    redis_cluster: Cluster, make_fleet: Callable[..., Fleet], options: dict[str, Any]
) -> None:
    # Given: consumers of two queues that wait, each with a connection of its own
    fleet = make_fleet(redis_cluster.url, **{**options, "lease": 30})
    crowd = fleet.start().tell("crowd", count=30, queues=[{"name": name} for name in NAMES[:2]])
    crowd.wait_for("consuming", 30, 60)

    def told() -> int:
        """How often a connection was told of a message."""
        found = (node.ask("INFO", "commandstats") or b"" for node in redis_cluster.nodes)
        lines = (line for text in found for line in text.decode().splitlines())
        return sum(
            int(line.partition("calls=")[2].partition(",")[0])
            for line in lines
            if re.match("cmdstat_s?publish:", line)
        )

    sleep(1)
    before = told()
    # When
    with Connection(redis_cluster.url, transport_options=options) as connection:
        producer = connection.Producer()
        for number in range(20):
            producer.publish(number, routing_key=NAMES[number % 2])
            crowd.wait_for("acked", number + 1)
    # Then: somebody was told of each, and not everybody
    assert sorted(crowd.all("got")) == list(range(20))
    assert 20 <= told() - before < 20 * 5
    # And: at most three sockets a master
    assert crowd.sockets() <= 30 * 9


@pytest.mark.parametrize("count", [3, 12])
def test_who_works_for_long_is_woken_for_nothing_else(
    redis_cluster: Cluster, connection: Connection, options: dict[str, Any], count: int
) -> None:
    # Given: a consumer of so many queues
    names = [f"{count}-{number}" for number in range(count)]
    keys = connection.default_channel.connection.keys
    waiting: list[int] = []
    with Connection(redis_cluster.url, transport_options=options) as other:

        def look() -> int:
            server = other.default_channel.connection.server
            return sum(server.call("ZCARD", keys.wake(name)) for name in names)

        def work(message: Any) -> None:
            sleep(0.4)  # (half of it counts after ten seconds)
            waiting.append(look())
            message.ack()

        with connection.Consumer([Queue(name) for name in names], on_message=work):
            producer = other.Producer()
            for number in range(3):
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
                assert look() == count
                # When
                producer.publish(number, routing_key=names[number])
                connection.drain_events(timeout=10)
    # Then: of many queues it is struck off when it is known to work for long
    assert waiting == ([0, 0, 0] if count < 8 else [count - 1, 0, 0])


def test_the_main_job_with_workers_being_killed(redis_cluster: Cluster, options: dict[str, Any]) -> None:
    settings = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
    command = [sys.executable, str(EXAMPLE), redis_cluster.url, "--limit", "90", "--kills", "3", *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 workers killed" in done.stdout and "equal to a direct count" in done.stdout


def test_the_topology_has_a_slot_of_its_own() -> None:
    assert TOPOLOGY_SLOT not in {slot_of(tag.encode()) for tag in tags()}
