"""The visibility timeout is a lease: a consumer that lives keeps it, one that died loses it soon."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from kombu.exceptions import DecodeError
from tests.redis.wire import delivered, ready, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet import Fleet

#: What a consumer that died holds comes back after its lease, and so much later at the most.
GRACE = 5.0


def test_a_task_of_five_timeouts_is_delivered_once(make_fleet: Callable[..., Fleet], redis_url: str) -> None:
    # Given: the visibility timeout of everybody (which a machine that stands still does not eat up)
    fleet = make_fleet(redis_url, visibility_timeout=2.4)
    ways = ("sleep", "compute", "spin")
    workers = [fleet.launch().tell("consume", queues=[{"name": way}], then=way, seconds=12, prefetch=1) for way in ways]
    others = fleet.start()
    for worker in workers:
        worker.wait_for("consuming")
    # When
    for way in ways:
        others.ask("publish", bodies=["task"], key=way)
    for worker in workers:
        worker.wait_for("got")
    others.consume(*ways)
    # Then
    for worker in workers:
        worker.wait_for("acked")
    others.read()
    assert [worker.all("got") for worker in workers] == [["task"]] * 3
    assert others.all("got") == []


def test_what_a_killed_consumer_held_comes_back(fleet: Fleet, redis_url: str, redis_client: Any) -> None:
    # Given: two queues got the same messages, and a consumer of one holds the first five
    one, two = ({"name": name, "exchange": "both", "key": "k"} for name in ("one", "two"))
    publisher = fleet.start()
    publisher.ask("declare", queues=[one, two])
    publisher.ask("publish", bodies=list(range(8)), exchange="both", key="k")
    holder = fleet.start().consume(one, then="hold", prefetch=5)
    holder.wait_for("got", 5)
    heir = fleet.start()
    # When
    holder.kill()
    with Connection(redis_url) as connection:
        channel = connection.default_channel
        until(
            lambda: channel.queue_declare("one", passive=True).message_count == 8,
            fleet.options["lease"] + GRACE,
            "they are back",
        )
    # Then: the oldest first, in their own queue, and with the count of their deliveries
    assert ready(redis_client, "two") == list(range(8))
    heir.consume(one).wait_for("got", 8)
    assert heir.all("got") == list(range(8))
    assert heir.all("redelivered") == [True] * 5 + [False] * 3
    assert heir.all("count")[:5] == [1] * 5


def test_what_was_fetched_and_lost_meanwhile_is_not_delivered(redis_url: str) -> None:
    # Given: a consumer has fetched two messages, and works on the first
    queue = Queue("q")
    got: dict[str, list[int]] = {"stopped": [], "other": []}
    options = {"transport_options": {"lease": 1}}
    with Connection(redis_url, **options) as stopped, Connection(redis_url, **options) as other:
        for number in range(2):
            other.Producer().publish(number, routing_key="q")

        def work(body: int, message: Any) -> None:
            got["stopped"].append(body)
            # When its process stands still until others have both
            stopped.transport.keeper.stop()
            with other.Consumer([queue], callbacks=[take]):
                until(lambda: other.drain_events(timeout=5) or len(got["other"]) == 2, 30, "they are taken over")
            stopped.transport.renew()
            message.ack()

        def take(body: int, message: Any) -> None:
            got["other"].append(body)
            message.ack()

        with stopped.Consumer([queue], callbacks=[work]):
            stopped.drain_events(timeout=5)
            # Then it does not begin with the second one
            with pytest.raises(TimeoutError):
                stopped.drain_events(timeout=0.1)
    assert got == {"stopped": [0], "other": [0, 1]}


def test_an_idle_consumer_is_given_them_in_time(fleet: Fleet) -> None:
    # Given
    holder = fleet.start().consume("q", then="hold", prefetch=3)
    fleet.start().ask("publish", bodies=["a", "b", "c"], key="q")
    holder.wait_for("got", 3)
    heir = fleet.start().consume("q")
    # When
    holder.kill()
    died = monotonic()
    # Then
    assert heir.wait_for("got", 3) == ["a", "b", "c"]
    assert max(heir.all("at")) - died < fleet.options["lease"] + GRACE


def test_a_long_lease_ends_with_the_process_that_closes_properly(redis_url: str) -> None:
    """Whoever closes gives back at once."""
    with Connection(redis_url) as connection, Connection(redis_url) as other:
        with connection.SimpleQueue("q") as queue, other.SimpleQueue("q") as heir:
            queue.put("hello")
            queue.get(timeout=5)
            queue.close()
            connection.close()
            assert heir.get(timeout=5).payload == "hello"


def test_an_acknowledgement_leaves_soon_though_the_next_task_takes_long(fleet: Fleet, redis_client: Any) -> None:
    # Given: both were claimed together
    publisher = fleet.start()
    publisher.ask("publish", bodies=[1, 2], key="q")
    worker = fleet.start(lease=30).consume("q", then="sleep", seconds=30, quick=1, prefetch=2)
    worker.wait_for("got", 2)
    # Then
    until(lambda: delivered(redis_client) == [2], 30, "the first is acknowledged")


DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.mark.parametrize(
    ("options", "arguments", "deliveries"),
    [({"max_deliveries": 3}, {}, 3), ({}, {"x-delivery-limit": 2}, 3)],
    ids=["max_deliveries", "x-delivery-limit"],
)
def test_a_message_that_kills_its_consumers_is_put_aside_once(
    make_fleet: Callable[..., Fleet],
    redis_url: str,
    redis_client: Any,
    options: dict[str, Any],
    arguments: dict[str, Any],
    deliveries: int,
) -> None:
    # Given
    fleet = make_fleet(redis_url, lease=0.4, **options)
    work = {"name": "work", "queue_arguments": DEAD | arguments}
    warden = fleet.start()
    warden.ask("declare", queues=[work, {"name": "dead"}])
    warden.ask("publish", bodies=["poison"], key="work")
    # When
    for number in range(deliveries):
        victim = fleet.start().consume(work, then="hold", prefetch=1)
        victim.wait_for("got")
        assert victim.all("count")[0] in ([None, 0] if not number else [number])
        victim.kill()
    last = fleet.start().consume(work, then="hold")
    # Then
    until(lambda: ready(redis_client, "dead"), 30, "it is put aside")
    assert ready(redis_client, "dead") == ["poison"]
    sleep(1)  # (longer than a lease: whoever would put it aside again has had the time)
    last.read()
    assert last.all("got") == []
    assert (ready(redis_client, "dead"), ready(redis_client, "work")) == (["poison"], [])
    assert delivered(redis_client) == []


def test_a_message_sent_back_too_often_is_put_aside_once(
    make_fleet: Callable[..., Fleet], redis_url: str, redis_client: Any
) -> None:
    # Given
    fleet = make_fleet(redis_url, max_deliveries=3)
    work = {"name": "work", "queue_arguments": DEAD}
    consumer = fleet.start()
    consumer.ask("declare", queues=[work, {"name": "dead"}])
    consumer.ask("publish", bodies=["poison"], key="work")
    # When
    consumer.consume(work, then="requeue")
    # Then
    until(lambda: ready(redis_client, "dead"), 30, "it is put aside")
    consumer.read()
    assert consumer.all("got") == ["poison"] * 3
    assert ready(redis_client, "dead") == ["poison"]


# -- what nobody can read

FOREIGN = [b"{not json", b"\xff\xfe\x00", b'{"task": "of somebody else"}', b"[1, 2]", b"plain words", b"{}"]


ACCEPT = ["json", "text/plain", "application/data"]


def receive(connection: Any, count: int, **options: Any) -> list[Any]:
    """What a consumer of "q" gets that acknowledges, and is told of what it cannot decode if ``options`` say so."""
    seen: list[Any] = []

    def received(body: Any, message: Any) -> None:
        seen.append(body)
        message.ack()

    def failed(message: Any, exc: Exception) -> None:
        seen.append((type(exc).__name__, bytes(message.body)))
        message.reject()

    options = {"on_decode_error": failed} if options.pop("told", False) else {}
    with connection.Consumer([Queue("q")], callbacks=[received], accept=ACCEPT, **options):
        while len(seen) < count:
            connection.drain_events(timeout=5)
    return seen


@pytest.mark.parametrize("raw", FOREIGN, ids=repr)
def test_a_foreign_message_is_kept_and_stops_nobody(redis_url: str, redis_client: Any, raw: bytes) -> None:
    with Connection(redis_url) as connection:
        # Given
        producer = connection.Producer()
        producer.publish("before", routing_key="q", declare=[Queue("q")])
        redis_client.lpush("q", raw)
        producer.publish("after", routing_key="q")
        # When
        assert receive(connection, 2) == ["before", "after"]
        # Then
        until(lambda: redis_client.lrange("_kombu.undecodable.q", 0, -1) == [raw], 30, "it is kept as it was")
    assert delivered(redis_client) == ready(redis_client, "q") == []


@pytest.mark.parametrize("raw", FOREIGN, ids=repr)
def test_a_consumer_that_wants_to_know_is_given_the_bytes(redis_url: str, redis_client: Any, raw: bytes) -> None:
    with Connection(redis_url) as connection:
        Queue("q")(connection.default_channel).declare()
        redis_client.lpush("q", raw)
        assert receive(connection, 1, told=True) == [("DecodeError", raw)]
    assert redis_client.lrange("_kombu.undecodable.q", 0, -1) == []


@pytest.mark.parametrize("raw", FOREIGN, ids=repr)
def test_a_foreign_message_that_goes_back_is_as_it_was(redis_url: str, redis_client: Any, raw: bytes) -> None:
    redis_client.lpush("q", raw)
    with Connection(redis_url) as connection:
        message = Queue("q")(connection.default_channel).get()
        with pytest.raises(DecodeError):
            message.payload  # noqa: B018
        message.requeue()
        assert redis_client.lrange("q", 0, -1) == [raw]
        Queue("q")(connection.default_channel).get()
    assert redis_client.lrange("q", 0, -1) == [raw]


def test_a_foreign_message_of_a_killed_consumer_is_kept(fleet: Fleet, redis_client: Any) -> None:
    # Given: two that nobody can read, held by a consumer that looks no further
    holder = fleet.start()
    holder.ask("declare", queues=[{"name": "q"}])
    for raw in FOREIGN:
        redis_client.lpush("q", raw)
    holder.tell("hold", queue="q").wait_for("held", len(FOREIGN))
    # When
    holder.kill()
    fleet.start().consume("other")
    # Then
    until(lambda: not redis_client.hlen("unacked"), fleet.options["lease"] + GRACE, "they come back")
    assert sorted(redis_client.lrange("q", 0, -1)) == sorted(FOREIGN)


def test_a_foreign_message_goes_to_the_dead_letter_queue_with_its_bytes(redis_url: str, redis_client: Any) -> None:
    with Connection(redis_url) as connection:
        # Given
        channel = connection.default_channel
        Queue("dead")(channel).declare()
        work = Queue("q", queue_arguments=DEAD)
        work(channel).declare()
        # When
        redis_client.lpush("q", FOREIGN[0])
        redis_client.lpush("q", FOREIGN[1])
        with connection.Consumer([work], callbacks=[print]):
            for _ in range(2):
                with suppress(TimeoutError):
                    connection.drain_events(timeout=1)
        # Then
        found = [Queue("dead")(channel).get() for _ in range(2)]
        assert [bytes(letter.body) for letter in found] == FOREIGN[:2]


def test_a_body_that_cannot_be_unpacked_is_the_consumers_to_settle(redis_url: str) -> None:
    # Given: a body that says it is gzip and is not
    with Connection(redis_url) as connection:
        producer = connection.Producer()
        kind = {"headers": {"compression": "application/x-gzip"}, "serializer": "raw"}
        producer.publish(b"no gzip", routing_key="q", declare=[Queue("q")], **kind)
        producer.publish("good", routing_key="q")
        # When
        seen = receive(connection, 2, told=True)
    # Then
    assert seen == [("DecodeError", b"no gzip"), "good"]


def test_a_body_that_cannot_be_unpacked_is_kept_without_a_handler(redis_url: str, redis_client: Any) -> None:
    # Given
    with Connection(redis_url) as connection:
        producer = connection.Producer()
        kind = {"content_type": "application/json", "content_encoding": "utf-8"}
        producer.publish(b"no json", routing_key="q", declare=[Queue("q")], **kind)
        producer.publish("good", routing_key="q")
        # When
        assert receive(connection, 1) == ["good"]
    # Then
    (kept,) = redis_client.lrange("_kombu.undecodable.q", 0, -1)
    assert b64decode(json.loads(kept)["body"]) == b"no json"
