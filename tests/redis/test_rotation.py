"""Tokens that change while connections last: a user for each, the last one's deleted, and nobody loses a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.redis.load import running
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.filterwarnings("ignore:A node named")

#: Seconds. A third of it is between two questions for credentials; a machine that stands still for longer ends leases,
#: and with them the queues that are deleted with their last consumer.
LEASE = 5

#: As a cloud's provider of tokens has it: each is another login.
RIGHTS = "on >{} ~* &* +@all"


class Tokens(redis.CredentialProvider):
    """The login of the day; the server knows it before it is given out."""

    def __init__(self, admins: Sequence[Any]) -> None:
        self._admins = admins
        self.day = self.asked = 0
        self.next()

    def next(self) -> None:
        self.accept(self.day + 1)
        self.day += 1

    def accept(self, day: int) -> None:
        """Have the servers know the login of a day."""
        for admin in self._admins:
            admin.execute_command(f"ACL SETUSER app-{day} {RIGHTS.format(f'token-{day}')}")

    @property
    def expired(self) -> str:
        """The user of the day before."""
        return f"app-{self.day - 1}"

    def end_expired(self) -> None:
        """The servers forget the user, and close all connections that still are its."""
        for admin in self._admins:
            admin.execute_command("ACL", "DELUSER", self.expired)

    def get_credentials(self) -> tuple[str, str]:
        self.asked += 1
        return f"app-{self.day}", f"token-{self.day}"


def users(admins: Sequence[Any], name: str) -> dict[str, str]:
    """Connections that are logged in as that user, and in use: server and id, and the name of the connection."""
    return {
        f"{at} {client['id']}": client["name"]
        for at, admin in enumerate(admins)
        for client in admin.client_list()
        if client["user"] == name and (client["name"] != "app" or int(client["idle"]) < 5)
    }


@pytest.fixture(params=["redis", "redis+cluster"])
def place(request: pytest.FixtureRequest) -> tuple[str, list[Any]]:
    """A URL, and who may do anything on each server behind it."""
    if request.param == "redis":
        server = request.getfixturevalue("redis_victim")
        return server.url, [server.client()]
    cluster = request.getfixturevalue("redis_cluster")
    return cluster.url, [node.client() for node in cluster.nodes]


def test_three_rotations_under_load(place: tuple[str, list[Any]], redis_prefix: str) -> None:
    # Given: a publisher; a consumer of work, broadcasts and control
    url, admins = place
    tokens = Tokens(admins)
    options = {"credential_provider": tokens, "client_name": "app", "lease": LEASE, "global_keyprefix": redis_prefix}
    with running(url, url, **options) as load:
        until(lambda: set(users(admins, "app-1").values()) == {"app", "app-wait", "app-pubsub"}, 10, "all kinds")
        known = users(admins, "app-1")
        for _ in range(3):
            # When
            tokens.next()
            until(lambda: not users(admins, tokens.expired), 30, "all are logged in with the new token")
            tokens.end_expired()
            # Then
            load.await_going("all goes on")
            load.await_answer()
        if len(admins) == 1:  # Who can be told new credentials was; who is subscribed was replaced
            lasting = {number for number, name in known.items() if name != "app-pubsub"}
            assert lasting <= users(admins, f"app-{tokens.day}").keys()
        load.stop()
        told, news = load.publisher.told, load.program.news
        until(lambda: news[-1] == told[-1], 10, "the last news")
        # And each broadcast came, once
        assert news == told[told.index(news[0]) :]


def test_a_token_that_is_not_accepted_yet(place: tuple[str, list[Any]], redis_prefix: str) -> None:
    """Everybody goes on with the old one until it is."""
    # Given
    url, admins = place
    tokens = Tokens(admins)
    options = {"credential_provider": tokens, "client_name": "app", "lease": LEASE, "global_keyprefix": redis_prefix}
    with running(url, url, **options) as load:
        until(lambda: set(users(admins, "app-1").values()) == {"app", "app-wait", "app-pubsub"}, 10, "all kinds")
        load.await_answer()
        # When
        asked = tokens.asked
        tokens.day += 1
        until(lambda: tokens.asked > asked + 8, 30, "all have asked for it")
        # Then
        load.await_going("all goes on")
        tokens.accept(tokens.day)
        until(lambda: not users(admins, tokens.expired), 30, "all are logged in with the new token")
        load.stop()
        told, news = load.publisher.told, load.program.news
        until(lambda: news[-1] == told[-1], 10, "the last news")
        assert news == told[told.index(news[0]) :]
