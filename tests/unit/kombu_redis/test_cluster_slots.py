"""Which keys of a cluster share a slot, and where a command goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu_redis.calls import script
from kombu_redis.cluster.client import slot_of_command
from kombu_redis.cluster.keys import ClusterKeys
from kombu_redis.cluster.slots import SHARDS, SLOTS, TOPOLOGY, shard_of, slot_of, tags
from kombu_redis.errors import Ask, Moved, error_from_driver
from kombu_redis.options import Options
from kombu_redis.resp import pack

NAMES = st.one_of(st.text(), st.text("{}ab"))


def slots(keys: list[str]) -> set[int]:
    return {slot_of(key.encode("utf-8", "surrogateescape")) for key in keys}


@given(NAMES, st.sampled_from(["", "app:"]))
def test_everything_of_a_queue_is_in_one_slot(queue: str, prefix: str) -> None:
    keys = ClusterKeys(Options(global_keyprefix=prefix))
    own = keys.shard(shard_of(queue))
    made = [keys.queues_of(queue), keys.temporary_of(queue), keys.unacked(queue), keys.unacked_index(queue)]
    made += [
        keys.delayed(queue),
        keys.wake(queue),
        keys.consumers(queue),
        keys.bytes(queue),
        keys.undecodable(queue),
    ]
    made += [*keys.levels(queue), *keys.levels(queue, 9), keys.queue(queue), own.alive, own.expiring]
    assert slots(made) == {slot_of(tags()[shard_of(queue)].encode())}
    assert all(key.startswith(prefix) for key in made)


@given(NAMES, NAMES)
def test_the_topology_is_in_one_slot(exchange: str, queue: str) -> None:
    keys = ClusterKeys(Options())
    made = [keys.exchanges, keys.binding_deadlines, keys.binding(exchange), keys.bound(exchange)]
    made += [
        keys.binding_permanent(exchange),
        keys.sources("queue", queue),
        keys.sources("exchange", exchange),
    ]
    made += [keys.cursors(queue), keys.stream(exchange), keys.streamed(exchange), keys.queues, keys.alive]
    assert slots(made) == {slot_of(TOPOLOGY.encode())}


def test_shards_are_spread_evenly() -> None:
    assert [slot_of(tag.encode()) * SHARDS // SLOTS for tag in tags()] == list(range(SHARDS))


def test_a_hash_tag_of_the_queue_chooses_its_shard() -> None:
    assert shard_of("{orders}.dead") == shard_of("orders") == shard_of("{orders}")


def test_a_prefix_with_braces_is_refused() -> None:
    with pytest.raises(ValueError, match="braces"):
        ClusterKeys(Options(global_keyprefix="{app}"))


def test_a_command_goes_where_its_first_key_is() -> None:
    assert slot_of_command(pack("SET", "{10}.key", "value")) == slot_of(b"10")
    assert slot_of_command(script("size", "common").pack(["{10}.a", "{10}.b"], [1, 2])) == slot_of(b"10")
    assert slot_of_command(pack("TIME")) is None


@pytest.mark.parametrize(
    ("text", "kind", "node"),
    [
        ("MOVED 3999 127.0.0.1:6381", Moved, ("127.0.0.1", 6381)),
        ("ASK 3999 ::1:6381", Ask, ("::1", 6381)),
        ("MOVED 3999 :6381", Moved, ("", 6381)),
    ],
)
def test_redirections(text: str, kind: type[Moved], node: tuple[str, int]) -> None:
    from redis import exceptions

    word, _, rest = text.partition(" ")
    raised = {"MOVED": exceptions.MovedError, "ASK": exceptions.AskError}[word](rest)
    error = error_from_driver(raised)
    assert type(error) is kind
    assert error.node == node
