"""Trying until it works, or until there is no time left; with brokers that refuse, go away, or never answer."""

from __future__ import annotations

import logging
import socket
import threading
from time import monotonic

import pytest

from kombu import Connection
from kombu.exceptions import (
    ChannelError,
    ConnectionError,
    DeadlineExceeded,
    NotFound,
    OperationalError,
    RecoverableChannelError,
)
from kombu.retry import CHANNEL_RETRIES, RetryPolicy
from kombu.utils.deadline import deadline_scope, remaining

from .tinybroker import TinyBroker, TinyTransport, refused_url, silent_listener

FAST = {"interval_start": 0.01, "interval_step": 0.01, "interval_max": 0.02}


@pytest.fixture
def broker():
    broker = TinyBroker()
    yield broker
    broker.close()


@pytest.fixture
def connection(broker):
    with Connection(broker.url, transport=TinyTransport) as connection:
        yield connection


class Pinger:
    """What a producer is to ``ensure``: has a channel, can be revived."""

    def __init__(self, connection):
        self.channel = connection.default_channel
        self.revived = []
        self.calls = 0
        self.failures = []

    def revive(self, channel):
        self.channel = channel
        self.revived.append(channel)

    def ping(self, *args, **kwargs):
        """Asks the broker, after failing with what stands in ``failures``."""
        self.calls += 1
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, type) and issubclass(failure, ChannelError):
                self.channel.refuse(failure)
            raise failure
        return self.channel.ping(), args, kwargs


def tiny(*urls, **options):
    return Connection(list(urls), transport=TinyTransport, **options)


# ensure_connection


def test_ensure_connection_gives_back_the_connection(connection):
    assert connection.ensure_connection() is connection
    assert connection.connected


def test_it_tries_until_the_broker_is_there():
    # Given a port that refuses, and a broker that comes up there after the second attempt
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    told = []
    brokers = []

    def errback(exc, interval):
        told.append((type(exc), interval))
        if len(told) == 2:
            brokers.append(TinyBroker(port))

    connection = tiny(f"tiny://127.0.0.1:{port}")
    connection.ensure_connection(errback=errback, interval_start=0.01, interval_step=0.02, interval_max=1)

    # Then it is connected, and each failure was told with the pause that followed
    assert connection.connected
    assert told == [(ConnectionRefusedError, 0.01), (ConnectionRefusedError, 0.03)]
    connection.release()
    brokers[0].close()


@pytest.mark.parametrize("retries", [0, 2])
def test_max_retries_used_up_is_an_operational_error_with_its_cause(retries):
    told = []
    with pytest.raises(OperationalError) as caught:
        tiny(refused_url()).ensure_connection(lambda *args: told.append(args), max_retries=retries, **FAST)

    assert not isinstance(caught.value, DeadlineExceeded)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert str(caught.value) == str(caught.value.__cause__)
    assert len(told) == retries


def test_the_drivers_error_when_asked_for():
    with pytest.raises(ConnectionRefusedError):
        tiny(refused_url()).ensure_connection(max_retries=1, reraise_as_library_errors=False, **FAST)


def test_an_error_that_connecting_again_cannot_cure_comes_at_once():
    class Denied(Exception):
        pass

    class Denies(TinyTransport):
        def establish_connection(self):
            raise Denied

    with pytest.raises(Denied):
        Connection("h", transport=Denies).ensure_connection()


def test_the_callback_can_give_up():
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    with pytest.raises(Stop):
        tiny(refused_url()).ensure_connection(callback=stop)


def test_all_brokers_are_tried_before_a_pause(broker):
    told = []
    connection = tiny(refused_url(), refused_url(), broker.url)
    connection.ensure_connection(lambda exc, interval: told.append(interval))

    assert told == [0, 0]
    assert connection.port == broker.port
    connection.release()


def test_the_pause_after_each_round_grows():
    told = []
    with pytest.raises(OperationalError):
        tiny(refused_url(), refused_url()).ensure_connection(
            lambda exc, interval: told.append(interval),
            max_retries=6,
            interval_start=0.01,
            interval_step=0.01,
            interval_max=0.02,
        )

    assert told == [0, 0.01, 0, 0.02, 0, 0.02]


# one deadline


def test_the_timeout_bounds_all_attempts_and_pauses():
    began = monotonic()
    with pytest.raises(DeadlineExceeded, match=r"connecting did not finish within 0\.2 s") as caught:
        tiny(refused_url()).ensure_connection(timeout=0.2, interval_start=0.05, interval_step=0)

    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert 0.15 < monotonic() - began < 5


def test_a_long_pause_is_cut_by_the_timeout():
    began = monotonic()
    with pytest.raises(DeadlineExceeded):
        tiny(refused_url()).ensure_connection(timeout=0.1, interval_start=30)

    assert monotonic() - began < 5


def test_a_deadline_that_the_transport_notices_has_the_failure_before_it_as_its_cause():
    # Given a transport that is refused once, and then notices by itself that the time is over
    class Notices(TinyTransport):
        attempts = []

        def establish_connection(self):
            self.attempts.append(1)
            if len(self.attempts) == 1:
                raise ConnectionRefusedError("first")
            while True:
                threading.Event().wait(remaining(0.05))

    connection = Connection("h", transport=Notices, connect_timeout=None)
    with pytest.raises(DeadlineExceeded) as caught:
        connection.ensure_connection(timeout=0.1, interval_start=0)
    assert caught.value.__cause__.args == ("first",)

    # And so it is for an operation
    broken = Connection("h", transport=Notices)
    broken._connection = object()
    failures = [ConnectionResetError("second")]

    def operation():
        if failures:
            raise failures.pop()
        while True:
            threading.Event().wait(remaining(0.05))

    with pytest.raises(DeadlineExceeded) as caught, deadline_scope(0.1):
        broken.ensure(None, operation, retry_errors=(ConnectionResetError,))()
    assert caught.value.__cause__.args == ("second",)


@pytest.mark.parametrize("way", ["ensure_connection", "connect", "default_channel", "channel", "connection"])
def test_a_broker_that_never_answers_costs_no_more_than_the_deadline_in_force(way):
    with silent_listener() as url:
        connection = tiny(url, connect_timeout=30)
        began = monotonic()
        with pytest.raises(DeadlineExceeded), deadline_scope(0.2):
            use = getattr(connection, way)
            use()

    assert monotonic() - began < 5


def test_one_attempt_is_bounded_by_connect_timeout():
    with silent_listener() as url:
        began = monotonic()
        with pytest.raises(TimeoutError) as caught:
            tiny(url, connect_timeout=0.1).connect()

    assert not isinstance(caught.value, DeadlineExceeded)
    assert monotonic() - began < 5


def test_connect_timeout_covers_the_whole_of_a_slow_login():
    # Given a transport with a login of many short waits
    class Slow(TinyTransport):
        def establish_connection(self):
            for _ in range(100):
                threading.Event().wait(remaining(0.05))
            raise AssertionError("nobody stopped it")

    began = monotonic()
    with pytest.raises(TimeoutError, match=r"tiny://h.* did not answer within 0\.2 s"):
        Connection("h", transport=Slow, connect_timeout=0.2).connect()
    assert monotonic() - began < 5


def test_the_first_broker_is_silent_and_the_second_is_reached_within_connect_timeout(broker):
    with silent_listener() as silent:
        connection = tiny(silent, broker.url, connect_timeout=1)
        began = monotonic()
        connection.connect()

    assert connection.port == broker.port
    assert monotonic() - began < 5
    connection.release()


def test_a_silent_broker_leaves_time_for_the_others_of_the_list(broker):
    # Given two brokers that are silent, and no time for all of what connect_timeout allows each
    with silent_listener() as one, silent_listener() as two:
        connection = tiny(one, two, broker.url, connect_timeout=30)
        connection.ensure_connection(timeout=2)

    # Then the time was shared, and the third is reached
    assert connection.port == broker.port
    connection.release()


def test_connect_timeout_shows_what_is_left_to_transports_that_only_look_at_it():
    connection = Connection("memory://", connect_timeout=5)
    assert connection.connect_timeout == 5
    with deadline_scope(1):
        assert 0 < connection.connect_timeout <= 1
        assert connection.clone()._connect_timeout == 5
        assert connection.info()["connect_timeout"] == 5
    connection.connect_timeout = None
    assert connection.connect_timeout is None
    with deadline_scope(0):
        assert 0 < connection.connect_timeout < 1


def test_waiting_for_another_thread_that_connects_is_bounded_too():
    with silent_listener() as url:
        connection = tiny(url, connect_timeout=3)
        started = threading.Event()

        class Started(TinyTransport):
            def establish_connection(self):
                started.set()
                return super().establish_connection()

        connection.transport_cls = Started

        def other():
            with pytest.raises(TimeoutError):
                connection.connect()

        thread = threading.Thread(target=other)
        thread.start()
        assert started.wait(5)
        with pytest.raises(DeadlineExceeded, match="another thread"), deadline_scope(0.1):
            connection.connect()
        # and what needs no connection does not wait at all
        connection._transport = None
        assert connection.info()["hostname"] == "127.0.0.1"
        assert thread.is_alive()
        thread.join(30)


# default_channel


def test_the_default_channel_is_bounded_by_default_and_by_transport_options():
    told = []
    options = {"max_retries": 3, "errback": lambda *args: told.append(args), **FAST}
    with pytest.raises(OperationalError):
        _ = tiny(refused_url(), transport_options=options).default_channel
    assert [interval for _, interval in told] == [0.01, 0.02, 0.02]

    with pytest.raises(DeadlineExceeded):
        _ = tiny(
            refused_url(), transport_options={**FAST, "max_retries": None, "connect_retries_timeout": 0.1}
        ).default_channel

    policy, _, _ = tiny(refused_url())._policy_of_options()
    assert (policy.max_retries, policy.interval_start, policy.interval_max) == (2, 2, 30)
    policy, _, _ = tiny(*[refused_url()] * 3, *[refused_url() for _ in range(4)])._policy_of_options()
    assert policy.max_retries == 4


# ensure


def test_ensure_calls_the_function_with_its_arguments(connection):
    pinger = Pinger(connection)
    ping = connection.ensure(pinger, pinger.ping)

    assert ping(1, x=2) == ("pong", (1,), {"x": 2})
    assert pinger.calls == 1
    assert ping.__name__ == "ping(ensured)"
    assert ping.__doc__ == pinger.ping.__doc__


def test_ensure_takes_any_callable(connection):
    from functools import partial

    assert connection.ensure(None, partial(int, "7"))() == 7


def test_a_lost_connection_is_replaced_and_the_object_revived(broker, connection):
    # Given a producer-like thing whose connection the broker cuts
    pinger = Pinger(connection)
    told, revived = [], []
    broker.drop_connections()

    # When it is used
    ping = connection.ensure(
        pinger, pinger.ping, errback=lambda *args: told.append(args), on_revive=revived.append
    )
    assert ping()[0] == "pong"

    # Then it works on another connection, and everybody was told once
    assert [interval for _, interval in told] == [0]
    assert isinstance(told[0][0], OSError)
    assert revived == pinger.revived == [connection.default_channel]
    assert len(broker.sessions) == 2


def test_without_errback_the_log_tells(broker, connection, caplog):
    pinger = Pinger(connection)
    broker.drop_connections()

    with caplog.at_level(logging.WARNING, "kombu.connection"):
        connection.ensure(pinger, pinger.ping)()
    assert "trying again in 0 s" in caplog.text
    assert f"127.0.0.1:{broker.port}" in caplog.text


def test_an_error_that_comes_back_waits_longer_each_time(connection):
    pinger = Pinger(connection)
    pinger.failures = [ConnectionResetError(str(n)) for n in range(4)]
    told = []

    connection.ensure(pinger, pinger.ping, lambda exc, interval: told.append(interval), **FAST)()
    assert told == [0, 0.01, 0.02, 0.02]
    assert len(pinger.revived) == 4


def test_the_next_broker_of_the_list_takes_over(broker):
    # Given two brokers, the first of which goes away for good
    first = TinyBroker()
    connection = tiny(first.url, broker.url)
    pinger = Pinger(connection)
    first.close()

    # Then the other one is used
    assert connection.ensure(pinger, pinger.ping)()[0] == "pong"
    assert connection.port == broker.port
    connection.release()


def test_a_broker_that_cuts_the_connection_is_not_the_next_to_be_tried(broker):
    first = TinyBroker()
    connection = tiny(first.url, broker.url)
    pinger = Pinger(connection)
    first.drop_connections()

    assert connection.ensure(pinger, pinger.ping)()[0] == "pong"
    assert connection.port == broker.port
    connection.release()
    first.close()


def test_a_broker_that_goes_silent_does_not_hold_up_the_next(broker):
    first = TinyBroker()
    with silent_listener() as silent:
        connection = tiny(first.url, silent, broker.url, connect_timeout=30)
        pinger = Pinger(connection)
        first.close()
        assert connection.ensure(pinger, pinger.ping, timeout=1)()[0] == "pong"
    assert connection.port == broker.port
    connection.release()


def test_ensure_connects_by_its_own_policy(broker):
    # Given a connection that was never made, to a broker that is not there
    connection = tiny(refused_url())
    told = []

    # When something is ensured, then it is this policy that counts, not that of the default channel
    began = monotonic()
    with pytest.raises(OperationalError) as caught:
        connection.ensure(
            None,
            lambda: connection.default_channel.ping(),
            errback=lambda exc, interval: told.append(interval),
            max_retries=2,
            **FAST,
        )()
    assert told == [0.01, 0.02]
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert monotonic() - began < 5


@pytest.mark.parametrize("failure", [ConnectionResetError("again"), RecoverableChannelError])
def test_max_retries_bounds_the_attempts(connection, failure):
    pinger = Pinger(connection)
    pinger.failures = [failure] * 9

    with pytest.raises(OperationalError) as caught:
        connection.ensure(pinger, pinger.ping, max_retries=2, **FAST)()
    assert pinger.calls == 3
    assert isinstance(caught.value.__cause__, failure if isinstance(failure, type) else OSError)


def test_a_closed_channel_is_replaced_on_the_same_connection(broker, connection):
    pinger = Pinger(connection)
    pinger.failures = [RecoverableChannelError, RecoverableChannelError]
    was = pinger.channel

    assert connection.ensure(pinger, pinger.ping, **FAST)()[0] == "pong"
    assert len(broker.sessions) == 1
    assert len(pinger.revived) == 2
    assert pinger.channel is connection.default_channel is not was


def test_a_channel_of_its_own_is_replaced_by_another_of_its_own(connection):
    pinger = Pinger(connection)
    pinger.channel = connection.channel()
    pinger.failures = [RecoverableChannelError]
    default = connection.default_channel

    connection.ensure(pinger, pinger.ping, **FAST)()
    assert pinger.channel is not default
    assert connection.default_channel is default


def test_a_channel_that_is_still_open_is_replaced_too(connection):
    # Given an error that leaves the channel open; oslo.messaging consumes again with the same tags after it
    pinger = Pinger(connection)
    pinger.failures = [RecoverableChannelError("but open")]
    was = pinger.channel

    # Then that is done on a channel where nothing was done before
    connection.ensure(pinger, pinger.ping, **FAST)()
    assert pinger.revived == [pinger.channel]
    assert pinger.channel is not was
    assert was.closed


def test_a_channel_error_that_comes_back_on_every_channel_ends_even_without_max_retries(connection):
    pinger = Pinger(connection)
    pinger.failures = [RecoverableChannelError] * 100

    with pytest.raises(OperationalError) as caught:
        connection.ensure(pinger, pinger.ping, interval_start=0, interval_step=0)()
    assert isinstance(caught.value.__cause__, RecoverableChannelError)
    assert pinger.calls == CHANNEL_RETRIES + 1


@pytest.mark.parametrize("failure", [KeyError("own"), ChannelError("refused")])
def test_an_error_that_trying_again_cannot_cure_comes_at_once(connection, failure):
    pinger = Pinger(connection)
    pinger.failures = [failure]

    with pytest.raises(type(failure)) as caught:
        connection.ensure(pinger, pinger.ping)()
    assert caught.value is failure
    assert pinger.calls == 1


def test_retry_errors_are_tried_again_on_the_same_channel(broker, connection):
    pinger = Pinger(connection)
    pinger.failures = [KeyError(1), KeyError(2)]

    assert connection.ensure(pinger, pinger.ping, retry_errors=(KeyError,), **FAST)()[0] == "pong"
    assert pinger.revived == []
    pinger.failures = [KeyError(1), KeyError(2), KeyError(3)]
    with pytest.raises(KeyError):
        connection.ensure(pinger, pinger.ping, retry_errors=(KeyError,), max_retries=2, **FAST)()


def test_different_errors_count_together(connection):
    pinger = Pinger(connection)
    pinger.failures = [ConnectionResetError(), RecoverableChannelError, ConnectionResetError()]

    assert connection.ensure(pinger, pinger.ping, max_retries=3, **FAST)()[0] == "pong"


def test_a_connection_that_is_lost_while_mending_is_mended_again(broker, connection):
    # Given a thing whose revival fails once, because the new connection is gone already
    class Unlucky(Pinger):
        luck = 0

        def revive(self, channel):
            self.luck += 1
            if self.luck == 1:
                raise ConnectionResetError("again")
            super().revive(channel)

    pinger = Unlucky(connection)
    broker.drop_connections()

    assert connection.ensure(pinger, pinger.ping, **FAST)()[0] == "pong"
    assert len(broker.sessions) == 3


def test_the_timeout_of_ensure_is_one_for_everything(broker, connection):
    # Given a broker that goes away for good
    pinger = Pinger(connection)
    connection.ensure(pinger, pinger.ping)()
    broker.close()

    # When something is ensured within a time
    began = monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        connection.ensure(pinger, pinger.ping, timeout=0.3, **FAST)()

    # Then that is how long it takes, and the last failure is told
    assert 0.25 < monotonic() - began < 5
    assert isinstance(caught.value.__cause__, OSError)
    assert not isinstance(caught.value.__cause__, DeadlineExceeded)


def test_an_outer_deadline_counts_and_is_not_taken_for_a_lost_connection(connection):
    pinger = Pinger(connection)

    def waits():
        pinger.calls += 1
        while True:
            threading.Event().wait(remaining(0.05))

    with pytest.raises(DeadlineExceeded), deadline_scope(0.1):
        connection.ensure(pinger, waits)()
    assert pinger.calls == 1
    assert connection.connected


def test_the_policy_does_not_stay_with_the_connection(connection):
    before = dict(vars(connection))
    pinger = Pinger(connection)
    policy = {"max_retries": 7, "interval_start": 5, "timeout": 9}
    connection.ensure(pinger, pinger.ping, **policy)()

    assert policy == {"max_retries": 7, "interval_start": 5, "timeout": 9}
    after = {name: value for name, value in vars(connection).items() if name in before}
    assert {k: v for k, v in after.items() if before[k] != v}.keys() <= {
        "_connection",
        "_transport",
        "_watched",
    }


def test_a_policy_object_can_be_given(connection):
    pinger = Pinger(connection)
    pinger.failures = [ConnectionResetError()] * 9

    with pytest.raises(OperationalError):
        connection.ensure(pinger, pinger.ping, **RetryPolicy(1, 0, 0, 0))()
    assert pinger.calls == 2


# autoretry


def test_autoretry_gives_the_result_and_the_channel(connection):
    def fun(text, channel):
        return text, channel.ping()

    result, channel = connection.autoretry(fun)("x")
    assert result == ("x", "pong")
    assert channel is not connection.default_channel

    mine = connection.channel()
    assert connection.autoretry(fun, mine)("x") == (("x", "pong"), mine)


def test_autoretry_goes_on_with_a_new_channel(broker, connection):
    # Given a connection that is cut between two calls
    def fun(channel):
        return channel.ping()

    mine = connection.channel()
    again = connection.autoretry(fun, mine, **FAST)
    assert again() == ("pong", mine)
    broker.drop_connections()

    # Then the function has a new channel, and keeps it
    result, channel = again()
    assert result == "pong"
    assert channel is not mine
    assert again() == ("pong", channel)
    assert again.__name__ == "fun(ensured)"


def test_autoretry_replaces_a_closed_channel(connection):
    refusals = [RecoverableChannelError]

    def fun(channel):
        if refusals:
            channel.refuse(refusals.pop())
        return channel.ping()

    mine = connection.channel()
    result, channel = connection.autoretry(fun, mine, **FAST)()
    assert (result, channel is mine, channel.closed) == ("pong", False, False)


@pytest.mark.parametrize("error", [ConnectionError("gone"), NotFound("no queue")])
def test_a_drivers_error_becomes_the_librarys(error):
    with (
        pytest.raises(OperationalError) as caught,
        Connection("memory://")._reraise_as_library_errors(),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("mine"), DeadlineExceeded("late")])
def test_other_errors_are_left_as_they_are(error):
    with pytest.raises(type(error)) as caught, Connection("memory://")._reraise_as_library_errors():
        raise error
    assert caught.value is error
