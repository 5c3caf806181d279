"""``amqps://`` verifies the broker's certificate and host name, unless told not to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from kombu import Connection
from kombu_amqp.tls import tls_from
from tests.support.certificates import Authority
from tests.support.rabbit import RabbitMQ
from tests.support.tls_front import Front

HERE = "DNS:localhost,IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(
    authority: Authority, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RabbitMQ]:
    """A RabbitMQ with a good certificate, which also lets clients log in by theirs."""
    tls = {**authority.issue("server", "localhost", HERE), "cafile": authority.cafile}
    mechanisms = "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\nssl_cert_login_from = common_name"
    broker = RabbitMQ(tmp_path_factory.mktemp("tls"), mechanisms, tls).start()
    yield broker
    broker.remove()


@pytest.fixture
def front(rabbitmq: RabbitMQ) -> Iterator[Callable[[dict[str, str]], int]]:
    fronts: list[Front] = []

    def make(certificate: dict[str, str]) -> int:
        fronts.append(Front(rabbitmq.port, certificate))
        return int(fronts[-1].port)

    yield make
    for each in fronts:
        each.close()


def works(connection: Connection) -> None:
    with connection:
        channel = connection.default_channel
        channel.queue_declare("tls-queue", exclusive=True)
        body = "x" * 1_000_000
        connection.Producer().publish(body, routing_key="tls-queue")
        received: list[Any] = []
        channel.basic_consume("tls-queue", callback=received.append, no_ack=True)
        connection.drain_events(timeout=10)
        assert channel.message_to_python(received[0]).payload == body
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_trusted_certificate(broker: RabbitMQ, authority: Authority, host: str) -> None:
    works(Connection(f"amqps://{host}:{broker.tls_port}", ssl={"ca_certs": authority.cafile}))


def test_a_context_of_ones_own(broker: RabbitMQ, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    works(Connection(f"amqps://localhost:{broker.tls_port}", ssl=context))
    works(Connection(f"amqps://localhost:{broker.tls_port}", ssl={"context": {"cafile": authority.cafile}}))


def test_heartbeats_beside_traffic(broker: RabbitMQ, authority: Authority) -> None:
    # Given: a thread that writes while another reads and writes
    with Connection(
        f"amqps://localhost:{broker.tls_port}", ssl={"ca_certs": authority.cafile}, heartbeat=1
    ) as connection:
        channel = connection.default_channel
        channel.queue_declare("tls-traffic", exclusive=True)
        received: list[Any] = []
        channel.basic_consume("tls-traffic", callback=received.append, no_ack=True)
        until, sent = monotonic() + 3, 0
        while monotonic() < until:
            channel.basic_publish(channel.prepare_message(b"x" * 10_000), routing_key="tls-traffic")
            sent += 1
            connection.drain_events(timeout=5)
        while len(received) < sent:
            connection.drain_events(timeout=5)


def test_a_program_that_sets_the_timeout_of_the_socket(broker: RabbitMQ, authority: Authority) -> None:
    with Connection(f"amqps://localhost:{broker.tls_port}", ssl={"ca_certs": authority.cafile}) as connection:
        channel = connection.default_channel
        channel.connection.sock.settimeout(60)
        began = monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        assert monotonic() - began < 10


def test_the_authority_is_unknown(broker: RabbitMQ) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        Connection(f"amqps://localhost:{broker.tls_port}").connect()
    assert isinstance(caught.value, Connection("amqps://").connection_errors)


@pytest.mark.parametrize("defect", ["self-signed", "wrong host", "expired"])
def test_bad_certificates(authority: Authority, front: Callable[..., int], defect: str) -> None:
    # Given
    certificate = {
        "self-signed": authority.self_signed,
        "wrong host": lambda: authority.issue("other", "elsewhere.example", "DNS:elsewhere.example"),
        "expired": lambda: authority.issue("old", "localhost", HERE, expired=True),
    }[defect]()
    url = f"amqps://localhost:{front(certificate)}"
    trusting = {"ca_certs": authority.cafile}
    # Then: refused
    with pytest.raises(ssl.SSLCertVerificationError):
        Connection(url, ssl=trusting).connect()
    # unless told not to look
    works(Connection(url, ssl={"cert_reqs": ssl.CERT_NONE}))
    if defect == "wrong host":
        works(Connection(url, ssl={**trusting, "check_hostname": False}))
        works(Connection(url, ssl={**trusting, "server_hostname": "elsewhere.example"}))


def test_external_login(broker: RabbitMQ, authority: Authority) -> None:
    # Given: a client certificate for the user guest
    client = authority.issue("client", "guest", client=True)
    options = {"ca_certs": authority.cafile, **client}
    works(Connection(f"amqps://localhost:{broker.tls_port}", ssl=options, login_method="EXTERNAL"))
    # Without one there is no such login
    with pytest.raises(Exception, match="ACCESS_REFUSED|auth mechanism"):
        Connection(
            f"amqps://localhost:{broker.tls_port}", ssl={"ca_certs": authority.cafile}, login_method="EXTERNAL"
        ).connect()


def test_a_handshake_that_is_not_answered(rabbitmq: RabbitMQ) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = monotonic()
        with pytest.raises(TimeoutError):
            Connection(f"amqps://localhost:{silent.getsockname()[1]}", connect_timeout=0.5).connect()
        assert monotonic() - started < 10


def test_options() -> None:
    verifying = tls_from(True)
    assert verifying is not None
    assert verifying.context.verify_mode is ssl.CERT_REQUIRED and verifying.context.check_hostname
    for option in ({"server_hostname": None}, {"cert_reqs": ssl.CERT_REQUIRED}, {"check_hostname": True}):
        tls = tls_from(option)
        assert tls is not None and tls.context.check_hostname, option
    assert tls_from(False) is None
    with pytest.raises(ValueError, match="ca_cert"):
        tls_from({"ca_cert": str(Path("nowhere"))})
