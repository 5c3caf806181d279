"""Tokens that change while connections last: a user for each, the last one's deleted, and nobody loses a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.redis.load import running
from tests.redis.wire import until

if TYPE_CHECKING:
    from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.filterwarnings("ignore:A node named")

#: As a cloud's provider of tokens has it: each is another login.
RIGHTS = "on >{} ~* &* +@all"


class Tokens(redis.CredentialProvider):
    """The login of the day; the server knows it before it is given out."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin
        self.day = 0
        self.next()

    def next(self) -> None:
        self._admin.execute_command(f"ACL SETUSER app-{self.day + 1} {RIGHTS.format(f'token-{self.day + 1}')}")
        self.day += 1

    @property
    def expired(self) -> str:
        """The user of the day before."""
        return f"app-{self.day - 1}"

    def get_credentials(self) -> tuple[str, str]:
        return f"app-{self.day}", f"token-{self.day}"


def users(admin: Any, name: str) -> dict[str, str]:
    """Connections that are logged in as that user: the id, and the name of the connection."""
    return {client["id"]: client["name"] for client in admin.client_list() if client["user"] == name}


def test_three_rotations_under_load(redis_victim: RedisServer) -> None:
    # Given: a publisher; a consumer of work, broadcasts and control
    admin = redis_victim.client()
    tokens = Tokens(admin)
    options = {"credential_provider": tokens, "client_name": "app", "lease": 1.5}
    with running(redis_victim.url, redis_victim.url, **options) as load:
        until(lambda: set(users(admin, "app-1").values()) == {"app", "app-wait", "app-pubsub"}, 10, "all kinds")
        known = users(admin, "app-1")
        for _ in range(3):
            # When
            tokens.next()
            until(lambda: not users(admin, tokens.expired), 15, "all are logged in with the new token")
            admin.execute_command("ACL", "DELUSER", tokens.expired)
            # Then
            load.await_going("all goes on")
            load.await_answer()
        # Who can be told new credentials was; who is subscribed was replaced
        now = users(admin, f"app-{tokens.day}")
        lasting = {number for number, name in known.items() if name != "app-pubsub"}
        assert lasting <= now.keys()
        load.stop()
        told, news = load.publisher.told, load.program.news
        until(lambda: news[-1] == told[-1], 10, "the last news")
        # And each broadcast came, once
        assert news == told[told.index(news[0]) :]
