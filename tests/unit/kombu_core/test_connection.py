"""The life of a connection, over a real socket to a tiny broker."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from kombu import Connection
from kombu.connection import is_connection, maybe_channel
from kombu.exceptions import ChannelError, ConnectionError, RecoverableConnectionError
from kombu.utils.deadline import deadline_scope

from .tinybroker import TinyBroker, TinyTransport, refused_url


@pytest.fixture
def broker():
    broker = TinyBroker()
    yield broker
    broker.close()


@pytest.fixture
def connection(broker):
    with Connection(broker.url, transport=TinyTransport) as connection:
        yield connection


def test_a_copy_with_another_heartbeat_keeps_what_belongs_to_each_broker():
    # Given brokers of which one has a user and password
    connection = Connection("memory://me:secret@one;memory://two", connect_timeout=3)
    # When it is copied with another option, also by a pool's connection, and fails over
    for original in (connection, connection.Pool(1).acquire()):
        copy = original.clone(heartbeat=7, connect_timeout=4)
        assert (copy.hostname, copy.userid, copy.password) == ("one", "me", "secret")
        copy.maybe_switch_next()
        # Then the other broker is not told the first one's password, and the option holds there too
        assert (copy.hostname, copy.userid, copy.password) == ("two", None, None)
        assert (copy.heartbeat, copy.connect_timeout) == (7.0, 4)
    # And one that is told another user uses it
    assert connection.clone(userid="you").userid == "you"


@pytest.mark.parametrize("text", ["", ";", ";;"])
def test_no_url_at_all_is_the_default_broker(text):
    assert Connection(text).as_uri() == Connection("").as_uri()


def test_it_connects_when_it_is_needed_and_not_before(broker, connection):
    # Given a connection that was made, shown, asked and copied
    assert connection.clone().as_uri() == connection.as_uri()
    assert not connection.connected
    assert connection.transport.client is connection
    assert broker.sessions == []

    # When it is asked for a channel
    channel = connection.channel()

    # Then it is connected, and its channel leads back to it
    assert connection.connected
    assert channel.connection is connection.connection
    assert channel.connection.client is connection
    assert len(broker.sessions) == 1
    assert connection.connect() is connection.connection
    assert len(broker.sessions) == 1


def test_release_says_goodbye_once_and_it_can_be_used_again(broker, connection):
    connection.connect()
    connection.release()
    connection.release()
    connection.close()

    assert not connection.connected
    assert connection.connection is None
    broker.wait_for(lambda sessions: sessions == [["bye", "(end)"]])

    assert connection.default_channel.ping() == "pong"
    assert len(broker.sessions) == 2


@pytest.mark.parametrize("use", ["connect", "default_channel", "channel", "ensure_connection"])
def test_after_close_each_way_of_using_it_opens_it_again(connection, use):
    connection.connect()
    connection.close()

    way = getattr(connection, use)
    way() if callable(way) else way
    assert connection.connected


def test_closing_a_connection_that_was_never_made_is_nothing(broker):
    connection = Connection(broker.url, transport=TinyTransport)
    connection.release()
    connection.collect()
    assert broker.sessions == []


def test_goodbye_is_said_also_when_the_time_is_over(broker, connection):
    connection.connect()
    with deadline_scope(0):
        connection.release()

    broker.wait_for(lambda sessions: sessions == [["bye", "(end)"]])


def test_with_releases_also_after_an_error(broker):
    with pytest.raises(KeyError), Connection(broker.url, transport=TinyTransport) as connection:
        connection.connect()
        raise KeyError
    assert not connection.connected


def test_nothing_is_kept_when_closing_fails(broker):
    # Given a transport whose goodbye fails, and a thing that shows whether it is still there
    class Fails(TinyTransport):
        error = OSError

        def close_connection(self, connection):
            connection.close()
            raise self.error("gone")

    for error in (OSError, ConnectionError):
        Fails.error = error
        connection = Connection(broker.url, transport=Fails)
        transport = weakref.ref(connection.transport)
        connection.connect()

        # When it is released, then nothing is told, for it was gone already, and nothing is left
        connection.release()
        gc.collect()
        assert transport() is None
        assert not connection.connected

    # But an error that means something else is told, and nothing is left either
    Fails.error = ZeroDivisionError
    connection = Connection(broker.url, transport=Fails)
    connection.connect()
    with pytest.raises(ZeroDivisionError):
        connection.release()
    assert (connection._transport, connection._connection) == (None, None)
    connection.connect()
    connection.collect()
    assert not connection.connected


def test_a_dead_connection_is_replaced_by_the_next_use(broker, connection):
    # Given a connection that the driver has found dead
    connection.default_channel.ping()
    connection.connection.close()
    assert not connection.connected

    # Then the default channel is a new one on a new connection
    assert connection.default_channel.ping() == "pong"
    assert len(broker.sessions) == 2


def test_the_default_channel_is_one_and_is_replaced_when_closed(connection):
    channel = connection.default_channel
    assert connection.default_channel is channel
    assert maybe_channel(connection) is channel
    assert maybe_channel(channel) is channel

    channel.close()
    assert connection.default_channel is not channel
    assert not connection.default_channel.closed


def test_the_default_channel_of_a_virtual_transport_too():
    with Connection("memory://closed") as connection:
        channel = connection.default_channel
        channel.close()
        assert connection.default_channel is not channel
        assert connection.default_channel.queue_declare("", exclusive=True).message_count == 0


def test_revive_lets_go_of_the_old_default_channel(connection):
    old = connection.default_channel
    new = connection.channel()

    connection.revive(old)
    assert not old.closed
    connection.revive(new)
    assert old.closed
    assert connection.default_channel is not old


def test_maybe_close_channel_ignores_what_is_broken_anyway(connection):
    class Broken:
        def __init__(self, error):
            self.error = error

        def close(self):
            raise self.error

    connection.maybe_close_channel(Broken(OSError()))
    connection.maybe_close_channel(Broken(ChannelError("gone")))
    with pytest.raises(KeyError):
        connection.maybe_close_channel(Broken(KeyError()))


def test_drain_events_waits_for_the_time_given(connection):
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.01)


def test_drain_events_tells_of_a_lost_connection_and_does_not_replace_it(broker, connection):
    # Given a connection with (so one supposes) consumers, which the broker cuts
    connection.connect()
    broker.drop_connections()

    # When events are awaited, then it is told: on a new connection nothing would ever come
    with pytest.raises(connection.connection_errors):
        connection.drain_events(timeout=5)
    connection.connection.close()
    with pytest.raises((*connection.connection_errors, ValueError)):
        connection.drain_events(timeout=5)
    assert len(broker.sessions) == 1

    connection.close()
    with pytest.raises(RecoverableConnectionError, match="closed"):
        connection.drain_events(timeout=5)


def test_what_was_declared_is_forgotten_with_the_connection(connection):
    connection.connect()
    connection.declared_entities.add("queue")
    connection.collect()
    assert connection.declared_entities == set()

    connection.connect()
    connection.declared_entities.add("queue")
    connection.release()
    assert connection.declared_entities == set()


def test_what_the_transport_says_is_passed_on(broker):
    class Says(TinyTransport):
        implements = TinyTransport.implements.extend(
            heartbeats=True, asynchronous=True, exchange_type=frozenset({"direct"})
        )
        heartbeats = ()

        def get_heartbeat_interval(self, connection):
            return 7

        def heartbeat_check(self, connection, rate=2):
            self.heartbeats += (rate,)

        def qos_semantics_matches_spec(self, connection):
            return connection is None

        def register_with_event_loop(self, connection, loop):
            loop.append(connection)

        def get_manager(self, *args, **kwargs):
            return ("manager", args, kwargs)

    with Connection(broker.url, transport=Says) as connection:
        assert connection.supports_heartbeats
        assert connection.is_evented
        assert connection.supports_exchange_type("direct")
        assert not connection.supports_exchange_type("topic")
        assert connection.get_heartbeat_interval() == 7
        assert connection.qos_semantics_matches_spec is False
        assert connection.get_manager(1, x=2) == ("manager", (1,), {"x": 2})
        assert connection.manager == ("manager", (), {})
        connection.heartbeat_check()
        connection.heartbeat_check(rate=4)
        assert connection.transport.heartbeats == (2, 4)
        loop = []
        connection.register_with_event_loop(loop)
        assert loop == [connection.connection]
        assert connection.connection_errors == (OSError,)
        assert connection.recoverable_connection_errors == (OSError,)
        assert connection.channel_errors == (ChannelError,)


def test_a_program_may_set_errors_of_its_own(connection):
    connection.recoverable_connection_errors = (KeyError,)
    assert connection.recoverable_connection_errors == (KeyError,)
    connection.release()
    assert connection.recoverable_connection_errors == (KeyError,)
    assert connection.clone().recoverable_connection_errors == (OSError,)


def test_a_transport_without_the_newer_attributes_will_do(broker):
    # Given a class that is no subclass of ours and has only what has always been asked for
    class Old:
        connection_errors = [OSError]
        channel_errors = ()
        can_parse_url = False
        default_connection_params = {}

        def __init__(self, client):
            self.client = client

        def establish_connection(self):
            return object()

        def close_connection(self, connection):
            pass

        def verify_connection(self, connection):
            return True

    with Connection("h", transport=Old) as connection:
        connection.connect()
        assert connection.recoverable_connection_errors == (OSError,)
        assert connection.recoverable_channel_errors == ()


def test_connect_tries_each_broker_once_and_tells_the_drivers_error(broker):
    # Given a broker that is not there, then one that is
    connection = Connection([refused_url(), broker.url], transport=TinyTransport)
    connection.connect()
    assert connection.port == broker.port
    connection.release()

    # And only ones that are not
    with pytest.raises(ConnectionRefusedError):
        Connection([refused_url(), refused_url()], transport=TinyTransport).connect()


def test_the_failover_order_is_the_lists(broker):
    connection = Connection("memory://a;memory://b;memory://c")
    seen = []
    for _ in range(5):
        connection.maybe_switch_next()
        seen.append(connection.hostname)

    assert seen == ["b", "c", "a", "b", "c"]
    assert [connection.completes_cycle(retry) for retry in range(6)] == [False, False, True] * 2


def test_the_brokers_of_a_list_share_virtual_host_and_port():
    def visited(*urls):
        connection = Connection(";".join(urls))
        for _ in urls:
            connection.maybe_switch_next()
            yield connection.hostname, connection.port, connection.virtual_host, connection.userid

    # What a URL does not say is the first one's, but for the login
    assert list(visited("amqp://u:p@a:5673/v", "amqp://b")) == [("b", 5673, "v", None), ("a", 5673, "v", "u")]
    assert list(visited("amqp://a/v", "amqp://w@b:1/x"))[0] == ("b", 1, "x", "w")
    assert list(visited("amqp://a:1/v", "redis://b"))[0] == ("b", None, "/", None)


def test_a_single_broker_has_nothing_to_fail_over_to():
    connection = Connection("memory://a")
    assert connection.cycle is None
    connection.maybe_switch_next()
    assert connection.hostname == "a"
    assert connection.completes_cycle(0)


def test_shuffle_visits_every_broker_in_every_round():
    urls = [f"memory://{name}" for name in "abcde"]
    connection = Connection(urls, failover_strategy="shuffle")
    seen = [connection.hostname]
    for _ in range(5 * 20 - 1):
        connection.maybe_switch_next()
        seen.append(connection.hostname)

    rounds = [tuple(seen[i : i + 5]) for i in range(0, 100, 5)]
    assert all(sorted(one) == list("abcde") for one in rounds)
    assert len(set(rounds)) > 1


def test_a_strategy_may_be_a_generator_function_also_for_one_url():
    given = []

    def strategy(urls):
        given.append(list(urls))
        while True:
            yield "memory://x"
            yield "memory://y"

    connection = Connection("memory://a", failover_strategy=strategy)
    assert given == []
    connection.maybe_switch_next()
    assert connection.hostname == "y"
    connection.maybe_switch_next()
    assert connection.hostname == "x"
    assert given == [["memory://a"]]


def test_failing_over_to_another_kind_of_transport(broker):
    # Given a list of brokers of two kinds
    connection = Connection("memory://a", alternates=["memory://b"])
    connection.connect()
    first = connection.transport

    # When it goes on
    connection.maybe_switch_next()

    # Then the old connection is closed and the transport is a new one
    assert not connection.connected
    assert connection.transport is not first
    assert first.client is None


def test_switch_closes_and_does_not_connect(broker, connection):
    other = TinyBroker()
    connection.connect()
    connection.switch(other.url)

    assert not connection.connected
    broker.wait_for(lambda sessions: sessions == [["bye", "(end)"]])
    assert other.sessions == []
    assert connection.default_channel.ping() == "pong"
    assert len(other.sessions) == 1
    connection.release()
    other.close()


def test_threads_that_use_a_fresh_connection_at_once_make_one(broker, connection):
    barrier = threading.Barrier(8)
    made = []

    def use():
        barrier.wait(5)
        made.append(connection.connection)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert len(made) == 8
    assert len(set(made)) == 1
    assert len(broker.sessions) == 1


def test_the_credential_provider_reaches_the_transport():
    provider = object()
    connection = Connection("memory://h", credential_provider=provider)

    assert connection.transport.client.credential_provider is provider
    assert connection.clone().credential_provider is provider


def test_is_connection():
    assert is_connection(Connection("memory://"))
    assert not is_connection("memory://")


def test_failed_connects_leave_nothing_behind():
    # Given a port that refuses, and a connection that was tried (what is imported is imported)
    url = refused_url()

    def fail():
        with pytest.raises(ConnectionRefusedError):
            Connection(url, transport=TinyTransport).connect()

    fail()
    gc.collect()
    before = len(gc.get_objects())
    gc.disable()
    try:
        for _ in range(200):
            fail()
        gc.enable()
        gc.collect()
        assert len(gc.get_objects()) - before < 200
    finally:
        gc.enable()
