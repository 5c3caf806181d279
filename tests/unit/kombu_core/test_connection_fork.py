"""A forked child never speaks on, and never closes, what its parent has open; with real forks."""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import threading
import traceback

import pytest

from kombu import Connection, Producer
from kombu.pools import Connections, Producers, connections
from kombu.resource import Resource

from .tinybroker import TinyBroker, TinyTransport

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


def in_child(function):
    """Run ``function`` in a forked child and return what it returns (as JSON knows it)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = json.dumps(["result", function()])
        except BaseException:
            answer = json.dumps(["error", traceback.format_exc()])
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    try:
        assert select.select([reading], [], [], 20)[0], "the child hangs"
        kind, value = json.loads(os.read(reading, 1 << 20))
    finally:
        os.close(reading)
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert kind == "result", value
    return value


@pytest.fixture
def broker():
    broker = TinyBroker()
    yield broker
    broker.close()


@pytest.fixture
def connection(broker):
    with Connection(broker.url, transport=TinyTransport) as connection:
        yield connection


def test_a_child_connects_anew(broker, connection):
    # Given a connection that is in use
    assert connection.default_channel.ping() == "pong"
    connection.declared_entities.add("x")

    # When a child uses it
    def child():
        before = connection.connected, len(connection.declared_entities)
        return [*before, connection.default_channel.ping()]

    assert in_child(child) == [False, 0, "pong"]

    # Then the child had a session of its own, and the parent's goes on
    broker.wait_for(lambda sessions: len(sessions) == 2 and "(end)" in sessions[1])
    assert broker.sessions == [["open", "ping"], ["open", "ping", "(end)"]]
    assert connection.connected
    assert connection.default_channel.ping() == "pong"


@pytest.mark.parametrize("way", ["release", "close", "collect", "forget"])
def test_a_child_that_lets_go_says_nothing_to_the_parents_broker(broker, connection, way):
    connection.default_channel.ping()

    def child():
        if way == "forget":
            globals_of_test.clear()
            gc.collect()
        else:
            getattr(connection, way)()
        return connection.connected if way != "forget" else False

    globals_of_test = {"connection": connection}
    assert in_child(child) is False
    assert connection.default_channel.ping() == "pong"
    assert broker.sessions == [["open", "ping", "ping"]]


def test_a_drivers_destructor_does_not_run_in_the_child(broker):
    # Given a driver that doesn't tell its descriptor, and hangs up when it is garbage
    class Driver:
        def __init__(self, tiny):
            self.tiny = tiny

        def __del__(self):
            try:
                self.tiny.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    class Hidden(TinyTransport):
        def establish_connection(self):
            return Driver(super().establish_connection())

        def verify_connection(self, connection):
            return True

        def close_connection(self, connection):
            connection.tiny.close()

    connection = Connection(broker.url, transport=Hidden)
    connection.connect()

    # When a child connects for itself
    def child():
        connection.connect()
        gc.collect()
        return connection._connection.tiny.ask("ping")

    # Then the parent's connection is still there
    assert in_child(child) == "pong"
    assert connection._connection.tiny.ask("ping") == "pong"
    connection.release()


def test_a_channel_that_the_child_still_holds_cannot_reach_the_parents_socket(broker, connection):
    # Given a channel of the parent
    channel = connection.default_channel
    channel.ping()

    # When the child uses just that
    def child():
        try:
            channel.ping()
        except OSError as exc:
            return type(exc).__name__
        return "it went through"

    # Then it fails, and the parent's session has seen nothing of it
    assert in_child(child) != "it went through"
    assert channel.ping() == "pong"
    assert broker.sessions == [["open", "ping", "ping"]]


def test_a_transport_may_list_descriptors_of_its_own(broker):
    # Given a transport whose connection has no fileno(), but which knows it
    class Wrapped:
        def __init__(self, tiny):
            self.tiny = tiny

    class Lists(TinyTransport):
        def establish_connection(self):
            return Wrapped(super().establish_connection())

        def close_connection(self, connection):
            connection.tiny.close()

        def verify_connection(self, connection):
            return True

        def inherited_fds(self, connection):
            return [connection.tiny.fileno()]

    connection = Connection(broker.url, transport=Lists)
    tiny = connection.connect().tiny

    def child():
        try:
            return tiny.ask("ping")
        except OSError:
            return "nobody there"

    assert in_child(child) == "nobody there"
    assert tiny.ask("ping") == "pong"
    assert broker.sessions == [["ping"]]
    connection.release()


def test_the_broker_sees_the_parent_go_while_the_child_lives_on(broker):
    # Given a child that lives on
    connection = Connection(broker.url, transport=TinyTransport)
    connection.default_channel.ping()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)

    # When the parent drops its socket without a word
    connection._connection.close()

    # Then the broker sees that at once
    try:
        broker.wait_for(lambda sessions: sessions[0][-1] == "(end)")
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_ensure_goes_on_in_the_child_with_what_it_inherited(broker, connection):
    # Given a producer-like thing on a channel of the parent
    class Pinger:
        channel = connection.default_channel

        def revive(self, channel):
            self.channel = channel

    pinger = Pinger()
    ping = connection.ensure(pinger, lambda: pinger.channel.ping())
    assert ping() == "pong"

    # Then in the child it is revived on a connection of the child's
    assert in_child(ping) == "pong"
    broker.wait_for(lambda sessions: len(sessions) == 2)
    assert ping() == "pong"


def test_a_fork_while_another_thread_is_connecting_leaves_no_lock_behind(broker):
    # Given a thread that holds the connection's lock for as long as it connects
    connecting, go_on = threading.Event(), threading.Event()

    class Slow(TinyTransport):
        def establish_connection(self):
            connecting.set()
            if threading.current_thread() is thread:
                go_on.wait(20)
            return super().establish_connection()

    connection = Connection(broker.url, transport=TinyTransport)
    connection.connect()
    connection.close()
    connection.transport_cls = Slow
    thread = threading.Thread(target=connection.connect)
    thread.start()
    assert connecting.wait(5)

    # When a child uses the connection, then it does not wait for a thread that it doesn't have
    try:
        assert in_child(lambda: connection.default_channel.ping()) == "pong"
    finally:
        go_on.set()
        thread.join(5)
        connection.release()


def test_a_connection_pool_starts_empty_in_the_child(broker, connection):
    # Given a pool with one connection lent and one idle, which is all there are
    pool = connection.Pool(2)
    lent, idle = pool.acquire(), pool.acquire()
    for one in (lent, idle):
        one.default_channel.ping()
    idle.release()

    # When the child uses the pool
    def child():
        with pool.acquire() as one, pool.acquire() as two:
            return [one.default_channel.ping(), two.default_channel.ping(), pool.limit, lent.connected]

    assert in_child(child) == ["pong", "pong", 2, False]

    # Then the parent's pool is as it was
    assert pool.acquire() is idle
    assert idle.default_channel.ping() == lent.default_channel.ping() == "pong"
    assert [session.count("ping") for session in broker.sessions[:2]] == [2, 2]
    assert len(broker.sessions) == 4
    pool.force_close_all()


def test_what_the_parent_has_lent_cannot_be_given_back_by_the_child(connection):
    pool = connection.Pool(1)
    lent = pool.acquire()
    lent.connect()

    def child():
        lent.release()
        with pool.acquire() as own:
            return own is lent

    assert in_child(child) is False
    assert lent.connected
    pool.force_close_all()


def test_a_fork_while_a_thread_waits_for_the_pool(connection):
    # Given a thread that waits inside the pool
    pool = connection.Pool(1)
    lent = pool.acquire()
    thread = threading.Thread(target=lambda: pool.acquire(block=True, timeout=20).release())
    thread.start()

    # Then a child can use the pool
    def child():
        with pool.acquire(block=True, timeout=5) as own:
            return own.default_channel.ping()

    assert in_child(child) == "pong"
    lent.release()
    thread.join(5)
    assert not thread.is_alive()
    pool.force_close_all()


def test_pool_groups_start_empty_in_the_child(connection):
    own, makers = Connections(limit=1), Producers(limit=1)
    lent = own[connection].acquire()
    assert connections[connection]
    makers[connection]

    def child():
        sizes = [len(own), len(makers), len(connections)]
        with own[connection].acquire() as one:
            return [*sizes, one.default_channel.ping()]

    assert in_child(child) == [0, 0, 0, "pong"]
    assert len(own) == len(makers) == 1
    lent.release()
    own[connection].force_close_all()
    connections.clear()


def test_a_producer_pool_works_in_the_child(connection):
    pool = Producers(limit=2)[connection]
    with pool.acquire() as producer:
        assert producer.channel.ping() == "pong"

    def child():
        with pool.acquire() as producer:
            assert isinstance(producer, Producer)
            return producer.channel.ping()

    assert in_child(child) == "pong"
    pool.connections.force_close_all()
    connections.clear()


def test_a_pool_may_be_told_to_keep_its_things_after_a_fork():
    class Numbers(Resource):
        def new(self):
            return type("Thing", (), {"pid": os.getpid(), "close": lambda self: None})()

    kept, fresh = Numbers(1), Numbers(1, close_after_fork=True)
    for pool in (kept, fresh):
        pool.acquire().release()

    parent = os.getpid()
    assert in_child(lambda: [kept.acquire().pid == parent, fresh.acquire().pid == parent]) == [True, False]


def test_a_grandchild_is_a_child_too(broker, connection):
    connection.default_channel.ping()

    def child():
        own = connection.default_channel.ping()
        return [own, in_child(lambda: connection.default_channel.ping()), connection.default_channel.ping()]

    assert in_child(child) == ["pong"] * 3
    assert connection.default_channel.ping() == "pong"
    broker.wait_for(lambda sessions: len(sessions) == 3 and sessions[1].count("ping") == 2)
