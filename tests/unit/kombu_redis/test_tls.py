"""``rediss://`` verifies the server's certificate and host name, unless told not to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest

from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import deadline_scope
from kombu_redis import errors
from kombu_redis.address import tls_arguments
from kombu_redis.resp import pack
from tests.support.certificates import Authority
from tests.support.redis_fixtures import require_redis
from tests.support.redis_server import RedisServer
from tests.unit.kombu_redis.support_client import client_to

HERE = "DNS:localhost,IP:127.0.0.1"


@pytest.fixture(scope="module")
def server(redis_authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with a good certificate."""
    require_redis()
    tls = {**redis_authority.issue("good", "localhost", HERE), "cafile": redis_authority.cafile}
    server = RedisServer(tmp_path_factory.mktemp("tls"), tls=tls).start()
    yield server
    server.remove()


def works(url: str, **connection: Any) -> None:
    with client_to(url, connection=connection) as client:
        value = b"x" * 1_000_000
        assert client.call("SET", "key", value) == b"OK"
        # (several records are read at once)
        assert client.pipeline([("GET", "key"), ("PING",), ("GET", "key")]) == [value, b"PONG", value]
        client.write(pack("GET", "key") + pack("PING"), 0)
        assert client.readable(5) and client.read() == value
        assert client.readable(5) and client.read() == b"PONG"
        assert not client.readable(0)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_trusted_certificate(server: RedisServer, redis_authority: Authority, host: str, scheme: str) -> None:
    works(f"{scheme}://{host}:{server.tls_port}", ssl={"ca_certs": redis_authority.cafile})
    works(f"{scheme}://{host}:{server.tls_port}/0?ssl_ca_certs={quote(redis_authority.cafile)}")
    works(f"redis://{host}:{server.tls_port}", ssl={"ssl_ca_certs": redis_authority.cafile})


def test_a_context_of_ones_own(server: RedisServer, redis_authority: Authority) -> None:
    context = ssl.create_default_context(cafile=redis_authority.cafile)
    works(f"rediss://localhost:{server.tls_port}", ssl=context)
    works(f"rediss://localhost:{server.tls_port}", ssl={"context": context})
    with open(redis_authority.cafile) as file:
        works(f"rediss://localhost:{server.tls_port}", ssl={"ca_data": file.read()})


def test_the_authority_is_unknown(server: RedisServer) -> None:
    with client_to(f"rediss://localhost:{server.tls_port}") as client:
        with pytest.raises(errors.ConnectionError, match="certificate.*not accepted.*ssl_ca_certs"):
            client.connect()
    works(f"rediss://localhost:{server.tls_port}/0?ssl_cert_reqs=none")


@pytest.mark.parametrize("defect", ["self-signed", "wrong host", "expired"])
def test_bad_certificates(redis_authority: Authority, make_redis: Callable[..., RedisServer], defect: str) -> None:
    # Given
    certificate = {
        "self-signed": redis_authority.self_signed,
        "wrong host": lambda: redis_authority.issue("other", "elsewhere.example", "DNS:elsewhere.example"),
        "expired": lambda: redis_authority.issue("old", "localhost", HERE, expired=True),
    }[defect]()
    server = make_redis(tls={**certificate, "cafile": redis_authority.cafile})
    url = f"rediss://localhost:{server.tls_port}"
    trusting = {"ca_certs": redis_authority.cafile}
    # Then: refused, and another attempt is no use
    with client_to(url, connection={"ssl": trusting}) as client:
        with pytest.raises(errors.ConnectionError, match="not accepted"):
            client.connect()
    # unless told not to look
    works(url, ssl={"ssl_cert_reqs": None, "cert_reqs": ssl.CERT_NONE})
    works(url, ssl={"cert_reqs": "none"})
    if defect == "wrong host":
        works(url, ssl={**trusting, "check_hostname": False})
        context = ssl.create_default_context(cafile=redis_authority.cafile)
        works(url, ssl={"context": context, "server_hostname": "elsewhere.example"})


def test_a_client_s_certificate(redis_authority: Authority, make_redis: Callable[..., RedisServer]) -> None:
    issued = redis_authority.issue("strict", "localhost", HERE)
    server = make_redis(tls={**issued, "cafile": redis_authority.cafile}, settings={"tls-auth-clients": "yes"})
    trusting = {"ca_certs": redis_authority.cafile}
    works(
        f"rediss://localhost:{server.tls_port}",
        ssl={**trusting, **redis_authority.issue("client", "me", client=True)},
    )
    with client_to(f"rediss://localhost:{server.tls_port}", connection={"ssl": trusting}) as client:
        with pytest.raises(errors.ConnectionLost):
            client.connect()


def test_a_server_without_tls(redis_server: RedisServer) -> None:
    # (it takes the handshake for the beginning of a command, and waits for the rest)
    with client_to(f"rediss://localhost:{redis_server.port}", socket_connect_timeout=0.3) as client:
        with pytest.raises(errors.NoReply, match="no TLS connection to localhost"):
            client.connect()


def test_a_handshake_that_is_not_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rediss://localhost:{silent.getsockname()[1]}"
        started = monotonic()
        with client_to(url, socket_connect_timeout=0.3) as client, pytest.raises(errors.NoReply):
            client.connect()
        assert monotonic() - started < 10


def test_deadlines(server: RedisServer, redis_authority: Authority) -> None:
    # Given: a server that does not answer, over TLS
    url = f"rediss://localhost:{server.tls_port}"
    with client_to(url, connection={"ssl": {"ca_certs": redis_authority.cafile}}, socket_timeout=0.3) as client:
        client.connect()
        server.pause()
        try:
            with pytest.raises(DeadlineExceeded), deadline_scope(0.1):
                client.call("PING")
            assert not client.connected
        finally:
            server.resume()
        client.connect()
        server.pause()
        try:
            with pytest.raises(errors.NoReply, match="socket_timeout"):
                client.call("PING")
        finally:
            server.resume()
        assert client.call("PING") == b"PONG"


def test_options() -> None:
    verifying = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    for option in (True, {"ssl_cert_reqs": None}, {"cert_reqs": "required"}, {"cert_reqs": "CERT_REQUIRED"}):
        assert tls_arguments(option) == verifying, option
    for off in ("none", "CERT_NONE", ssl.CERT_NONE, 0):
        expected = {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
        assert tls_arguments({"ssl_cert_reqs": off}) == expected, off
    for any_name in (False, "false"):
        assert tls_arguments({"check_hostname": any_name}) == {**verifying, "ssl_check_hostname": False}
    assert tls_arguments(False) is None
    with pytest.raises(ValueError, match="no option ssl_ca_cert; with redis-py .* it has ssl_ca_certs"):
        tls_arguments({"ssl_ca_cert": "nowhere"})
    with pytest.raises(ValueError, match="'never'; expected one of none"):
        tls_arguments({"ssl_cert_reqs": "never"})


# (redis-py 5.0 leaves closing the socket to Python then)
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_file_that_is_not_there(server: RedisServer) -> None:
    url = f"rediss://localhost:{server.tls_port}"
    with client_to(url, connection={"ssl": {"ca_certs": "/nowhere/ca.pem"}}) as client:
        with pytest.raises(errors.ConnectionError, match="a file that the ssl options"):
            client.connect()
