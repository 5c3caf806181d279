"""Broadcasts that wait (``fanout="stream"``): what queues read, in which order, and what it costs the server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from tests.redis.wire import until

if TYPE_CHECKING:
    pass

NEWS = Exchange("news", "fanout")


def after(client: Any, seconds: int, micros: int, more: float) -> bool:
    """Whether so many seconds have gone by on the server's clock."""
    now = client.time()
    return bool((now[0] - seconds) + (now[1] - micros) / 1e6 > more)


def publish(connection: Connection, *bodies: Any, exchange: Exchange = NEWS, **options: Any) -> None:
    with connection.Producer(exchange=exchange) as producer:
        for body in bodies:
            producer.publish(body, **options)


def get(connection: Connection, name: str) -> Any:
    """Take one message with basic.get and acknowledge it; its body or None."""
    found = connection.default_channel.basic_get(name)
    if found is None:
        return None
    found.ack()
    return found.decode()


def get_all(connection: Connection, name: str) -> list[Any]:
    return list(iter(lambda: get(connection, name), None))


def declare(
    connection: Connection, name: str, exchange: Exchange = NEWS, key: str = "", **arguments: Any
) -> Queue:
    queue = Queue(name, exchange, key, queue_arguments=arguments)(connection.default_channel)
    queue.declare()
    return queue


def test_one_entry_for_all_queues(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect()
    for name in ("a", "b", "c"):
        declare(connection, name)
    # When
    publish(connection, *range(5))
    # Then: nothing is copied before somebody has room for it
    assert redis_client.xlen("_kombu.stream.news") == 5
    assert not redis_client.exists("a", "b", "c")
    assert [get(connection, "a") for _ in range(2)] == [0, 1]
    assert connection.default_channel.queue_declare("a", passive=True).message_count == 3
    assert redis_client.llen("a") == 0
    assert [get_all(connection, name) for name in ("a", "b", "c")] == [
        [2, 3, 4],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4],
    ]


def test_a_new_queue_starts_at_the_end_and_an_old_one_where_it_was(connect: Any) -> None:
    # Given
    connection, other = connect(), connect()
    declare(connection, "old")
    publish(connection, 1)
    # When: the one is bound now, the other is bound again, by another connection
    declare(other, "new")
    declare(other, "old")
    publish(connection, 2)
    # Then
    assert get_all(other, "old") == [1, 2]
    assert get_all(other, "new") == [2]


def test_it_is_a_message_like_others(connect: Any) -> None:
    # Given
    connection = connect(max_deliveries=3)
    channel = connection.default_channel
    letters = Queue("letters", Exchange("dead", "fanout"))(channel)
    letters.declare()
    declare(connection, "a", **{"x-dead-letter-exchange": "dead"})
    publish(connection, 1, 2)
    # When
    channel.basic_get("a").requeue()
    again = channel.basic_get("a")
    # Then
    assert again.decode() == 1
    again.reject()
    assert get_all(connection, "a") == [2]
    # (and its dead letter went through a stream)
    letter = channel.basic_get("letters")
    assert letter.decode() == 1 and letter.headers["x-death"][0]["reason"] == "rejected"


def test_a_circle_of_dead_letters_ends(connect: Any) -> None:
    # Given: what is delivered too often goes to the exchange that it came from
    connection = connect(max_deliveries=1)
    channel = connection.default_channel
    declare(connection, "a", **{"x-dead-letter-exchange": "news"})
    declare(connection, "b")
    publish(connection, 1)
    assert get_all(connection, "b") == [1]
    # When
    channel.basic_get("a")
    channel.basic_recover(requeue=True)
    # Then
    assert get_all(connection, "b") == [1]
    assert get_all(connection, "a") == []


def test_what_is_for_others_is_passed_over(connect: Any, redis_client: Any) -> None:
    # Given: more than one look goes through
    connection = connect(fanout_length=20_000)
    declare(connection, "all", key="#")
    declare(connection, "tasks", key="task.#")
    publish(connection, "other", routing_key="other")
    ((_, entry),) = redis_client.xrange("_kombu.stream.news")
    with redis_client.pipeline() as pipeline:
        for number in range(2, 12_001):
            pipeline.xadd("_kombu.stream.news", {**entry, b"n": number})
        pipeline.incrby("_kombu.streamed.news", 11_999)
        pipeline.execute()
    # When
    publish(connection, "task", routing_key="task.sent")
    # Then
    assert get(connection, "tasks") == "task"
    assert connection.default_channel.queue_declare("all", passive=True).message_count == 12_001


def test_bounded_by_count(connect: Any, redis_client: Any, caplog: pytest.LogCaptureFixture) -> None:
    # Given
    connection = connect(fanout_length=200)
    declare(connection, "a")
    # When
    publish(connection, *range(1000))
    # Then: whole nodes of a hundred go
    kept = redis_client.xlen("_kombu.stream.news")
    assert 200 <= kept <= 300
    with caplog.at_level(logging.WARNING):
        assert get_all(connection, "a") == list(range(1000 - kept, 1000))
    (warning,) = [record.getMessage() for record in caplog.records if "missed" in record.getMessage()]
    assert f"'a' has missed {1000 - kept} broadcasts of exchange 'news'" in warning


def test_bounded_by_age(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect(fanout_age=1)
    declare(connection, "a")
    seconds, micros = redis_client.time()
    publish(connection, "early")
    until(lambda: after(redis_client, seconds, micros, 0.6), 30, "some time is over")
    publish(connection, "late")
    # When: (Redis, which drops whole nodes, has both still)
    until(lambda: after(redis_client, seconds, micros, 1.1), 30, "a second is over")
    # Then: nobody reads the first one, and the server forgets both soon
    assert "early" not in get_all(connection, "a")
    forgotten = ("_kombu.stream.news", "_kombu.streamed.news")
    until(lambda: not redis_client.exists(*forgotten), 30, "the stream is gone")


def test_a_cursor_goes_when_nobody_reads_and_nothing_is_read_twice(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect(fanout_age=3)
    declare(connection, "a")
    publish(connection, 1)
    assert get_all(connection, "a") == [1]
    assert 55_000 < redis_client.pttl("_kombu.cursors.a") <= 63_000
    seconds, micros = redis_client.time()
    # When: it has gone (after 63 seconds, of which those that an entry stays are enough)
    until(lambda: after(redis_client, seconds, micros, 3), 30, "three seconds are over")
    redis_client.delete("_kombu.cursors.a")
    publish(connection, 2)
    # Then
    assert get_all(connection, "a") == [2]


def test_the_time_of_messages(connect: Any) -> None:
    # Given
    connection = connect()
    declare(connection, "short", **{"x-message-ttl": 300})
    declare(connection, "long")
    publish(connection, "stays")
    publish(connection, "goes", expiration=0.3)
    # When
    assert connection.default_channel.queue_declare("long", passive=True).message_count == 2
    until(
        lambda: connection.default_channel.queue_declare("short", passive=True).message_count == 0,
        5,
        "time is over",
    )
    until(
        lambda: connection.default_channel.queue_declare("long", passive=True).message_count == 1,
        5,
        "time is over",
    )
    # Then
    assert get_all(connection, "short") == []
    assert get_all(connection, "long") == ["stays"]


def test_its_time_goes_on_when_it_was_read(connect: Any) -> None:
    # Given
    connection = connect()
    declare(connection, "a", **{"x-message-ttl": 400})
    publish(connection, 1)
    # When
    message = connection.default_channel.basic_get("a")
    stamp = message.properties["expires_at"]
    message.requeue()
    # Then
    again = connection.default_channel.basic_get("a")
    assert again is None or again.properties["expires_at"] == pytest.approx(stamp)
    assert message.decode() == 1


def test_a_delay(connect: Any) -> None:
    connection = connect()
    declare(connection, "a")
    publish(connection, "late", delay=0.2)
    assert get(connection, "a") is None
    until(lambda: get(connection, "a") == "late", 30, "its delay is over")


def test_several_consumers_of_one_queue(connect: Any) -> None:
    # Given
    first, second = connect(), connect()
    declare(first, "a")
    got: list[Any] = []
    take = [lambda body, message: (got.append(body), message.ack())]
    with first.Consumer([Queue("a")], callbacks=take), second.Consumer([Queue("a")], callbacks=take):
        # When
        publish(connect(), *range(50))
        # Then: each broadcast has one of them
        for connection in (first, second) * 100:
            try:
                connection.drain_events(timeout=0.02)
            except TimeoutError:
                pass
            if len(got) >= 50:
                break
    assert sorted(got) == list(range(50))
