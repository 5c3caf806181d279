"""Messages that other programs wrote, and ways that lead nowhere: nothing is lost, nobody is stopped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import BatchPublishError, MessageNacked, UnsupportedCapability
from tests.redis.wire import body, delivered, ready, until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def connection(redis_url: str) -> Iterator[Connection]:
    with Connection(redis_url, transport_options={"lease": 1}) as made:
        yield made


def payload(**properties: Any) -> str:
    """A message as any program may write it."""
    properties |= {"body_encoding": "base64", "delivery_tag": "t"}
    properties["delivery_info"] = {"exchange": "", "routing_key": "q"}
    return json.dumps(
        {"body": "MQ==", "content-type": "application/json", "content-encoding": "utf-8", "headers": {}}
        | {"properties": properties}
    )


def receive(connection: Connection, *queues: Queue, **options: Any) -> list[Any]:
    got: list[Any] = []
    Consumer(connection.channel(), queues, on_message=got.append, **options).consume()
    connection.drain_events(timeout=5)
    return got


def sweep(connection: Connection) -> None:
    connection.transport.sweep.run(connection.default_channel)


def claimed_long_ago(client: Any, exchange: str, routing_key: str) -> None:
    """What a consumer of kombu 5 leaves that was killed."""
    client.hset("unacked", "t", json.dumps([json.loads(payload()), exchange, routing_key]))
    client.zadd("unacked_index", {"t": 1})


def looks_like_one(name: str, value: Any) -> str:
    odd = json.loads(payload())
    where = odd if name in odd else odd["properties"]
    where[name] = value
    return json.dumps(odd)


@pytest.mark.parametrize(
    "odd",
    [
        looks_like_one("body_encoding", "rot13"),
        looks_like_one("body_encoding", ["base64"]),
        looks_like_one("delivery_info", "x"),
        looks_like_one("headers", [1]),
        looks_like_one("headers", "x"),
        looks_like_one("body", 5),
        looks_like_one("body", {"a": 1}),
        '{"body": %s, "properties": {}}' % ("[" * 10_000 + "]" * 10_000),
    ],
)
def test_what_only_looks_like_a_message_stops_nobody(
    connection: Connection, redis_client: Any, odd: str
) -> None:
    # Given such payloads before messages: in the queue, and held by a consumer that was killed
    redis_client.lpush("q", odd, payload(), odd, payload())
    redis_client.hset("unacked", "t", f'[{odd}, "", "q"]')
    redis_client.zadd("unacked_index", {"t": 1})
    # When
    sweep(connection)
    got: list[Any] = []

    def take(body: Any, message: Any) -> None:
        got.append(body)
        message.ack()

    with connection.Consumer([Queue("q")], callbacks=[take]):
        while len(got) < 2:
            connection.drain_events(timeout=5)
    # Then
    assert not redis_client.exists("q")
    kept = [raw for key in redis_client.keys("_kombu.undecodable.*") for raw in redis_client.lrange(key, 0, -1)]
    assert [odd[:-2].encode() in raw for raw in kept] == [True] * 3  # (its deliveries may have been counted)


@pytest.mark.parametrize("odd", ["", "[]", "[" * 10_000, '{"__type__": "uuid", "__value__": 5}'])
def test_a_broadcast_that_is_no_message(connection: Connection, redis_client: Any, odd: str) -> None:
    # Given
    got: list[Any] = []
    queue = Queue("heard", Exchange("news", "fanout"))
    with connection.Consumer([queue], on_message=lambda message: got.append(message.payload)):
        until(lambda: redis_client.publish(f"/{connection.virtual_host}.news", odd), 30, "somebody listens")
        # When
        redis_client.publish(f"/{connection.virtual_host}.news", payload())
        while not got:
            connection.drain_events(timeout=5)
        # Then
        assert got == [1]


def test_a_history_of_dead_letters_that_is_none(connection: Connection, redis_client: Any) -> None:
    # Given messages whose header says nothing that can be counted, in a queue with dead letters
    Queue("q", queue_arguments=DEAD)(connection.default_channel).declare()
    odd = ["x", [5], [{"queue": "q", "reason": "rejected", "count": "many"}]]
    redis_client.lpush("q", *(looks_like_one("headers", {"x-death": history}) for history in odd))
    # When they are rejected
    for _ in odd:
        message = connection.default_channel.basic_get("q")
        assert message is not None
        message.reject()
    # Then they have one from now on
    counts = [json.loads(raw)["headers"]["x-death"][0]["count"] for raw in redis_client.lrange("dead", 0, -1)]
    assert counts == [1, 1, 1]


@pytest.mark.parametrize("exchange", ["x", "unknown"])
def test_what_an_old_consumer_held_whose_binding_is_gone(
    connection: Connection, redis_client: Any, exchange: str
) -> None:
    # Given: an exchange that leads nowhere, or one that nobody knows
    Exchange("x", "direct")(connection.default_channel).declare()
    claimed_long_ago(redis_client, exchange, "q")
    # When
    sweep(connection)
    # Then: the queue of that name has it
    assert ready(redis_client, "q") == [1]
    assert delivered(redis_client) == []


def test_what_an_old_consumer_held_that_nothing_leads_from(connection: Connection, redis_client: Any) -> None:
    # Given: and no queue can be made out
    claimed_long_ago(redis_client, "unknown", "")
    # When
    sweep(connection)
    # Then
    assert redis_client.llen("_kombu.undecodable.unacked") == 1
    assert delivered(redis_client) == []


@pytest.mark.parametrize("stamp", ["expires_at", "delivery_count", "priority"])
@pytest.mark.parametrize("value", ["soon", {"a": 1}, [1]])
def test_stamps_that_are_no_numbers(
    connection: Connection, redis_client: Any, stamp: str, value: Any
) -> None:
    # Given
    redis_client.lpush("q", payload(**{stamp: value}))
    # When: it is delivered, goes back, and becomes a dead letter
    queue = Queue("q", queue_arguments=DEAD)
    got = receive(connection, queue)
    got.pop().requeue()
    connection.drain_events(timeout=5)
    got.pop().reject()
    # Then
    assert ready(redis_client, "dead") == [1]


@pytest.mark.parametrize("stamp", ["expires_at", "delivery_count", "priority"])
def test_such_a_message_of_a_killed_consumer_comes_back_once(
    connection: Connection, redis_client: Any, stamp: str
) -> None:
    # Given
    redis_client.lpush("q", payload(**{stamp: "soon"}))
    got = receive(connection, Queue("q"))
    redis_client.zadd("unacked_index", dict.fromkeys(redis_client.zrange("unacked_index", 0, -1), 1))
    connection.transport.held.clear()
    # When
    with Connection(connection.as_uri()) as other:
        sweep(other)
    # Then
    assert len(got) == 1
    assert ready(redis_client, "q") == [1]
    assert delivered(redis_client) == []


def test_what_gives_way_need_not_be_a_message(connection: Connection, redis_client: Any) -> None:
    # Given: no envelope, and no JSON either
    queue = Queue("q", queue_arguments={"x-max-length": 1, **DEAD})
    queue(connection.default_channel).declare()
    redis_client.lpush("q", '{"a": 1}', "no JSON")
    # When
    connection.Producer().publish("new", routing_key="q", retry=False)
    # Then: both are kept, their bytes being the body
    dead = [json.loads(raw) for raw in redis_client.lrange("dead", 0, -1)]
    assert len(dead) == 2
    assert ready(redis_client, "q") == ["new"]
    assert delivered(redis_client) == []


def test_a_dead_letter_for_a_queue_that_was_deleted(
    connection: Connection, redis_client: Any, redis_url: str
) -> None:
    # Given: known to this connection, and deleted by another
    queue = Queue("q", queue_arguments=DEAD)
    producer = connection.Producer()
    producer.publish("1", routing_key="dead", declare=[Queue("dead")], retry=False)
    producer.publish("2", routing_key="q", declare=[queue], retry=False)
    with Connection(redis_url) as other:
        other.default_channel.queue_delete("dead")
    # When
    receive(connection, queue).pop().reject()
    # Then: as what is published to the default exchange, it is put there all the same
    assert ready(redis_client, "dead") == ["2"]


def test_a_full_queue_whose_dead_letters_come_back_to_it(connection: Connection, redis_client: Any) -> None:
    # Given
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": ""}
    arguments["x-dead-letter-routing-key"] = "q"
    queue = Queue("q", queue_arguments=arguments)
    producer = connection.Producer()
    producer.publish("1", routing_key="q", declare=[queue], retry=False)
    # When
    with pytest.raises(MessageNacked):
        producer.publish("2", routing_key="q", retry=False)
    # Then
    assert ready(redis_client, "q") == ["1"]


def test_what_became_of_each_message_of_a_batch(connection: Connection) -> None:
    # Given a queue with room for two
    queue = Queue("q", queue_arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    queue(connection.default_channel).declare()
    producer = connection.Producer()
    # When
    with pytest.raises(BatchPublishError) as caught, producer.batch():
        for name in ("other", "q", "q", "other", "q", "other"):
            producer.publish("x", routing_key=name)
    # Then
    assert [outcome is None for outcome in caught.value.outcomes] == [True, True, True, True, False, True]


def test_what_a_full_queue_refuses_has_the_key_it_was_published_with(
    connection: Connection, redis_client: Any
) -> None:
    # Given
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "dlx"}
    dead = Queue("dead", Exchange("dlx"), "q")
    dead(connection.default_channel).declare()
    producer = connection.Producer()
    producer.publish("1", routing_key="q", declare=[Queue("q", queue_arguments=arguments)], retry=False)
    # When
    with pytest.raises(MessageNacked):
        producer.publish("2", routing_key="q", retry=False)
    # Then
    assert ready(redis_client, "dead") == ["2"]


@pytest.mark.parametrize("priority", [5.0, 5.5, True, "5"])
def test_priorities_that_are_no_whole_numbers(redis_url: str, redis_client: Any, priority: Any) -> None:
    queue = Queue("q", max_priority=10)
    with Connection(redis_url, transport_options={"priority_order": "rabbitmq"}) as connection:
        # When
        try:
            connection.Producer().publish(1, routing_key="q", priority=priority, declare=[queue], retry=False)
        except (TypeError, ValueError) as exc:
            assert "priority" in str(exc)
            return
        # Then
        assert receive(connection, queue)[0].payload == 1


def test_a_broadcast_by_pubsub_cannot_be_delayed(connection: Connection) -> None:
    fans = Exchange("fans", "fanout")
    with pytest.raises(UnsupportedCapability, match="fanout"):
        connection.Producer(exchange=fans).publish("late", delay=60, declare=[fans], retry=False)


def test_dead_letters_of_two_broadcasts(connection: Connection, redis_client: Any) -> None:
    # Given: the dead letters go on to a second fanout exchange
    one, two = Exchange("one", "fanout"), Exchange("two", "fanout")
    channel = connection.default_channel
    for exchange in (one, two):
        exchange(channel).declare()
    two(channel).bind_to("one")
    queue = Queue("q", queue_arguments={"x-dead-letter-exchange": "one"})
    connection.Producer().publish(1, routing_key="q", declare=[queue], retry=False)
    listener = redis_client.pubsub()
    database = redis_client.connection_pool.connection_kwargs["db"]
    listener.psubscribe(f"/{database}.*")
    listener.get_message(timeout=5)
    # When
    receive(connection, queue).pop().reject()
    # Then
    heard = [listener.get_message(timeout=5) for _ in range(2)]
    assert {one["channel"].decode().partition(".")[2].partition("/")[0] for one in heard} == {"one", "two"}
    assert [body(json.loads(one["data"])) for one in heard] == [1, 1]
    listener.close()


def test_a_queue_whose_key_is_something_else(connection: Connection, redis_client: Any) -> None:
    # Given: what a killed consumer held cannot go back
    redis_client.set("odd", "no list")
    for name, place in (("odd", 1), ("q", 2)):
        redis_client.hset("unacked", name, json.dumps([json.loads(payload()), "", name]))
        redis_client.zadd("unacked_index", {name: place})
    # When
    sweep(connection)
    # Then: others do, and it is kept
    assert ready(redis_client, "q") == [1]
    assert redis_client.hkeys("unacked") == [b"odd"]


def test_delayed_messages_that_expire_where_nobody_consumes(
    connection: Connection, redis_client: Any
) -> None:
    # Given: a queue that messages only wait in
    queue = Queue("q", queue_arguments={"x-message-ttl": 50, "x-max-length": 1, **DEAD})
    producer = connection.Producer()
    for number in range(2):
        producer.publish(number, routing_key="q", delay=0.05, declare=[queue], retry=False)

    # When
    def moved() -> bool:
        sweep(connection)
        return len(ready(redis_client, "dead")) == 2

    # Then: one gives way, the other one expires
    until(moved, 30, "both are dead letters")
    assert sorted(ready(redis_client, "dead")) == [0, 1]
    assert delivered(redis_client) == []


def test_full_queues_that_are_each_others_dead_letters(connection: Connection, redis_client: Any) -> None:
    # Given
    queues = [
        Queue(
            name,
            queue_arguments={
                "x-max-length": 300,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": other,
            },
        )
        for name, other in ("ab", "ba")
    ]
    producer = connection.Producer()
    for queue in queues * 300:
        producer.publish("old", routing_key=queue.name, declare=[queue], retry=False)
    # When: what gives way makes something give way, and so on
    producer.publish("new", routing_key="a", retry=False)
    # Then: until something would have gone in circles
    assert (redis_client.llen("a"), redis_client.llen("b")) == (300, 300)
    assert ready(redis_client, "a").count("new") + ready(redis_client, "b").count("new") == 1
    assert delivered(redis_client) == []


def test_delayed_messages_with_steps_that_leave_out_zero(redis_url: str) -> None:
    with Connection(redis_url, transport_options={"priority_steps": [3, 6]}) as connection:
        # Given: the second one is the more urgent
        producer = connection.Producer()
        for priority in (6, 3):
            producer.publish(
                priority, routing_key="q", priority=priority, delay=0.01, declare=[Queue("q")], retry=False
            )
        got: list[Any] = []
        # When
        until(
            lambda: connection.default_channel.connection.take_from({"q": 0}) and size(connection) == 2,
            5,
            "due",
        )
        while (message := connection.default_channel.basic_get("q", no_ack=True)) is not None:
            got.append(message.decode())
    # Then
    assert got == [3, 6]


def size(connection: Connection) -> int:
    return int(connection.default_channel.queue_declare("q", passive=True).message_count)
