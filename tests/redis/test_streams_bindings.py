"""Streams of broadcasts and the topology: bindings that select, change, go, and take another form."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import Connection, Exchange, Queue
from tests.redis.test_streams import NEWS, declare, get, get_all, publish


def test_a_publisher_without_the_option_reaches_the_stream(connect: Any, redis_url: str) -> None:
    connection = connect()
    declare(connection, "a")
    with Connection(redis_url) as plain:
        publish(plain, 1)
        assert get_all(plain, "a") == [1]


def test_by_routing_key(connect: Any) -> None:
    # Given
    connection = connect()
    declare(connection, "all", key="#")
    declare(connection, "tasks", key="task.#")
    two = declare(connection, "two", key="task.*")
    two.bind_to(NEWS, "worker.o%-*")
    # When
    for key in ("task.sent", "worker.o%-k", "worker.online", "", "subtask.x"):
        publish(connection, key, routing_key=key)
    # Then
    assert get_all(connection, "all") == ["task.sent", "worker.o%-k", "worker.online", "", "subtask.x"]
    assert get_all(connection, "tasks") == ["task.sent"]
    assert get_all(connection, "two") == ["task.sent", "worker.o%-k"]


def test_nothing_is_kept_for_nobody(connect: Any, redis_client: Any) -> None:
    connection = connect()
    publish(connection, 1)
    declare(connection, "tasks", key="task.#")
    publish(connection, 2, routing_key="worker.online")
    assert not redis_client.exists("_kombu.stream.news")


def test_it_goes_with_its_queue(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect()
    queue = declare(connection, "a")
    before = set(redis_client.keys()) - {b"_kombu.cursors.a"}
    publish(connection, 1)
    get(connection, "a")
    # When
    publish(connection, 2, 3)
    # Then
    with pytest.raises(connection.channel_errors, match="not empty"):
        queue.delete(if_empty=True)
    channel = connection.channel()
    assert channel.queue_purge("a") == 2
    publish(connection, 4)
    assert channel.queue_delete("a") == 1
    left = set(redis_client.keys())
    assert b"_kombu.cursors.a" not in left
    assert left <= before | {b"_kombu.stream.news", b"_kombu.streamed.news"}
    channel.exchange_delete("news")
    assert not redis_client.keys("*news*")


def test_a_queue_bound_anew(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect()
    queue = declare(connection, "a")
    publish(connection, 1)
    # When
    queue.unbind_from(NEWS)
    assert redis_client.hkeys("_kombu.cursors.a") == []
    publish(connection, 2)
    queue.bind_to(NEWS)
    publish(connection, 3)
    # Then
    assert get_all(connection, "a") == [3]


@pytest.mark.parametrize("before", ["pubsub", "queue"])
def test_a_program_changes_over(connect: Any, before: str) -> None:
    """A queue has each broadcast once, as the program says that bound it last, and the way back is open."""
    # Given
    for fanout in (before, "stream", before, "stream"):
        connection = connect(fanout=fanout)
        declare(connection, "a")
        got: list[Any] = []
        # When
        with connection.Consumer([Queue("a")], on_message=got.append, no_ack=True):
            publish(connection, 1, 2)
            while len(got) < 2:
                connection.drain_events(timeout=5)
            # Then
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.1)
        assert [message.decode() for message in got] == [1, 2], fanout
        connection.release()


def test_bindings_that_change_while_it_is_consumed(connect: Any) -> None:
    # Given
    connection, other = connect(), connect()
    queue = Queue("a")(connection.default_channel)
    queue.declare()
    got: list[Any] = []
    with connection.Consumer([queue], callbacks=[lambda body, message: (got.append(body), message.ack())]):
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        # When
        bound = declare(other, "a")
        publish(other, 1)
        connection.drain_events(timeout=5)
        bound.unbind_from(NEWS)
        publish(other, 2)
        declare(other, "a", Exchange("more", "fanout"))
        publish(other, 3, exchange=Exchange("more", "fanout"))
        connection.drain_events(timeout=5)
    # Then
    assert got == [1, 3]


def test_once_by_several_ways(connect: Any) -> None:
    # Given: a direct exchange leads to the queue, and to two broadcasts that the queue reads
    connection = connect()
    channel = connection.default_channel
    start, more = Exchange("start", "direct")(channel), Exchange("more", "fanout")(channel)
    start.declare()
    for name, exchange in (("a", NEWS), ("a", more), ("b", NEWS), ("b", more), ("c", more)):
        declare(connection, name, exchange)
    NEWS(channel).bind_to("start", "k")
    more.bind_to("start", "k")
    channel.queue_bind("a", "start", "k")
    # When
    publish(connection, 1, 2, exchange=start, routing_key="k")
    # Then
    assert sorted(get_all(connection, "a")) == [1, 2]
    assert get_all(connection, "b") == [1, 2]
    assert get_all(connection, "c") == [1, 2]


def test_what_has_to_be_seen_to_while_it_waits_is_put_into_the_queue(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect()
    declare(connection, "few", **{"x-max-length": 2})
    declare(connection, "letters", **{"x-message-ttl": 60_000, "x-dead-letter-exchange": "dead"})
    # When
    publish(connection, 1, 2, 3)
    # Then
    assert redis_client.llen("few") == 2 and redis_client.llen("letters") == 3
    assert not redis_client.exists("_kombu.stream.news")


def test_a_server_that_lost_everything(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect()
    declare(connection, "a")
    publish(connection, 1)
    assert get(connection, "a") == 1
    # When
    redis_client.flushdb()
    redis_client.script_flush()
    declare(connection, "a")
    publish(connection, 2)
    # Then
    assert get_all(connection, "a") == [2]
