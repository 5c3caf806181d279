"""Broadcasts that wait (``fanout="stream"``): what queues read, in which order, and what it costs the server."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEWS = Exchange("news", "fanout")


@pytest.fixture
def connect(redis_url: str) -> Iterator[Callable[..., Connection]]:
    """A function that connects with ``fanout="stream"`` and other options."""
    with ExitStack() as stack:

        def connect(**options: Any) -> Connection:
            made = Connection(redis_url, transport_options={"fanout": "stream", **options})
            return stack.enter_context(made)

        yield connect


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


def test_a_publisher_without_the_option_reaches_the_stream(connect: Any, redis_url: str) -> None:
    connection = connect()
    declare(connection, "a")
    with Connection(redis_url) as plain:
        publish(plain, 1)
        assert get_all(plain, "a") == [1]


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


def test_nothing_is_kept_for_nobody(connect: Any, redis_client: Any) -> None:
    connection = connect()
    publish(connection, 1)
    declare(connection, "tasks", key="task.#")
    publish(connection, 2, routing_key="worker.online")
    assert not redis_client.exists("_kombu.stream.news")


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
    publish(connection, "early", "early too")
    began = redis_client.time()
    # When: more comes, and the first ones get old
    until(lambda: redis_client.time() >= (began[0] + 1, began[1] + 10_000), 5, "a second is over")
    publish(connection, *range(400))
    # Then: nobody reads them, and the server forgets them soon
    assert redis_client.xinfo_stream("_kombu.stream.news")["first-entry"][1][b"p"]
    assert connection.default_channel.queue_declare("a", passive=True).message_count == 400
    assert get(connection, "a") == 0
    until(
        lambda: not redis_client.exists("_kombu.stream.news", "_kombu.streamed.news"), 5, "the stream is gone"
    )


def test_a_cursor_goes_when_nobody_reads_and_nothing_is_read_twice(connect: Any, redis_client: Any) -> None:
    # Given
    connection = connect(fanout_age=5)
    declare(connection, "a")
    publish(connection, 1)
    assert get_all(connection, "a") == [1]
    assert 60_000 < redis_client.pttl("_kombu.cursors.a") <= 65_000
    seconds, micros = redis_client.time()
    # When: its time is over, which it would be after 65 seconds (of which the last entry's five are enough)
    until(lambda: redis_client.time() >= (seconds + 5, micros + 100_000), 10, "five seconds are over")
    redis_client.delete("_kombu.cursors.a")
    publish(connection, 2)
    # Then
    assert get_all(connection, "a") == [2]


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


def test_a_delay(connect: Any) -> None:
    connection = connect()
    declare(connection, "a")
    publish(connection, "late", delay=0.2)
    assert get(connection, "a") is None
    until(lambda: get(connection, "a") == "late", 5, "its delay is over")


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
