"""``sentinel://``: the master is found, and found again after a failover; failovers under load: test_failover.py."""

from __future__ import annotations

import json
import socket
import ssl as library
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection
from kombu.exceptions import RecoverableConnectionError
from tests.redis.test_acl import send_and_get
from tests.redis.wire import until
from tests.support.ports import free_port
from tests.support.redis_sentinel import NAME, Sentinels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.certificates import Authority
    from tests.support.fleet import Fleet

OPTIONS: dict[str, Any] = {"master_name": NAME, "socket_connect_timeout": 3}


@pytest.fixture(scope="module")
def make_sentinels(tmp_path_factory: pytest.TempPathFactory, redis_server: Any) -> Iterator[Callable[..., Sentinels]]:
    with ExitStack() as stack:

        def make(**options: Any) -> Sentinels:
            made = Sentinels(tmp_path_factory.mktemp("sentinels"), **options)
            stack.callback(made.stop)
            return made.start()

        yield make


@pytest.fixture(scope="module")
def sentinels(make_sentinels: Callable[..., Sentinels]) -> Sentinels:
    """For tests that leave the master alone."""
    return make_sentinels()


def connection_to(url: str, **options: Any) -> Connection:
    return Connection(url, transport_options=OPTIONS | options)


# -- asking


def test_the_name_of_the_master_is_needed() -> None:
    with pytest.raises(ValueError, match="master_name"), Connection("sentinel://localhost:1") as connection:
        connection.connect()


@pytest.mark.parametrize("other", ["sentinel://two:2", "two:2", "sentinel://two:2/3"])
def test_what_one_url_says_of_the_servers_holds_for_all(other: str) -> None:
    """Nobody wants another database, or no password, when a sentinel does not answer."""
    with connection_to(f"sentinel://user:secret@one:1/3;{other}") as connection:
        for first in ("one:1, two:2", "two:2, one:1"):
            address = connection.transport.address
            assert (address.db, address.username, address.password) == (3, "user", "secret")
            assert first in str(address)
            connection.maybe_switch_next()


def test_an_unknown_master_is_a_connection_error(sentinels: Sentinels) -> None:
    with connection_to(sentinels.url, master_name="nobody") as connection:
        with pytest.raises(connection.connection_errors, match="nobody"):
            connection.connect()


def test_sentinels_that_are_gone_or_say_nothing_are_passed_over(sentinels: Sentinels) -> None:
    """Each gets its share of the time for connecting; the one that answered is asked first from then on."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [free_port(), one.getsockname()[1], two.getsockname()[1], sentinels.addresses[0][1]]
        url = ";".join(f"sentinel://127.0.0.1:{port}" for port in ports)
        assert send_and_get(connection_to(url, socket_connect_timeout=4)) == ("hello", "to all")


def test_a_replica_is_not_taken_for_the_master(sentinels: Sentinels) -> None:
    """A sentinel that is the last to hear of a failover names the old master, which may be a replica by now."""
    # Given
    replica = next(server for server in sentinels.servers if server is not sentinels.master())
    port = free_port()
    late = f"sentinel://127.0.0.1:{port}"
    sentinels.start_one("127.0.0.1", port, replica, down_after=60_000)
    sentinels.until(lambda: sentinels.ask("MASTERS", port=port, host="127.0.0.1"), "it answers")
    # Then
    with connection_to(late) as connection:
        with pytest.raises(RecoverableConnectionError, match=f"READONLY 127.0.0.1:{replica.port} is a replica"):
            connection.connect()
    with connection_to(f"{late};{sentinels.url}") as connection:
        connection.Producer().publish("hello", routing_key="q", retry=True, timeout=10)


def test_a_sentinel_that_knows_too_few_others_is_not_believed(sentinels: Sentinels) -> None:
    with connection_to(sentinels.url, min_other_sentinels=2) as connection:
        connection.connect()
    with connection_to(sentinels.url, min_other_sentinels=9) as connection:
        with pytest.raises(connection.connection_errors, match="others, and min_other_sentinels is 9"):
            connection.connect()


# -- logging in


def test_passwords_and_tls_everywhere(make_sentinels: Callable[..., Sentinels], redis_authority: Authority) -> None:
    # Given: certificates that name nothing but the address
    issued = redis_authority.issue("sentinel", "nobody", "IP:127.0.0.1")
    tls = {**issued, "cafile": redis_authority.cafile}
    sentinels = make_sentinels(password="correct-horse", sentinel_password="battery", tls=tls)
    ask = {"ssl": True, "ssl_ca_certs": tls["cafile"], "password": "battery"}
    ssl = {"ssl_ca_certs": tls["cafile"]}
    # Then
    to = lambda **options: Connection(  # noqa: E731
        sentinels.url, ssl=options.pop("ssl", ssl), transport_options=OPTIONS | {"sentinel_kwargs": ask} | options
    )
    assert send_and_get(to()) == ("hello", "to all")
    context = library.create_default_context(cafile=tls["cafile"])
    assert send_and_get(to(ssl={"context": context})) == ("hello", "to all")
    # And what is wrong is said, without a secret
    for options, what in [
        ({"sentinel_kwargs": {**ask, "password": "swordfish"}}, "sentinel_kwargs"),
        ({"sentinel_kwargs": {"password": "battery"}}, "no sentinel names a master"),
        ({"ssl": True}, "certificate"),
    ]:
        with to(**options) as connection, pytest.raises(connection.connection_errors, match=f"(?i){what}") as caught:
            connection.connect()
        assert not any(secret in str(caught.value) for secret in ("swordfish", "battery", "horse"))


def test_the_names_of_all_sockets(sentinels: Sentinels) -> None:
    master = sentinels.master()
    assert master is not None
    with connection_to(sentinels.url, client_name="app") as connection, connection.SimpleQueue("names") as queue:
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.1)
        names = [client["name"] for client in master.client().client_list()]
        assert {"app", "app-wait"} <= set(names)


# -- sentinel_fanout_compat


def test_broadcasts_by_both_names(
    sentinels: Sentinels, make_fleet: Callable[..., Fleet], old_kombu: str
) -> None:
    """As kombu 5.7 has it: /0.news and /{db}.news, and each is received once."""
    # Given: one of each, and two who know one name only
    both = make_fleet(sentinels.url, **OPTIONS, sentinel_fanout_compat=True)
    plain = make_fleet(sentinels.url, **OPTIONS)
    news = {"exchange": "news", "type": "fanout", "key": ""}
    members = [both.start(), both.start(old_kombu), plain.start()]
    for number, member in enumerate(members):
        member.consume({"name": f"inbox{number}", **news})
    master = sentinels.master()
    assert master is not None
    with master.client() as client, client.pubsub() as literal:
        literal.subscribe("/{db}.news")
        speakers = [both.start(), both.start(old_kombu)]

        # (kombu 5.7 subscribes when it first waits, so it is told until it hears)
        def heard() -> bool:
            speakers[0].ask("publish", bodies=["hello"], exchange="news", type="fanout")
            members[1].read()
            return bool(members[1].all("got"))

        until(heard, 30, "the old one has subscribed")
        # When
        for number, speaker in enumerate(speakers):
            speaker.ask("publish", bodies=[number, "next"], exchange="news", type="fanout")
        # Then
        for member in members:
            member.wait(lambda: member.all("got")[-4:] == [0, "next", 1, "next"], "each, once")  # noqa: B023
        payloads: list[bytes] = []

        def spoken() -> bool:
            message = literal.get_message(timeout=0.1)
            payloads.extend([message["data"]] if message and message["type"] == "message" else [])
            return len(payloads) >= 5

        until(spoken, 20, "hello and four more by the other name")
        # And who only knows the literal one is heard, once
        before = len(members[0].all("got"))
        envelope = json.loads(payloads[-1])
        envelope["properties"]["delivery_tag"] = "another"
        client.publish("/{db}.news", json.dumps(envelope))
        members[0].wait_for("got", before + 1)
