"""Names of keys and channels: what kombu 5.7 shares has its names, and all start with the prefix."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from kombu_redis.fanout import _matches
from kombu_redis.keys import Keys
from kombu_redis.options import Options
from tests.unit.kombu_redis.support_client import client_to

#: Of its members, those that make no names, or parts of them.
NO_NAMES = ("prefix", "sep", "step", "steps", "level", "levels", "pattern", "selects", "selector", "queue_of_wake")


def keys(db: int = 0, **options: Any) -> Keys:
    return Keys(Options.parse(options), db)


def test_names_of_kombu_5() -> None:
    # (as observed with MONITOR)
    ours = keys(3)
    assert ours.queue("q") == "q" and ours.level("q", 3) == "q\x06\x163"
    assert ours.levels("q") == ["q", "q\x06\x163", "q\x06\x166", "q\x06\x169"]
    assert ours.binding("x") == "_kombu.binding.x"
    assert ours.binding_permanent("x") == "_kombu.binding_permanent.x"
    assert ours.binding_deadlines == "_kombu.binding_deadlines"
    assert (ours.unacked("q"), ours.unacked_index("q")) == ("unacked", "unacked_index")
    assert ours.unacked_mutex == "unacked_mutex"
    assert ours.channel("x", "a.b") == "/3.x/a.b" and ours.channel("x") == "/3.x"
    assert ours.pattern("x", "a.#") == "/3.x/a.*" and ours.pattern("x") == "/3.x"


def test_fanout_options() -> None:
    assert keys(3, fanout_prefix="zz.").channel("x", "k") == "zz.x/k"
    assert keys(3, fanout_prefix=False).channel("x", "k") == "x/k"
    assert keys(3, fanout_patterns=False).channel("x", "k") == "/3.x"
    assert keys(3, fanout_patterns=False).pattern("x", "a.*") == "/3.x"
    assert keys(3, global_keyprefix="p:").channel("x", "k") == "p:/3.x/k"


def test_what_a_binding_of_a_fanout_exchange_subscribes_to() -> None:
    for plain in ("", "key", "#"):
        assert keys().patterns("x", plain) == ["/0.x", "/0.x/*"]
        assert keys(fanout_patterns=False).patterns("x", plain) == ["/0.x"]
    assert keys().patterns("x", "a.#") == ["/0.x/a.*"]
    assert keys(fanout_patterns=False).patterns("x", "a.#") == ["/0.x"]


def test_streams_select_as_patterns_do(redis_client: Any) -> None:
    # Given
    find = "return string.find(ARGV[1], ARGV[2]) and 1 or 0"
    for binding in ("", "key", "#", "*", "a.#", "a.*.c", "*.b", "a[b]%.*", "##"):
        for routing_key in ("", "a", "a.b", "a.b.c", "key", "x.b", "a[b]%.c", "ab%.c"):
            ours = keys()
            # When
            selected = ours.selects(binding, routing_key)
            selector = ours.selector(binding)
            by_script = selector is None or (
                routing_key and redis_client.eval(find, 0, routing_key, selector)
            )
            by_pubsub = any(
                _matches(each, ours.channel("x", routing_key)) for each in ours.patterns("x", binding)
            )
            # Then
            assert selected == bool(by_script) == by_pubsub, (binding, routing_key)
    assert keys(fanout_patterns=False).selects("a.*", "b")
    assert keys(fanout_patterns=False).selector("a.*") is None


def test_everything_starts_with_the_prefix() -> None:
    ours = keys(2, global_keyprefix="p:")
    names: list[str] = []
    for name, member in inspect.getmembers(ours):
        if name.startswith("_") or name in NO_NAMES:
            continue
        if name in ("queues_of", "temporary_of"):  # the same for all queues
            continue
        # (the parameters are names, and some have defaults)
        wanted = inspect.signature(member).parameters.values() if callable(member) else ()
        given = [f"{parameter.name}-" for parameter in wanted if parameter.default is parameter.empty]
        made = member(*given) if callable(member) else member
        if isinstance(made, str):
            names.append(made)
        else:
            assert all(name.startswith("p:") for name in made)
    assert len(names) > 18 and [name for name in names if not name.startswith("p:")] == []
    assert len(set(names)) == len(names), "no two are the same"
    for name in (*ours.levels("name"), ours.pattern("name")):
        assert name.startswith("p:")


@pytest.mark.parametrize(
    ("priority", "step"), [(None, 0), (0, 0), (2, 0), (3, 3), (5, 3), (6, 6), (9, 9), (255, 9), (-4, 0)]
)
def test_old_order(priority: int | None, step: int) -> None:
    assert keys().step(priority) == step
    assert keys().step(priority, 10) == step


def test_steps_of_ones_own() -> None:
    ours = keys(priority_steps=[2, 4], sep=":")
    assert ours.levels("q") == ["q:2", "q:4"]
    assert [ours.step(priority) for priority in (None, 1, 2, 3, 9)] == [2, 2, 2, 2, 4]


def test_rabbitmq_order() -> None:
    ours = keys(priority_order="rabbitmq", sep=":")
    assert ours.levels("q") == ["q"]
    assert ours.levels("q", 3) == ["q:3", "q:2", "q:1", "q"]
    assert [ours.step(priority, 3) for priority in (None, 0, 1, 3, 9)] == [0, 0, 1, 3, 3]
    assert ours.step(5) == 0, "a queue without x-max-priority has one list"


def test_a_pattern_takes_an_exchange_name_literally(redis_url: str) -> None:
    # Given: a subscription to one of two exchanges that look like patterns of each other
    ours = keys()
    with client_to(redis_url) as client, client_to(redis_url) as other:
        client.write(b"".join((_subscribe(ours.pattern("x[1]?", "a.*")),)), 0)
        assert client.read()[0] == b"psubscribe"
        # Then
        assert ours.patterns("x[1]?", "a.*") == [ours.pattern("x[1]?", "a.*")]
        assert other.call("PUBLISH", ours.channel("x1z", "a.b"), "no") == 0
        assert other.call("PUBLISH", ours.channel("x[1]?", "b.b"), "no") == 0
        assert other.call("PUBLISH", ours.channel("x[1]?", "a.b"), "yes") == 1
        assert client.read()[2:] == [b"/0.x[1]?/a.b", b"yes"]


def _subscribe(pattern: str) -> bytes:
    from kombu_redis.resp import pack

    return pack("PSUBSCRIBE", pattern)
