"""User names and passwords that change while connections last."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from kombu_redis import errors
from kombu_redis.client import Client
from kombu_redis.credentials import Credentials
from tests.support.redis_server import RedisServer
from tests.unit.kombu_redis.support_client import client_to


class Tokens(redis.CredentialProvider):
    """As redis-py wants them."""

    current: Any = ("limited", "battery")

    def __init__(self) -> None:
        self.asked = 0

    def get_credentials(self) -> Any:
        self.asked += 1
        return self.current


def test_a_provider_logs_in(redis_with_acl: RedisServer) -> None:
    for provider in (Tokens(), Tokens):
        for given in ({"credential_provider": provider}, {"connection": {"credential_provider": provider}}):
            with client_to(redis_with_acl.url, **given) as client:
                assert client.call("ACL", "WHOAMI") == b"limited"


def test_by_name() -> None:
    assert Credentials("redis.UsernamePasswordCredentialProvider").get_credentials() == ("",)
    with pytest.raises(ValueError, match="credential_provider 'no.such.Class' is no dotted name"):
        Credentials("no.such.Class")
    with pytest.raises(ValueError, match="Handler without the method get_credentials"):
        Credentials("logging:Handler")


def test_it_goes_before_the_url(redis_with_acl: RedisServer) -> None:
    url = redis_with_acl.url.replace("//", "//bob:sesame@")
    with client_to(url, credential_provider=Tokens()) as client:
        assert client.call("ACL", "WHOAMI") == b"limited"


def test_rotation_on_a_long_connection(redis_with_acl: RedisServer) -> None:
    # Given: a connection that is logged in with a token
    tokens = Tokens()
    look = redis_with_acl.client()
    with client_to(redis_with_acl.url, credential_provider=tokens) as client:
        client.call("SET", "p:key", "x")
        number = client.call("CLIENT", "ID")
        client.reauthenticate()
        assert client.call("CLIENT", "ID") == number
        # When: there is a new one
        look.execute_command("ACL SETUSER other on >token-2 ~p:* resetchannels &p:* +@all")
        tokens.current = ("other", "token-2")
        client.reauthenticate()
        # Then: the same connection is logged in with it
        assert client.call("ACL", "WHOAMI") == b"other"
        assert client.call("CLIENT", "ID") == number and client.connects == 1
        asked = tokens.asked
        client.reauthenticate()
        assert tokens.asked == asked + 1
        # and so are those that come after it
        look.client_kill_filter(_id=number, skipme=False)
        with pytest.raises(errors.ConnectionLost):
            client.call("PING")
        assert client.call("ACL", "WHOAMI") == b"other"


def test_a_new_token_that_is_refused(redis_with_acl: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """The provider may know it before the server does."""
    tokens = Tokens()
    with client_to(redis_with_acl.url, credential_provider=tokens) as client:
        client.connect()
        tokens.current = ("limited", "swordfish")
        client.reauthenticate()
        assert "does not accept new credentials" in caplog.text
        assert "swordfish" not in caplog.text
        # The old login holds, and is renewed when the server knows the new one
        assert client.call("ACL", "WHOAMI") == b"limited"
        redis_with_acl.client().execute_command("ACL SETUSER other on >sesame ~p:* resetchannels &p:* +@all")
        tokens.current = ("other", "sesame")
        client.reauthenticate()
        assert client.call("ACL", "WHOAMI") == b"other"
        assert client.connects == 1


def test_new_connections_while_a_new_token_is_refused(
    redis_with_acl: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    # Given: sockets of one connection, one of which was used before the provider knew a token that the server does not
    tokens, look = Tokens(), redis_with_acl.client()
    with client_to(redis_with_acl.url, credential_provider=tokens) as client:
        other = Client(client.address, client._options)
        number = client.call("CLIENT", "ID")
        tokens.current = ("other", "sesame")
        # When: one is lost, and another is wanted, Then: the old login holds for them
        look.client_kill_filter(_id=number, skipme=False)
        with pytest.raises(errors.ConnectionLost):
            client.call("PING")
        assert client.call("ACL", "WHOAMI") == other.call("ACL", "WHOAMI") == b"limited"
        assert "does not accept new credentials" in caplog.text and "sesame" not in caplog.text
        # And: until the server knows the new one
        look.execute_command("ACL SETUSER other on >sesame ~p:* resetchannels &p:* +@all")
        client.reauthenticate()
        other.reauthenticate()
        look.execute_command("ACL DELUSER limited")
        assert client.call("ACL", "WHOAMI") == other.call("ACL", "WHOAMI") == b"other"
        # And: when the server knows neither, it says so
        tokens.current = ("third", "swordfish")
        look.execute_command("ACL DELUSER other")
        with pytest.raises((errors.AuthenticationError, errors.ConnectionLost)):
            for _ in range(3):
                other.call("PING")
        with pytest.raises(errors.AuthenticationError):
            other.connect()
        other.close()


def test_a_provider_that_fails(redis_with_acl: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Tokens):
        def get_credentials(self) -> Any:
            if self.asked:
                raise RuntimeError("battery")
            return super().get_credentials()

    with client_to(redis_with_acl.url, credential_provider=Failing()) as client:
        client.connect()
        client.reauthenticate()
        assert client.call("ACL", "WHOAMI") == b"limited"
        assert "failed with RuntimeError" in caplog.text
        assert "battery" not in caplog.text


def test_without_a_provider_there_is_nothing_to_renew(redis_with_password: RedisServer) -> None:
    with client_to(redis_with_password.url) as client:
        client.reauthenticate()
        assert not client.connected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("token", ("token",)), (["u", "p"], ("u", "p")), (("p",), ("p",)), (None, ()), ((), ())],
)
def test_what_a_provider_may_answer(answer: Any, expected: tuple[str, ...]) -> None:
    provider = Tokens()
    provider.current = answer
    asking = Credentials(provider)
    assert asking.get_credentials() == asking.last == expected


@pytest.mark.parametrize("answer", [("u", "p", "sesame"), (b"sesame",), {1: "sesame"}])
def test_what_it_may_not(answer: Any) -> None:
    provider = Tokens()
    provider.current = answer
    with pytest.raises(ValueError, match="returns \\(user, password\\)") as caught:
        Credentials(provider).get_credentials()
    assert "sesame" not in str(caught.value)
