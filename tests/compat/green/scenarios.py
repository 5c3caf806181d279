"""What is done under gevent and eventlet. A greenlet that ticks ends each wait, which shows that the hub was free."""

from __future__ import annotations

import socket
from time import monotonic, sleep
from typing import Any

import pytest
from faults import blocked as blocked
from faults import close_while_waiting as close_while_waiting
from faults import fork as fork
from faults import heartbeats as heartbeats
from faults import killed_publisher as killed_publisher
from faults import lease as lease
from faults import lost as lost
from faults import lost_publisher as lost_publisher
from faults import silent_broker as silent_broker
from faults import stuck_answer as stuck_answer
from faults import stuck_write as stuck_write
from faults import stuck_writes as stuck_writes
from faults import tls as tls
from rig import PATIENCE, Rig

from kombu import Connection, Consumer, Exchange, Queue
from kombu.asynchronous import Hub
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from kombu.pidbox import Mailbox
from kombu.pools import Connections, Producers
from kombu.utils.compat import detect_environment
from kombu.utils.deadline import deadline_scope, remaining


def environment(rig: Rig) -> None:
    assert detect_environment() == rig.library


def waiting(rig: Rig) -> None:
    """drain_events gives way, and what another greenlet publishes ends it."""
    connection, got = rig.connect(), []
    rig.declare(connection)
    rig.consume(connection, lambda body, message: (got.append(body), message.ack()))
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)
    rig.after_ticks(lambda: rig.publish("tick"))
    connection.drain_events(timeout=PATIENCE)
    assert got == ["tick"]


def simple_queue(rig: Rig) -> None:
    with rig.connect() as connection, connection.SimpleQueue(rig.queue) as queue:
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.05)
        rig.after_ticks(lambda: rig.publish({"n": 1}))
        message = queue.get(timeout=PATIENCE)
        assert message.payload == {"n": 1}
        message.ack()


def pools(rig: Rig) -> None:
    """Many greenlets publish through five producers, and four consume; everything comes once."""
    many, each, got = 10 if rig.url.startswith("sqs") else 40, 10, []
    producers = Producers(limit=5)
    pool = producers[rig.connect()]
    rig.declare(rig.connect())

    def publish(number: int) -> None:
        for index in range(each):
            with pool.acquire(block=True, timeout=PATIENCE) as producer:
                producer.publish([number, index], routing_key=rig.queue.name)

    def consume() -> None:
        with Connection(rig.url) as connection:
            with connection.Consumer([rig.queue], prefetch_count=3) as consumer:
                consumer.register_callback(lambda body, message: (got.append(tuple(body)), message.ack()))
                until = monotonic() + PATIENCE
                while len(got) < many * each and monotonic() < until:
                    try:
                        connection.drain_events(timeout=0.1)
                    except TimeoutError:
                        pass

    consumers = [rig.spawn(consume) for _ in range(4)]
    for publisher in [rig.spawn(publish, number) for number in range(many)]:
        publisher.result()
    for consumer in consumers:
        consumer.result()
    missing = {(number, index) for number in range(many) for index in range(each)}.difference(got)
    assert (len(got), missing) == (many * each, set())
    pool.force_close_all()


def exhausted_pool(rig: Rig) -> None:
    """A greenlet waits for a connection that another one gives back."""
    pool = Connections(limit=1)[rig.connect()]
    first = pool.acquire(block=True)
    with pytest.raises(pool.LimitExceeded):
        pool.acquire(block=True, timeout=0.05)
    rig.after_ticks(first.release)
    pool.acquire(block=True, timeout=PATIENCE).release()
    pool.force_close_all()


def mixins(rig: Rig) -> None:
    """A service answers what another program asks, both run by mixins in greenlets."""
    replies = Queue(rig.queue.name + "-replies")
    answers: list[Any] = []

    class Service(ConsumerProducerMixin):
        def __init__(self) -> None:
            self.connection = rig.connect()

        def get_consumers(self, Consumer: Any, channel: Any) -> Any:
            return [Consumer([rig.queue], callbacks=[self.answer])]

        def answer(self, body: Any, message: Any) -> None:
            self.producer.publish(body * 2, routing_key=message.properties["reply_to"], retry=True)
            message.ack()

    class Asker(ConsumerMixin):
        def __init__(self) -> None:
            self.connection = rig.connect()

        def get_consumers(self, Consumer: Any, channel: Any) -> Any:
            return [Consumer([replies], callbacks=[self.hear])]

        def on_consume_ready(self, connection: Any, channel: Any, consumers: Any, **kwargs: Any) -> None:
            rig.after_ticks(lambda: [rig.publish(n, reply_to=replies.name) for n in range(5)])

        def hear(self, body: Any, message: Any) -> None:
            answers.append(body)
            message.ack()
            self.should_stop = service.should_stop = len(answers) == 5

    rig.declare(rig.connect())
    service = Service()
    serving, asking = rig.spawn(service.run), rig.spawn(Asker().run)
    asking.result()
    serving.result()
    assert sorted(answers) == [0, 2, 4, 6, 8]


def mailboxes(rig: Rig) -> None:
    """A node answers a broadcast while the asking greenlet waits."""
    mailbox, ready, done = Mailbox(rig.queue.name, "fanout"), [], []

    def serve() -> None:
        with Connection(rig.url) as connection:
            node = mailbox(connection).Node("node", state={}, channel=connection.channel())
            node.handlers["ping"] = lambda state: "pong"
            with node.listen():
                ready.append(True)
                while not done:
                    try:
                        connection.drain_events(timeout=0.1)
                    except TimeoutError:
                        pass

    serving = rig.spawn(serve)
    while not ready:
        sleep(0.01)
    assert mailbox(rig.connect())._broadcast("ping", reply=True, timeout=PATIENCE, limit=1) == [
        {"node": "pong"}
    ]
    done.append(True)
    serving.result()


def ensure(rig: Rig) -> None:
    """The pauses between attempts are given to other greenlets, until one of those has ticked."""
    connection, ticked = rig.connect(), []
    error = connection.recoverable_connection_errors[0]

    def failing() -> str:
        if not ticked:
            raise error("not yet")
        return "done"

    rig.after_ticks(lambda: ticked.append(True))
    policy = {"timeout": PATIENCE, "interval_start": 0.01, "interval_max": 0.01}
    assert connection.ensure(connection.Producer(), failing, **policy)() == "done"


class Enough(Exception):
    """Ends the attempts."""


def refused(rig: Rig) -> None:
    """Nobody listens: connecting is tried again and again, and others have their turn."""
    ticked: list[bool] = []

    def stop(error: Exception, pause: float) -> None:
        if ticked:
            raise Enough

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        scheme = rig.url.partition(":")[0]
        connection = rig.connect(f"{scheme}://localhost:{taken.getsockname()[1]}", connect_timeout=5)
        rig.after_ticks(lambda: ticked.append(True))
        with pytest.raises(Enough):
            connection.ensure_connection(stop, interval_start=0.01, interval_max=0.01, timeout=PATIENCE)


def deadlines(rig: Rig) -> None:
    """A deadline is the greenlet's that set it, and no other's, and not that of what it starts."""
    connection, found = rig.connect(), []
    rig.declare(connection)

    def other() -> None:
        found.append(remaining())
        with deadline_scope(PATIENCE):
            sleep(0.1)
            found.append((remaining() or 0) > 1)

    with deadline_scope(0.05):
        inside = rig.spawn(other)
        with pytest.raises(TimeoutError), Connection(rig.url) as mine:
            rig.consume(mine, lambda body, message: message.ack())
            while True:
                mine.drain_events()
    inside.result()
    assert found == [None, True]
    # What was opened within the deadline goes on after it.
    sleep(0.1)
    rig.after_ticks(lambda: rig.publish("later"))
    mine = rig.connect()
    with deadline_scope(5):
        mine.connect()
    got: list[Any] = []
    rig.consume(mine, lambda body, message: (got.append(body), message.ack()))
    mine.drain_events(timeout=PATIENCE)
    assert got == ["later"]


def killed(rig: Rig) -> None:
    """A greenlet that is killed, or out of time, while it waits leaves a connection that others can use."""
    connection, got = rig.connect(), []
    rig.declare(connection)
    rig.consume(connection, lambda body, message: (got.append(body), message.ack()))
    waiter = rig.spawn(connection.drain_events)
    rig.after_ticks(waiter.kill).join()
    with pytest.raises(BaseException) as caught:
        with rig.greenlets.limit(0.05):
            connection.drain_events()
    assert type(caught.value).__name__ == "Timeout"
    rig.after_ticks(lambda: rig.publish("after"))
    connection.drain_events(timeout=PATIENCE)
    assert got == ["after"]


def event_loop(rig: Rig) -> None:
    """kombu.asynchronous: a transport, a timer and a call from another greenlet."""
    connection, got, hub = rig.connect(), [], Hub()
    if not connection.transport.implements.asynchronous:
        return
    rig.declare(connection)
    connection.register_with_event_loop(hub)

    def receive(body: Any, message: Any) -> None:
        message.ack()
        got.append(body)
        if len(got) == 3:
            hub.stop()

    rig.consume(connection, receive)
    hub.call_later(0.05, got.append, "timer")
    rig.after_ticks(lambda: hub.call_soon(got.append, "call"))
    rig.after_ticks(lambda: rig.publish("message"), 30)
    hub.run_forever()
    assert sorted(got) == ["call", "message", "timer"]
    connection.transport.unregister_from_event_loop(connection.connection, hub)
    hub.close()


def celery_timer(rig: Rig) -> None:
    """Celery's timers for greenlets are built on ours."""
    if rig.library == "gevent":
        from celery.concurrency.gevent import Timer
    else:
        from celery.concurrency.eventlet import Timer
    timer, called = Timer(), []
    timer.call_repeatedly(0.01, called.append, ["again"])
    timer.call_after(0.01, called.append, ["once"])
    timer.call_after(PATIENCE, called.append, ["never"]).cancel()
    while called.count("again") < 3 or "once" not in called:
        sleep(0.01)
    timer.clear()
    assert called.count("once") == 1
    assert "never" not in called


def broadcasts(rig: Rig) -> None:
    """Each of three waiting greenlets gets what is published to a fanout exchange."""
    exchange, heard, ready = Exchange(rig.queue.name, "fanout"), [], []

    def listen(number: int) -> None:
        with Connection(rig.url) as connection:
            queue = Queue(f"{rig.queue.name}-{number}", exchange, auto_delete=True)
            with Consumer(connection.channel(), [queue], no_ack=True) as consumer:
                consumer.register_callback(lambda body, message: heard.append((number, body)))
                ready.append(number)
                connection.drain_events(timeout=PATIENCE)

    listeners = [rig.spawn(listen, number) for number in range(3)]
    while len(ready) < 3:
        sleep(0.01)
    rig.connect().Producer(exchange=exchange).publish("all")
    for listener in listeners:
        listener.result()
    assert sorted(heard) == [(0, "all"), (1, "all"), (2, "all")]
