"""Virtual transports written for earlier versions of kombu: their hooks, by name and signature, still do."""

from __future__ import annotations

from collections import defaultdict, deque
from queue import Empty
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.transport import base, virtual
from kombu.utils.json import dumps, loads


def make_transport(**channel_hooks: Any) -> type[virtual.Transport]:
    """A transport as third parties have written them, with a store of its own; extra hooks for its channel."""
    store: dict[str, deque[str]] = defaultdict(deque)

    class Channel(virtual.Channel):
        def _put(self, queue, message, **kwargs):  # type: ignore[no-untyped-def]
            store[queue].append(dumps(message))

        def _get(self, queue, timeout=None):  # type: ignore[no-untyped-def]
            if not store[queue]:
                raise Empty()
            return loads(store[queue].popleft())

        def _size(self, queue):  # type: ignore[no-untyped-def]
            return len(store[queue])

        def _purge(self, queue):  # type: ignore[no-untyped-def]
            size = len(store[queue])
            store[queue].clear()
            return size

    class Transport(virtual.Transport):
        global_state = virtual.BrokerState()
        implements = base.Implements(
            asynchronous=False, exchange_type=frozenset(["direct", "topic", "fanout"]), heartbeats=False
        )
        driver_type = "historic"
        driver_name = "historic"
        polling_interval = 0.01

        def driver_version(self):  # type: ignore[no-untyped-def]
            return "1.0"

    Transport.Channel = type("Channel", (Channel,), channel_hooks)
    return Transport


@pytest.fixture
def transport() -> type[virtual.Transport]:
    return make_transport()


@pytest.fixture
def connection(transport: type[virtual.Transport]) -> Any:
    with Connection(transport=transport) as connection:
        yield connection


def drain(connection: Connection, received: list[Any], expected: int) -> None:
    while len(received) < expected:
        connection.drain_events(timeout=2)


def payloads(queue: Queue) -> list[Any]:
    """What is in the queue, taken out."""
    found = []
    while (message := queue.get(no_ack=True)) is not None:
        found.append(message.payload)
    return found


def bound(connection: Connection, name: str, exchange: Exchange, key: str) -> Queue:
    queue = Queue(name, exchange, routing_key=key, channel=connection.default_channel)
    queue.declare()
    return queue


def test_direct_from_producer_to_consumer(connection: Connection) -> None:
    # Given
    exchange = Exchange("tasks", "direct")
    queue = Queue("tasks", exchange, routing_key="tasks")
    received: list[Any] = []

    def handle(body: Any, message: Any) -> None:
        received.append((body, message.headers["h"], message.delivery_info["routing_key"]))
        message.ack()

    # When
    with Consumer(connection, [queue], callbacks=[handle]):
        Producer(connection).publish(
            {"hello": "wörld"}, exchange=exchange, routing_key="tasks", headers={"h": 1}
        )
        drain(connection, received, 1)
    # Then
    assert received == [({"hello": "wörld"}, 1, "tasks")]


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("direct", {"a": [], "a.#": [], "*.b": [], "a.b": ["hello"]}),
        ("topic", {"a": [], "a.#": ["hello"], "*.b": ["hello"], "a.b": ["hello"]}),
        ("fanout", {"a": ["hello"], "a.#": ["hello"], "*.b": ["hello"], "a.b": ["hello"]}),
    ],
)
def test_exchange_types(connection: Connection, type: str, expected: dict[str, list[str]]) -> None:
    # Given
    exchange = Exchange("router", type)
    queues = {key: bound(connection, f"queue {key}", exchange, key) for key in expected}
    # When
    Producer(connection).publish("hello", exchange=exchange, routing_key="a.b")
    # Then
    assert {key: payloads(queue) for key, queue in queues.items()} == expected


def test_ack_requeue_reject(connection: Connection) -> None:
    # Given
    queue = bound(connection, "work", Exchange("work", "direct"), "work")
    sibling = bound(connection, "sibling", Exchange("work", "direct"), "work")
    for body in ("acked", "requeued", "rejected"):
        Producer(connection).publish(body, exchange="work", routing_key="work")
    acked, requeued, rejected = (queue.get() for _ in range(3))
    # When
    acked.ack()
    requeued.requeue()
    rejected.reject()
    # Then
    again = queue.get()
    assert (again.payload, again.delivery_info["redelivered"], again.delivery_count) == ("requeued", True, 1)
    again.ack()
    assert queue.get() is None
    assert len(payloads(sibling)) == 3, "requeueing is no publishing"


def test_unacknowledged_messages_return(transport: type[virtual.Transport]) -> None:
    # Given
    with Connection(transport=transport) as first:
        queue = bound(first, "work", Exchange("work", "direct"), "work")
        Producer(first).publish("hello", exchange="work", routing_key="work")
        assert queue.get().payload == "hello"
        assert queue.get() is None
    # When: the connection is gone without an acknowledgement
    with Connection(transport=transport) as second:
        # Then
        assert payloads(queue.bind(second.default_channel)) == ["hello"]


def test_purge_and_counts(connection: Connection) -> None:
    # Given
    queue = bound(connection, "work", Exchange("work", "direct"), "work")
    for number in range(3):
        Producer(connection).publish(number, exchange="work", routing_key="work")
    # When, Then
    assert queue.queue_declare(passive=True).message_count == 3
    assert queue.purge() == 3
    assert queue.queue_declare(passive=True).message_count == 0


def test_prefetch_count(connection: Connection) -> None:
    # Given
    queue = bound(connection, "work", Exchange("work", "direct"), "work")
    for number in range(5):
        Producer(connection).publish(number, exchange="work", routing_key="work")
    received: list[Any] = []
    # When
    with Consumer(connection, [queue], on_message=received.append, prefetch_count=2):
        drain(connection, received, 2)
        # Then
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.05)
        received[0].ack()
        drain(connection, received, 3)
    assert [message.payload for message in received] == [0, 1, 2]


def test_bindings_kept_by_the_backend() -> None:
    # Given: a transport that notes bindings where other processes see them, as Redis transports do
    bindings: dict[str, set[tuple[str, str, str]]] = defaultdict(set)

    def _queue_bind(self, exchange, routing_key, pattern, queue):  # type: ignore[no-untyped-def]
        bindings[exchange].add((routing_key or "", pattern or "", queue or ""))

    def get_table(self, exchange):  # type: ignore[no-untyped-def]
        return list(bindings[exchange])

    transport = make_transport(_queue_bind=_queue_bind, get_table=get_table)
    with Connection(transport=transport) as connection:
        queue = bound(connection, "here", Exchange("router", "topic"), "a.*")
        # When: another process has bound a queue of its own
        bindings["router"].add(("a.#", r"^a\..*?$", "there"))
        Producer(connection).publish("hello", exchange=Exchange("router", "topic"), routing_key="a.b")
        # Then
        assert payloads(queue) == ["hello"]
        assert payloads(Queue("there", channel=connection.default_channel)) == ["hello"]
        assert ("a.*", r"^a\.[^\.]+$", "here") in bindings["router"]


def test_fanout_by_the_backend() -> None:
    # Given: a transport with a broadcast of its own
    broadcast: list[tuple[str, str, Any]] = []

    def _put_fanout(self, exchange, message, routing_key, **kwargs):  # type: ignore[no-untyped-def]
        broadcast.append((exchange, routing_key, message["content-type"]))

    transport = make_transport(_put_fanout=_put_fanout, supports_fanout=True)
    with Connection(transport=transport) as connection:
        bound(connection, "listener", Exchange("news", "fanout"), "")
        # When
        Producer(connection).publish({"a": 1}, exchange=Exchange("news", "fanout"), routing_key="key")
        # Then
        assert broadcast == [("news", "key", "application/json")]


def test_a_qos_class_of_its_own() -> None:
    # Given: a transport that settles at its backend, as lease-based ones do
    settled: list[tuple[str, str]] = []

    class QoS(virtual.QoS):
        def ack(self, delivery_tag):  # type: ignore[no-untyped-def]
            settled.append(("ack", self.get(delivery_tag).payload))
            super().ack(delivery_tag)

        def reject(self, delivery_tag, requeue=False):  # type: ignore[no-untyped-def]
            settled.append(("requeue" if requeue else "reject", self.get(delivery_tag).payload))
            super().reject(delivery_tag, requeue)

    with Connection(transport=make_transport(QoS=QoS)) as connection:
        queue = bound(connection, "work", Exchange("work", "direct"), "work")
        for body in ("a", "b", "c"):
            Producer(connection).publish(body, exchange="work", routing_key="work")
        a, b, c = (queue.get() for _ in range(3))
        # When
        a.ack()
        b.reject()
        c.requeue()
    # Then
    assert settled == [("ack", "a"), ("reject", "b"), ("requeue", "c")]


def test_the_old_transport_runs_two_consumers_in_turn(connection: Connection) -> None:
    # Given
    queue = bound(connection, "work", Exchange("work", "direct"), "work")
    first, second = list[Any](), list[Any]()
    with (
        Consumer(connection, [queue], on_message=first.append, no_ack=True),
        Consumer(connection.channel(), [queue], on_message=second.append, no_ack=True),
    ):
        for number in range(6):
            Producer(connection).publish(number, exchange="work", routing_key="work")
        # When
        while len(first) + len(second) < 6:
            connection.drain_events(timeout=2)
    # Then
    assert [message.payload for message in first] == [0, 2, 4]
    assert [message.payload for message in second] == [1, 3, 5]
