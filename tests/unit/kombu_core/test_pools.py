"""Pools of connections, channels and producers."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from kombu import Connection, Exchange, Queue, pools
from kombu.connection import ChannelPool, ConnectionPool, PooledConnection
from kombu.exceptions import ChannelLimitExceeded, ConnectionLimitExceeded, DeadlineExceeded, LimitExceeded
from kombu.pools import Connections, PoolGroup, ProducerPool, Producers, connections, producers
from kombu.utils.deadline import deadline_scope

from .tinybroker import TinyBroker, TinyTransport


@pytest.fixture(autouse=True)
def clean_groups():
    limit = pools.get_limit()
    yield
    pools.reset()
    pools.set_limit(limit)


@pytest.fixture
def broker():
    broker = TinyBroker()
    yield broker
    broker.close()


@pytest.fixture
def model(broker):
    return Connection(broker.url, transport=TinyTransport)


# connections


def test_a_pool_lends_connections_like_the_model_which_connect_when_used(broker, model):
    pool = model.Pool(2)
    assert isinstance(pool, ConnectionPool)
    with pool.acquire() as connection:
        assert isinstance(connection, PooledConnection)
        assert connection.__eqhash__() == model.__eqhash__()
        assert broker.sessions == []
        assert connection.default_channel.ping() == "pong"

    # Given back, it stays connected
    with pool.acquire() as again:
        assert again is connection
        assert again.connected
    assert len(broker.sessions) == 1
    pool.force_close_all()
    broker.wait_for(lambda sessions: sessions[0][-2:] == ["bye", "(end)"])


def test_release_gives_back_and_close_really_closes(broker, model):
    pool = model.Pool(1)
    connection = pool.acquire()
    connection.connect()
    connection.release()
    connection.release()
    assert connection.connected

    assert pool.acquire() is connection
    connection.close()
    assert not connection.connected
    other = pool.acquire()
    assert other is not connection
    with pytest.raises(ConnectionLimitExceeded):
        pool.acquire()
    pool.force_close_all()


def test_without_a_limit_connections_are_closed_after_use(broker, model):
    pool = model.Pool()
    with pool.acquire() as connection:
        connection.connect()
    assert not connection.connected


def test_preload_connects(broker, model):
    pool = model.Pool(3, preload=2)
    assert len(broker.sessions) == 2
    pool.force_close_all()


def test_a_lent_connection_that_is_closed_by_force_can_still_be_released(broker, model):
    pool = model.Pool(1)
    connection = pool.acquire()
    connection.connect()
    pool.force_close_all(close_pool=False)
    assert not connection.connected
    connection.release()
    assert pool.acquire() is not connection


def test_a_connection_with_its_channel(broker, model):
    pool = model.Pool(1)
    with pool.acquire_channel() as (connection, channel):
        assert channel is connection.default_channel
        assert channel.ping() == "pong"
    with pool.acquire_channel(block=True) as (again, _):
        assert again is connection
    pool.force_close_all()


def test_a_pooled_connection_is_cloned_and_pickled_to_one_of_its_own(model):
    import pickle

    connection = model.Pool(1).acquire()
    for copy in (connection.clone(), pickle.loads(pickle.dumps(connection))):
        assert type(copy) is Connection
        assert copy.__eqhash__() == connection.__eqhash__()
    assert connection.clone(heartbeat=7).heartbeat == 7


def test_connections_of_a_failover_list_fail_over(broker):
    first = TinyBroker()
    pool = Connection([first.url, broker.url], transport=TinyTransport).Pool(1)
    with pool.acquire() as connection:
        assert connection.default_channel.ping() == "pong"
    first.close()
    with pool.acquire() as connection:

        class Pinger:
            channel = connection.default_channel

            def revive(self, channel):
                self.channel = channel

        pinger = Pinger()
        assert connection.ensure(pinger, lambda: pinger.channel.ping())() == "pong"
        assert connection.port == broker.port
    pool.force_close_all()


# channels


def test_a_pool_of_channels(broker, model):
    pool = model.ChannelPool(2)
    assert isinstance(pool, ChannelPool)
    a, b = pool.acquire(), pool.acquire()
    with pytest.raises(ChannelLimitExceeded):
        pool.acquire()
    a.release()
    assert pool.acquire() is a

    # One that was closed meanwhile is not lent again
    b.release()
    b.close()
    c = pool.acquire()
    assert c is not b
    assert c.ping() == "pong"
    pool.force_close_all()
    assert c.closed
    model.release()


# producers


@pytest.fixture
def queue():
    return Queue("pooled", Exchange("pooled"), routing_key="pooled")


@pytest.fixture
def memory(request):
    return Connection(f"memory://{request.node.name}")


def received(connection, queue):
    with connection.clone() as own, own.SimpleQueue(queue) as simple:
        bodies = []
        while True:
            try:
                message = simple.get(block=False)
            except simple.Empty:
                return bodies
            bodies.append(message.payload)
            message.ack()


def test_the_documented_example(memory, queue):
    with producers[memory].acquire(block=True) as producer:
        producer.publish({"hello": "world"}, exchange=queue.exchange, routing_key="pooled", declare=[queue])

    assert received(memory, queue) == [{"hello": "world"}]


def test_a_producer_holds_a_connection_only_while_it_is_lent(memory):
    pool = Connections(2)[memory]
    makers = ProducerPool(pool, limit=2)
    with makers.acquire() as producer:
        assert len(pool._dirty) == 1
        assert producer.connection in pool._dirty
        assert producer.channel.connection.client is producer.connection
    assert len(pool._dirty) == 0
    with makers.acquire() as again:
        assert again is producer
    makers.release(producer)
    assert len(pool._dirty) == 0


def test_a_producer_that_cannot_have_a_connection_does_not_wait_longer_than_asked(memory):
    # Given a producer pool larger than its connection pool
    pool = memory.Pool(1)
    makers = ProducerPool(pool, limit=5)
    first = makers.acquire()
    began = monotonic()

    # Then the wait for a connection is part of the wait for a producer
    with pytest.raises(LimitExceeded):
        makers.acquire()
    with pytest.raises(LimitExceeded):
        makers.acquire(block=True, timeout=0.05)
    with pytest.raises(DeadlineExceeded), deadline_scope(0.05):
        makers.acquire(block=True)
    assert monotonic() - began < 5

    first.release()
    assert makers.acquire(block=True, timeout=5)


def test_producers_of_another_class(memory):
    from kombu import Producer

    class Mine(Producer):
        pass

    assert type(ProducerPool(memory.Pool(1), 1, Producer=Mine).acquire()) is Mine


def test_closing_a_producer_pool_gives_the_connections_back(memory):
    pool = memory.Pool(2)
    makers = ProducerPool(pool, limit=2)
    makers.acquire()
    makers.force_close_all()
    assert len(pool._dirty) == 0


def test_many_threads_publish_through_the_pool(memory, queue):
    with memory.clone() as connection:
        queue(connection.default_channel).declare()
    pools.set_limit(4)
    errors = []

    def work(number):
        try:
            for n in range(10):
                with producers[memory].acquire(block=True, timeout=30) as producer:
                    producer.publish([number, n], exchange="pooled", routing_key="pooled", retry=True)
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert errors == []
    assert len(producers) == len(connections) == 1
    assert sorted(map(tuple, received(memory, queue))) == [(t, n) for t in range(32) for n in range(10)]


# groups


def test_connections_with_the_same_parameters_share_a_pool():
    one, other = Connection("memory://a"), Connection("memory://a")

    assert connections[one] is connections[other]
    assert producers[one] is producers[other]
    assert producers[one].connections is connections[one]
    assert connections[Connection("memory://b")] is not connections[one]
    assert one in connections
    assert Connection("memory://c") not in connections


def test_a_group_shows_its_pools_and_no_password():
    connection = Connection("memory://u:sesame@h")
    pool = connections[connection]

    assert [pool for _, pool in connections.items()] == list(connections.values()) == [pool]
    assert "sesame" not in repr(connections)
    assert "sesame" not in str(list(connections))


def test_threads_that_ask_at_once_get_one_pool():
    # Given a group in which two makers of a pool would meet, if there were two
    meeting = threading.Barrier(2)
    got = []

    class Group(PoolGroup):
        def create(self, resource, limit):
            try:
                meeting.wait(0.2)
            except threading.BrokenBarrierError:
                pass
            return object()

    group = Group()
    threads = [threading.Thread(target=lambda: got.append(group["same"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert len(got) == 4
    assert len(set(got)) == 1


def test_the_limit_of_the_process():
    connection = Connection("memory://limits")
    assert pools.get_limit() == connections[connection].limit == producers[connection].limit == 10

    assert pools.set_limit(3) == 3
    assert pools.get_limit() == connections[connection].limit == producers[connection].limit == 3
    assert connections[Connection("memory://other")].limit == 3

    with connections[connection].acquire():
        with pytest.raises(RuntimeError, match="shrink"):
            pools.set_limit(2)
        pools.set_limit(30)
        pools.set_limit(1, ignore_errors=True)
        pools.set_limit(5, force=True, reset_after=True)
    assert pools.set_limit(None) == 0
    assert connections[connection].limit == 0


def test_reset_closes_and_forgets(broker, model):
    pool = connections[model]
    lent = pool.acquire()
    lent.connect()
    pools.reset()

    assert not lent.connected
    assert len(connections) == 0
    with pytest.raises(RuntimeError):
        pool.acquire()
    assert connections[model] is not pool


def test_groups_of_ones_own():
    connection = Connection("memory://own")
    own = Connections(limit=100)
    assert own[connection].limit == 100
    assert own[connection] is not connections[connection]
    assert Producers(limit=own.limit)[connection].limit == 100
    assert Connections(limit=pools.use_default_limit)[connection].limit == pools.get_limit()
    assert pools.use_global_limit is pools.use_default_limit


def test_a_registered_group_is_reset_with_the_others():
    class Numbers(PoolGroup):
        def create(self, resource, limit):
            return resource.Pool(limit)

    group = pools.register_group(Numbers(limit=7))
    try:
        pool = group[Connection("memory://x")]
        assert pool.limit == 7
        pools.reset()
        assert len(group) == 0
    finally:
        pools._groups.remove(group)

    with pytest.raises(NotImplementedError, match="create"):
        PoolGroup(limit=1)[Connection("memory://x")]
