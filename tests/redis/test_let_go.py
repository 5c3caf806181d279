"""What a connection holds and cannot settle comes back: the lease of a message that nobody has is not renewed."""

from __future__ import annotations

import gc
from threading import enumerate as threads
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Consumer, Queue
from kombu_redis.errors import AccessRefused, ConnectionLost
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.redis_server import RedisServer


@pytest.fixture
def connection(redis_victim: RedisServer) -> Iterator[Connection]:
    with Connection(redis_victim.url) as made:
        yield made


def take(connection: Connection, *queues: Queue, **options: Any) -> list[Any]:
    """Have the first message of a new channel delivered, which stays unacknowledged."""
    got: list[Any] = []
    consumer = Consumer(connection.channel(), queues, on_message=got.append, **options)
    consumer.consume()
    connection.drain_events(timeout=5)
    return got


def publish(connection: Connection, *queues: Queue) -> None:
    for queue in queues:
        connection.Producer().publish("body", routing_key=queue.name, declare=[queue], retry=False)


def keepers() -> list[Any]:
    return [thread for thread in threads() if thread.name.startswith("kombu-redis-keeper")]


def test_a_channel_that_cannot_be_closed_properly(connection: Connection, redis_victim: RedisServer) -> None:
    # Given
    publish(connection, *[Queue("q")] * 3)
    (message,) = take(connection, Queue("q"))
    assert connection.transport.held
    # When
    redis_victim.kill()
    with pytest.raises(ConnectionLost):
        message.channel.close()
    # Then
    assert message.channel.closed
    assert not connection.transport.held
    assert not connection.transport.consumers


def test_several_queues_when_giving_back_fails(connection: Connection, redis_victim: RedisServer) -> None:
    # Given
    one, two = Queue("one"), Queue("two")
    publish(connection, one, two)
    (message,) = take(connection, one, two)
    connection.drain_events(timeout=5)
    # When
    redis_victim.kill()
    with pytest.raises(ConnectionLost):
        message.channel.basic_recover(requeue=True)
    # Then
    assert not connection.transport.held


def test_a_dead_letter_that_cannot_be_made(connection: Connection, redis_victim: RedisServer) -> None:
    # Given
    queue = Queue("q", queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    publish(connection, queue)
    (message,) = take(connection, queue)
    # When
    redis_victim.kill()
    with pytest.raises(ConnectionLost):
        message.reject()
    # Then
    assert not connection.transport.held


def test_a_claim_of_several_queues_that_fails_half_way(
    connection: Connection, redis_victim: RedisServer
) -> None:
    # Given: one of the queues was deleted, which the consumer may not find out
    one, two = Queue("one"), Queue("two")
    publish(connection, one)
    got = take(connection, one, two)
    got.pop().ack()
    with Connection(redis_victim.url) as other:
        other.default_channel.queue_delete("two")
        publish(other, one)
    admin = redis_victim.client()
    admin.execute_command("ACL", "SETUSER", "default", "-get")
    # When: all queues are looked at
    with pytest.raises(AccessRefused):
        connection.drain_events(timeout=0)
    admin.execute_command("ACL", "SETUSER", "default", "+get")
    # Then: it was delivered, or it is not kept from others
    assert len(got) == len(connection.transport.held)


def test_draining_on_after_the_waiting_socket_was_lost(
    connection: Connection, redis_victim: RedisServer
) -> None:
    # Given: it waits for messages
    publish(connection, Queue("q"))
    got = take(connection, Queue("q"))
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)
    # When
    admin = redis_victim.client()
    (waiting,) = [one["id"] for one in admin.client_list() if one["cmd"] == "brpop"]
    admin.client_kill_filter(_id=waiting)
    with pytest.raises(connection.connection_errors):
        connection.drain_events(timeout=5)
    # Then: the same connection can be used
    publish(connection, Queue("q"))
    connection.drain_events(timeout=5)
    assert len(got) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # (its sockets are not closed)
def test_a_connection_that_nobody_refers_to(redis_url: str, redis_client: Any) -> None:
    # Given
    connection = Connection(redis_url)
    publish(connection, Queue("q"))
    got = take(connection, Queue("q"))
    before = len(keepers())
    # When
    got.clear()
    del connection, got
    gc.collect()
    # Then
    until(lambda: len(keepers()) < before, 30, "its thread ends")


def test_a_closed_connection_starts_no_thread(redis_url: str) -> None:
    # Given
    connection = Connection(redis_url)
    transport = connection.connect()
    before = len(keepers())
    connection.release()
    # When: as the last claim of another thread would do
    transport.keeper.start()
    # Then
    assert len(keepers()) == before


def test_a_limit_of_the_channel_holds_for_what_is_fetched(redis_url: str, redis_client: Any) -> None:
    # Given
    one, two = Queue("one"), Queue("two")
    with Connection(redis_url) as connection:
        publish(connection, one, two)
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1, apply_global=True)
        got: list[Any] = []
        # When
        with Consumer(channel, [one, two], on_message=got.append):
            connection.drain_events(timeout=5)
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.05)
            # Then: others can have the second one
            assert redis_client.hlen("unacked") == 1
            # and this one has it next, if nobody else wants it
            got.pop().ack()
            connection.drain_events(timeout=5)
            assert len(got) == 1


def test_an_acknowledgement_that_got_no_answer_is_sent_again(redis_victim: RedisServer) -> None:
    # Given: acknowledged, while there is more at hand, so that it has not left yet
    with Connection(redis_victim.url) as connection:
        publish(connection, Queue("q"), Queue("q"))
        (message,) = take(connection, Queue("q"))
        message.ack()
        # When
        admin = redis_victim.client()
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        # Then
        until(lambda: admin.hlen("unacked") == 1, 30, "the keeper has sent it")


def test_what_a_lost_connection_had_is_free_at_once(redis_victim: RedisServer) -> None:
    # Given: leases of half a minute, of a message, an exclusive consumer and an exclusive queue
    queue, private = Queue("q"), Queue("private", exclusive=True)
    with Connection(redis_victim.url) as connection:
        publish(connection, queue)
        channel = connection.channel()
        private(channel).declare()
        channel.basic_consume("q", exclusive=True, callback=lambda message: None)
        connection.drain_events(timeout=5)
        # When: as a proxy that was restarted would do
        redis_victim.client().client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(connection.connection_errors):
            connection.drain_events(timeout=5)
        connection.ensure_connection(timeout=5)
        # Then
        channel = connection.channel()
        private(channel).declare()
        got: list[Any] = []
        channel.basic_consume("q", exclusive=True, callback=got.append)
        connection.drain_events(timeout=5)
        assert len(got) == 1
