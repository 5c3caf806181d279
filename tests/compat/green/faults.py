"""Under gevent and eventlet: brokers that are slow, silent or gone, and what our own threads do meanwhile."""

from __future__ import annotations

import os
import socket
from time import monotonic, sleep
from typing import Any

import pytest
from rig import LIMIT, PATIENCE, Rig

from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import deadline_scope


def lost(rig: Rig) -> None:
    """The connection breaks while a greenlet waits: it is told, and connects again."""
    connection, got = rig.connect(rig.proxied), []
    rig.declare(connection)
    rig.consume(connection, lambda body, message: (got.append(body), message.ack()))
    rig.after_ticks(lambda: rig.order("fail", "rst"))
    with pytest.raises(connection.connection_errors):
        until = monotonic() + PATIENCE
        while monotonic() < until:
            try:
                connection.drain_events(timeout=PATIENCE)
            except TimeoutError:
                pass
    connection = connection.clone()
    rig.consume(connection, lambda body, message: (got.append(body), message.ack()))
    rig.after_ticks(lambda: rig.publish("again"))
    connection.drain_events(timeout=PATIENCE)
    assert got == ["again"]
    connection.release()


def lost_publisher(rig: Rig) -> None:
    """The connection breaks under a greenlet that publishes: it is told, and goes on with ``retry``."""
    connection = rig.connect(rig.proxied)
    rig.declare(connection)
    producer = connection.Producer()
    rig.after_ticks(lambda: rig.order("fail", "fin"))
    with pytest.raises(connection.connection_errors):
        until = monotonic() + PATIENCE
        while monotonic() < until:
            producer.publish("x" * 1000, routing_key=rig.queue.name)
            sleep(0)
    producer.publish("after", routing_key=rig.queue.name, retry=True, timeout=PATIENCE)
    rig.queue(connection.default_channel).purge()


def stuck_answer(rig: Rig) -> None:
    """The broker does not answer a publish for a while; other greenlets run meanwhile."""
    connection = rig.connect(rig.proxied, transport_options={"confirm_publish": True})
    rig.declare(connection)
    producer = connection.Producer()
    producer.publish("first", routing_key=rig.queue.name)
    rig.order("fail", "hold")
    rig.after_ticks(lambda: rig.order("heal"))
    producer.publish("second", routing_key=rig.queue.name, timeout=PATIENCE)
    assert rig.queue(connection.default_channel).queue_declare(passive=True).message_count == 2


def killed_publisher(rig: Rig) -> None:
    """A greenlet is killed while its publish waits for the broker: the producer goes on, maybe connected anew."""
    connection = rig.connect(rig.proxied, transport_options={"confirm_publish": True})
    rig.declare(connection)
    producer = connection.Producer()
    rig.order("fail", "hold")
    publisher = rig.spawn(lambda: producer.publish("first", routing_key=rig.queue.name))
    rig.after_ticks(publisher.kill).join()
    rig.order("heal")
    producer.publish("second", routing_key=rig.queue.name, retry=True, timeout=PATIENCE)
    got: list[Any] = []
    rig.consume(connection, lambda body, message: (got.append(body), message.ack()))
    while "second" not in got:
        connection.drain_events(timeout=PATIENCE)
    assert got in (["second"], ["first", "second"])


def stuck_write(rig: Rig) -> None:
    """The broker takes nothing any more: a large publish ends with its deadline, and others run meanwhile."""
    _publish_into_the_void(rig, 16_000_000)


def stuck_writes(rig: Rig) -> None:
    """As that, with many small ones, the last of which finds the socket full."""
    _publish_into_the_void(rig, 8_000)


def _publish_into_the_void(rig: Rig, size: int) -> None:
    # (as py-amqp sets it up, the system would give the connection up after a second)
    patient = {"socket_settings": {socket.TCP_USER_TIMEOUT: 1000 * LIMIT}} if rig.url.startswith("amqp") else {}
    connection = rig.connect(rig.proxied, transport_options=patient)
    rig.declare(connection)
    producer = connection.Producer()
    producer.publish("first", routing_key=rig.queue.name)
    rig.order("fail", "pause")
    ticked: list[bool] = []
    rig.after_ticks(lambda: ticked.append(True), 3)
    began = monotonic()
    with pytest.raises(DeadlineExceeded), deadline_scope(5):
        while True:
            producer.publish("x" * size, routing_key=rig.queue.name)
    assert ticked
    assert monotonic() - began < PATIENCE / 2
    rig.order("heal")


def close_while_waiting(rig: Rig) -> None:
    """A connection is closed by another greenlet while one waits on it: the wait ends."""
    connection = rig.connect()
    rig.declare(connection)
    rig.consume(connection, lambda body, message: message.ack())

    def wait() -> float:
        began = monotonic()
        try:
            while monotonic() - began < PATIENCE:
                connection.connection.drain_events(timeout=PATIENCE)
        except Exception:
            pass
        return monotonic() - began

    waiter = rig.spawn(wait)
    rig.after_ticks(connection.release).result()
    assert waiter.result() < PATIENCE / 2


def heartbeats(rig: Rig) -> None:
    """A connection that nobody uses for more than two intervals is still there."""
    connection = rig.connect(heartbeat=2)
    rig.declare(connection)
    driver = connection.connection
    assert driver.heartbeat == 2
    sleep(5.5)
    connection.Producer().publish("alive", routing_key=rig.queue.name)
    assert connection.connection is driver
    assert driver.connected


def silent_broker(rig: Rig) -> None:
    """The broker's heartbeats are missing: who waits is told."""
    connection = rig.connect(rig.proxied, heartbeat=1)
    rig.declare(connection)
    rig.consume(connection, lambda body, message: message.ack())
    rig.order("fail", "dead")
    with pytest.raises(connection.connection_errors):
        connection.drain_events(timeout=PATIENCE)


def lease(rig: Rig) -> None:
    """What is held for longer than the visibility timeout stays held: the keeper renews in the background."""
    holder, other = (rig.connect(transport_options=rig.lease) for _ in range(2))
    rig.declare(holder)
    rig.publish("held")
    held: list[Any] = []
    rig.consume(holder, lambda body, message: held.append(message))
    holder.drain_events(timeout=PATIENCE)
    got: list[Any] = []
    rig.consume(other, lambda body, message: got.append(message))
    with pytest.raises(TimeoutError):
        other.drain_events(timeout=4.5)
    assert not got
    held[0].ack()


def tls(rig: Rig) -> None:
    """Waiting and large messages over TLS."""
    connection, got = rig.connect(rig.extra["url"], ssl=rig.extra["ssl"]), []
    rig.declare(connection)
    rig.consume(connection, lambda body, message: (got.append(len(body)), message.ack()))
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)

    def publish() -> None:
        with connection.clone() as another:
            another.Producer().publish("x" * 3_000_000, routing_key=rig.queue.name)

    rig.after_ticks(publish)
    connection.drain_events(timeout=PATIENCE)
    assert got == [3_000_000]


def sockets() -> int:
    """How many this process has."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:  # the one that lists them
            pass
    return sum(link.startswith("socket:") for link in links)


def fork(rig: Rig) -> None:
    """A forked child uses the connection it inherited, as a new one; the parent's goes on.

    Greenlets live on in a forked child, unlike threads: those of ours must not touch there what is the parent's.
    """
    connection, got = rig.connect(heartbeat=2, transport_options=rig.lease), []
    rig.declare(connection)
    rig.publish("held")
    rig.consume(connection, lambda body, message: got.append(message))
    connection.drain_events(timeout=PATIENCE)
    child = os.fork()
    if not child:
        try:
            os.dup2(2, 1)
            rig.greenlets.after_fork()
            before = sockets()
            sleep(0.1 if rig.url.startswith("memory") else 4.5)
            assert sockets() == before, "a greenlet of ours has connected"
            connection.Producer().publish("from the child", routing_key=rig.queue.name)
            connection.release()
        except BaseException as exc:
            os.write(2, f"in the child: {exc!r}\n".encode())
            os._exit(1)
        os._exit(0)
    rig.alone = False
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        try:
            connection.drain_events(timeout=0.1)
        except TimeoutError:
            pass
    assert ended[1] == 0
    if not rig.url.startswith("memory"):  # (whose broker in the child is a copy)
        while len(got) < 2:
            connection.drain_events(timeout=PATIENCE)
    assert [message.payload for message in got] == ["held", "from the child"][: len(got)]
    got[0].ack()


def blocked(rig: Rig) -> None:
    """The broker takes no messages for a while: a publish waits, and others run meanwhile."""
    told: list[str] = []
    options = {
        "on_blocked": lambda reason: told.append("blocked"),
        "on_unblocked": lambda: told.append("unblocked"),
    }
    connection = rig.connect(transport_options=options)
    rig.declare(connection)
    producer = connection.Producer()
    rig.order("alarm", True)

    def relieve() -> None:
        while not told:
            sleep(0.01)
        rig.order("alarm", False)

    rig.after_ticks(relieve)
    while len(told) < 2:
        producer.publish("waits", routing_key=rig.queue.name, timeout=PATIENCE)
        sleep(0.01)
    assert told == ["blocked", "unblocked"]
