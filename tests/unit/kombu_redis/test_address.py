"""From URLs and parameters of a connection to a server and a database."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import redis

from kombu import Connection
from kombu_redis.address import Address
from kombu_redis.credentials import Credentials
from kombu_redis.options import Options


def address(url: str, **parameters: Any) -> Address:
    return Address.from_client(Connection(url, **parameters))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Address()),
        ("redis://localhost", Address()),
        ("redis://localhost:6380", Address(port=6380)),
        ("redis://h:1/3", Address(host="h", port=1, db=3)),
        ("redis://h//3", Address(host="h", db=3)),
        ("redis://:p%40ss@h/0", Address(host="h", password="p@ss")),
        ("redis://bob:p@h", Address(host="h", username="bob", password="p")),
        ("valkey://[::1]:7000/2", Address(host="::1", port=7000, db=2)),
        ("redis+socket:///run/redis.sock", Address(path="/run/redis.sock")),
        ("redis+socket:///run/a%20b.sock?virtual_host=4", Address(path="/run/a b.sock", db=4)),
        ("redis+socket://:s%40cret@/run/r.sock", Address(path="/run/r.sock", password="s@cret")),
        (
            "redis+socket:///r.sock?virtual_host=/1&password=s&username=bob",
            Address(path="/r.sock", db=1, username="bob", password="s"),
        ),
    ],
)
def test_urls(url: str, expected: Address) -> None:
    assert address(url) == expected


def test_parameters_where_the_url_says_nothing() -> None:
    found = address("redis://", userid="bob", password="p", port=7, virtual_host="5")
    assert found == Address(username="bob", password="p", port=7, db=5)
    assert address("somewhere", transport="redis", virtual_host="/").host == "somewhere"


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_schemes_with_tls(scheme: str) -> None:
    found = address(f"{scheme}://h:6390/1")
    assert found.tls is not None and (found.host, found.port, found.db) == ("h", 6390, 1)
    kind, arguments = found.connection(Options())
    assert kind is redis.SSLConnection and arguments["ssl_check_hostname"]
    assert arguments["ssl_cert_reqs"] is ssl.CERT_REQUIRED
    assert address("redis://h").tls is None
    assert address("redis://h", ssl=True).tls is not None


@pytest.mark.parametrize("vhost", ["vhost", "-1", "1.5", "3/4"])
def test_a_virtual_host_that_is_no_database(vhost: str) -> None:
    with pytest.raises(ValueError, match=f"{vhost!r} is no database of Redis: it is a number"):
        address(f"redis://h/{vhost}")


def test_an_unknown_option_of_a_socket_s_url() -> None:
    with pytest.raises(ValueError, match="no option database; it has virtual_host"):
        address("redis+socket:///r.sock?database=4")


def test_a_socket_s_url_without_a_path() -> None:
    with pytest.raises(ValueError, match="path of a socket, as in"):
        address("redis+socket://?virtual_host=4")


def test_a_misspelt_scheme_is_no_socket() -> None:
    with pytest.raises(ValueError, match=r"no scheme that ends in '\+clustre': .* redis\+cluster://"):
        address("redis+clustre://localhost:6379/0")


def test_what_it_shows() -> None:
    assert str(address("redis://bob:sesame@h:1/3")) == "h:1/3"
    assert str(address("redis://[::1]/")) == "[::1]:6379/0"
    assert str(address("redis+socket:///r.sock?virtual_host=2")) == "/r.sock (database 2)"
    for found in (address("redis://bob:sesame@h"), address("redis+socket:///r?password=sesame")):
        assert "sesame" not in f"{found} {found!r}"
    for url in ("redis+socket://:sesame@/run/r.sock", "redis+socket:///run/r.sock?password=sesame"):
        host = Connection(url).host
        assert "sesame" not in host and host.endswith("/run/r.sock")


def test_what_the_driver_is_told() -> None:
    options = Options(socket_timeout=3, socket_keepalive_options={4: 30}, client_name="app")
    kind, arguments = address("redis://bob:sesame@h:1/3").connection(options)
    assert kind is redis.Connection
    assert {
        "host": "h",
        "port": 1,
        "db": 3,
        "username": "bob",
        "password": "sesame",
    }.items() <= arguments.items()
    assert arguments["socket_timeout"] == 3 and arguments["socket_connect_timeout"] == 5
    assert arguments["socket_keepalive"] and arguments["socket_keepalive_options"] == {4: 30}
    assert arguments["client_name"] == "app"
    assert address("redis://h").connection(options, "app-wait")[1]["client_name"] == "app-wait"
    kind, arguments = address("redis+socket:///r.sock").connection(options)
    assert kind is redis.UnixDomainSocketConnection and arguments["path"] == "/r.sock"
    # A provider goes before what the URL says
    asked = Credentials(redis.UsernamePasswordCredentialProvider("ann", "mellon"))
    arguments = address("redis://bob:sesame@h").connection(options, credentials=asked)[1]
    assert arguments["credential_provider"] is asked and "password" not in arguments
