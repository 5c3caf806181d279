"""The transport's description of itself, its options, and its part in an event loop."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from typing import Any

import amqp
import pytest

import kombu_amqp
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport import get_transport_cls
from tests.support.rabbit import RabbitMQ


def test_historic_import_path() -> None:
    import kombu.transport.pyamqp as historic

    assert historic is kombu_amqp
    for name in ("Channel", "Connection", "Message", "SSLTransport", "Transport"):
        assert hasattr(historic, name)


def test_defaults_are_those_of_kombu_5() -> None:
    transport = Connection("amqp://").transport
    assert transport.default_connection_params == {
        "userid": "guest",
        "password": "guest",
        "port": 5672,
        "hostname": "localhost",
        "login_method": "PLAIN",
    }
    assert (transport.driver_name, transport.driver_type) == ("py-amqp", "amqp")
    assert transport.driver_version() == amqp.__version__
    assert transport.supports_ev and transport.supports_heartbeats and not transport.can_parse_url
    assert (transport.default_port, transport.default_ssl_port) == (5672, 5671)
    assert Connection("amqps://").transport.default_connection_params["port"] == 5671
    assert [get_transport_cls(scheme) for scheme in ("amqp", "pyamqp", "amqps")] == [
        kombu_amqp.Transport,
        kombu_amqp.Transport,
        kombu_amqp.SSLTransport,
    ]


def test_classes_are_the_drivers() -> None:
    assert issubclass(kombu_amqp.Connection, amqp.Connection)
    assert issubclass(kombu_amqp.Channel, amqp.Channel)


def test_confirm_is_claimed_with_the_option() -> None:
    assert not Connection("amqp://").transport.implements.confirm
    assert Connection("amqp://", transport_options={"confirm_publish": True}).transport.implements.confirm


@pytest.mark.parametrize(("value", "confirms"), [("false", False), ("0", False), ("True", True), (None, False)])
def test_yes_and_no_may_be_text(rabbitmq: RabbitMQ, value: Any, confirms: bool) -> None:
    with Connection(rabbitmq.url, transport_options={"confirm_publish": value}) as connection:
        assert connection.connection.confirm_publish is confirms
        assert connection.transport.implements.confirm is confirms


def test_client_properties_reach_the_broker(rabbitmq: RabbitMQ) -> None:
    options = {"client_properties": {"connection_name": "the-name-of-this-test"}}
    with Connection(rabbitmq.url, transport_options=options) as connection:
        connection.connect()
        assert connection.connection.client is connection
        assert not connection.qos_semantics_matches_spec
        assert "the-name-of-this-test" in rabbitmq.ctl("list_connections", "client_properties")


@pytest.mark.parametrize("method", ["PLAIN", "AMQPLAIN"])
def test_login_method(rabbitmq: RabbitMQ, method: str) -> None:
    with Connection(rabbitmq.url, login_method=method) as connection:
        connection.connect()
        assert method in rabbitmq.ctl("list_connections", "auth_mechanism")


def test_credentials_are_asked_for_at_each_connect(rabbitmq: RabbitMQ) -> None:
    class Provider:
        asked = 0

        def get_credentials(self) -> tuple[str, str]:
            self.asked += 1
            return "guest", "guest"

    provider = Provider()
    for _ in range(2):
        with Connection(
            f"amqp://127.0.0.1:{rabbitmq.port}//", password="wrong", credential_provider=provider
        ) as connection:
            connection.connect()
    assert provider.asked == 2


def test_an_unknown_option_is_logged(rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        with Connection(rabbitmq.url, transport_options={"confirm_publsh": True, "max_retries": 1}) as connection:
            connection.connect()
    assert "'confirm_publsh': ignored. Did you mean 'confirm_publish'?" in caplog.text
    assert "max_retries" not in caplog.text


def test_read_timeout(rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url, transport_options={"read_timeout": 0.2}) as connection:
        connection.connect()
        with pytest.raises(TimeoutError):
            connection.drain_events()


def test_a_driver_message_can_be_published(rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url) as connection:
        channel = connection.default_channel
        channel.queue_declare("driver-message", exclusive=True)
        channel.basic_publish(
            amqp.Message("text", content_type="text/plain", application_headers={"a": 1}), routing_key="driver-message"
        )
        message = channel.message_to_python(channel.basic_get("driver-message", no_ack=True))
        assert (message.payload, message.headers) == ("text", {"a": 1})


class Loop:
    """A small event loop with the methods that a transport may use."""

    def __init__(self) -> None:
        self.readers: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self.soon: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> None:
        self.readers[fd] = callback, args

    def remove_reader(self, fd: int) -> None:
        del self.readers[fd]

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        self.soon.append((callback, args))

    def once(self, timeout: float) -> None:
        calls, self.soon = self.soon, []
        if not calls:
            ready, _, _ = select.select(list(self.readers), [], [], timeout)
            calls = [self.readers[fd] for fd in ready]
        for callback, args in calls:
            callback(*args)


def test_in_an_event_loop(rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url) as connection, Connection(rabbitmq.url) as other:
        # Given: a consumer that declares in its callback, while more deliveries are on their way
        loop, channel = Loop(), connection.default_channel
        channel.queue_declare("loop", auto_delete=False)
        received: list[bytes] = []

        def callback(message: Any) -> None:
            received.append(message.body)
            channel.queue_declare("loop", passive=True)
            message.ack()

        channel.basic_qos(0, 10, False)
        channel.basic_consume("loop", callback=callback)
        connection.register_with_event_loop(loop)
        # When
        bodies = [b"%d" % number for number in range(100)]
        for body in bodies:
            other.default_channel.basic_publish(other.default_channel.prepare_message(body), routing_key="loop")
        # Then: none is stuck, though the descriptor announces only the first of what one read brings
        for _ in range(500):
            if len(received) == 100:
                break
            loop.once(5)
        assert received == bodies
        connection.transport.unregister_from_event_loop(connection.connection, loop)
        assert not loop.readers
        channel.queue_delete("loop")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_leaves_the_parents_connection_alone(rabbitmq: RabbitMQ) -> None:
    with Connection(rabbitmq.url, heartbeat=1) as connection:
        channel = connection.default_channel
        channel.queue_declare("forked", exclusive=True)
        child = os.fork()
        if not child:
            # In the child: it closes what it has, and works on a connection of its own
            try:
                connection.release()
                with connection.clone() as own:
                    own.Producer().publish("from the child", routing_key="forked")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert channel.queue_declare("forked", passive=True).message_count == 1
        connection.heartbeat_check()


def test_a_connection_that_was_lost_while_writing_ends_the_event_loop(amqp_url: str) -> None:
    # Given: a loop that watches, and nobody else who would notice
    with Connection(amqp_url) as connection:
        hub = Hub()
        connection.register_with_event_loop(hub)
        connection.channel().basic_qos(0, 1, False)
        loop = hub.create_loop()
        hub.call_repeatedly(0.05, lambda: None)
        # When: a write has failed, which gave the socket up
        connection.connection.transport.shut()
        # Then
        with pytest.raises(connection.connection_errors):
            for _ in range(20):
                next(loop)
        hub.close()
