"""A week in an hour: processes killed, connections cut, the server restarted; poison, priorities, delays and expiry.

In the end every message is accounted for by its number: published = acknowledged + dead-lettered + expired + ready.
``--soak 20`` goes on for so many minutes; how random it is is decided by ``--soak-seed``.
"""

from __future__ import annotations

import random
import signal
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.redis.soak import Crowd
from tests.redis.wire import STEPS
from tests.support.proxy import Proxy
from tests.support.soaker import POISONED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.redis_server import RedisServer

OPTIONS = {"socket_timeout": 1.5, "socket_connect_timeout": 1.5, "health_check_interval": 1, "lease": 1}

#: Seconds in which everything is consumed when nothing is in the way any more.
PATIENCE = 60


class Soak:
    """What happens to the crowd, its server and the proxy before that."""

    def __init__(self, server: RedisServer, proxy: Proxy, crowd: Crowd, seed: int) -> None:
        self.server, self.proxy, self.crowd = server, proxy, crowd
        self.chance = random.Random(seed)
        #: These are never killed, so that their memory and descriptors can be looked at.
        self.survivors = [crowd.start(role, brave=True) for role in ("publish", "work")]
        for role in ("publish", "work", "work", "work", "bury"):
            crowd.start(role)
        self.events: dict[str, int] = {}
        self.marks: list[dict[str, int]] = []

    def victim(self) -> Any:
        return self.chance.choice([member for member in self.crowd.members if member not in self.survivors])

    def kill(self) -> None:
        self.victim().signal(signal.SIGKILL)

    def stun(self) -> None:
        """It loses its leases, and goes on."""
        member = self.victim()
        member.signal(signal.SIGSTOP)
        self.crowd.run(self.chance.choice((0.3, 2)))
        member.signal(signal.SIGCONT)

    def cut(self) -> None:
        fault = self.chance.choice(("rst", "fin", "pause", "blackhole", "dead"))
        self.proxy.cut_after(self.chance.randint(1, 20_000), fault)
        self.crowd.run(self.chance.choice((0.2, 2)))
        self.proxy.heal()

    def restart(self) -> None:
        """All that the server has confirmed is on its disk."""
        self.chance.choice((self.server.kill, self.server.stop))()
        self.crowd.run(self.chance.choice((0, 1)))
        self.server.start()

    def go_on(self, seconds: float) -> None:
        begin, marked = monotonic(), 0
        happenings = [self.kill] * 6 + [self.stun, self.cut, self.cut, self.restart]
        while (gone := monotonic() - begin) < seconds:
            if gone * 4 > seconds * (marked + 1):
                marked += 1
                self.mark()
            self.crowd.run(self.chance.uniform(0.1, 1.5))
            happening = self.chance.choice(happenings)
            self.events[happening.__name__] = self.events.get(happening.__name__, 0) + 1
            happening()
        self.mark()

    def mark(self) -> None:
        """Note how much everything takes."""
        with self.server.client() as client:
            info = client.info()
            self.marks.append(
                {
                    "keys": client.dbsize(),
                    "server_kB": info["used_memory"] // 1024,
                    "clients": info["connected_clients"],
                    **{f"{one.role}_fds": one.descriptors() for one in self.survivors},
                    **{f"{one.role}_kB": one.memory() // 1024 for one in self.survivors},
                }
            )

    def left(self) -> int:
        """Messages that are ready, delayed or delivered."""
        with self.server.client() as client, client.pipeline() as pipe:
            for name in ("work", "dead"):
                for step in STEPS:
                    pipe.llen(name + step)
                pipe.zcard(f"_kombu.delayed.{name}")
            return sum(pipe.hlen("unacked").execute())


@pytest.fixture
def soak(make_redis: Callable[..., RedisServer], request: pytest.FixtureRequest) -> Iterator[Soak]:
    server = make_redis(settings={"appendonly": "yes", "appendfsync": "always"})
    with Proxy(("127.0.0.1", server.port)) as proxy:
        crowd = Crowd([server.url_of(0, proxy.port), server.url], OPTIONS, rate=100)
        try:
            yield Soak(server, proxy, crowd, request.config.getoption("--soak-seed"))
        finally:
            crowd.close()


@pytest.mark.timeout(0)
def test_a_week_in_an_hour(soak: Soak, request: pytest.FixtureRequest) -> None:
    crowd, account = soak.crowd, soak.crowd.account
    assert crowd.run(PATIENCE, lambda: account.published and account.acked), "the crowd works"
    # When
    soak.go_on(request.config.getoption("--soak") * 60)
    # Then: what is left is consumed
    crowd.finish(PATIENCE)
    empty = crowd.run(PATIENCE, lambda: not soak.left())
    crowd.run(2)
    print(f"\n{account}\n{soak.events}, deaths by status: {dict(crowd.deaths)}")
    for mark in soak.marks:
        print(mark)
    assert empty, f"{soak.left()} messages are left"
    assert set(crowd.deaths) <= {-signal.SIGKILL, POISONED}, "somebody gave up"
    # and every message has come to its end
    assert not account.missing(set()), sorted(account.missing(set()))[:20]
    early, late = soak.marks[0], soak.marks[-1]
    assert late["keys"] <= early["keys"] + 50
    for one in soak.survivors:
        assert late[f"{one.role}_fds"] <= early[f"{one.role}_fds"] + 8
        assert late[f"{one.role}_kB"] <= early[f"{one.role}_kB"] + 30_000
