"""A master with replicas, and sentinels that watch them: each in a directory of its own."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext, suppress
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

#: Milliseconds of silence after which a sentinel takes a server for dead.
DOWN_AFTER = 1000
NAME = "mymaster"

#: Milliseconds: a test does not wait as long as a person would. (Redis 7 and later; 6.2 takes its time.)
HASTE = {"INFO-PERIOD": 200, "PUBLISH-PERIOD": 300, "ASK-PERIOD": 200, "ELECTION-TIMEOUT": 500}


class Sentinels:
    """``replicas`` + 1 servers and ``sentinels`` processes that agree on which of them is the master.

    Arguments:
        password: of the user ``default`` of the servers.
        sentinel_password: of that of the sentinels.
        tls: as for :class:`RedisServer`, for servers and sentinels; nobody talks without it then.
        hosts: their addresses, one for each server and sentinel; loopback if there are none.
        at: a context in which to start what has the address.
        settings: further lines of ``redis.conf`` of all servers.
    """

    def __init__(
        self,
        directory: Path,
        replicas: int = 1,
        sentinels: int = 3,
        *,
        password: str = "",
        sentinel_password: str = "",
        tls: dict[str, str] | None = None,
        hosts: Sequence[str] = (),
        at: Callable[[str], AbstractContextManager[Any]] = lambda host: nullcontext(),
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.password, self.sentinel_password, self.tls, self.at = password, sentinel_password, tls, at
        if hosts:
            settings = {"protected-mode": "no", **(settings or {})}
        every = {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1, **(settings or {})}
        if password:
            every["masterauth"] = password
        if tls:
            # (who replicates shows its certificate, which is a server's)
            every |= {"tls-replication": "yes", "tls-auth-clients": "no"}
        make = partial(RedisServer, settings=every, tls=tls, password=password)
        numbers = range(max(replicas + 1, sentinels))
        found = list(hosts) or ["127.0.0.1"] * len(numbers)
        self.servers = [make(directory / f"server-{n}", host=found[n]) for n in numbers[: replicas + 1]]
        self.addresses = [(found[n], free_port()) for n in numbers[:sentinels]]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """For ``Connection``, with ``master_name`` among the transport options."""
        secret = f":{self.password}@" if self.password else ""
        return ";".join(f"sentinel://{secret}{host}:{port}/0" for host, port in self.addresses)

    def port_of(self, server: RedisServer) -> int:
        """The one that sentinels name."""
        return server.tls_port if self.tls else server.port

    def start(self) -> Sentinels:
        """Start everything, and wait until the sentinels know each other and the replicas."""
        for server in self.servers:
            with self.at(server.host):
                server.start()
        master, *replicas = self.servers
        for replica in replicas:
            replica.client().replicaof(master.host, self.port_of(master))
        for host, port in self.addresses:
            with self.at(host):
                self._start_sentinel(host, port)
        self.until(self.settled, "the sentinels know all servers and each other")
        return self

    def _start_sentinel(self, host: str, port: int) -> None:
        # (those who notice at the same moment all want to be elected, nobody is, and all wait for seconds)
        number = self.addresses.index((host, port))
        self.start_one(host, port, self.servers[0], DOWN_AFTER + 200 * number)
        self.until(lambda: self.ask("MASTERS", host=host, port=port), "the sentinel answers")
        for name, value in HASTE.items():
            self.ask("DEBUG", name, str(value), host=host, port=port)

    def start_one(self, host: str, port: int, master: RedisServer, down_after: int = DOWN_AFTER) -> None:
        """Start a sentinel that takes ``master`` for the master."""
        place = self.directory / f"sentinel-{host}-{port}"
        place.mkdir(parents=True)
        lines = [
            *((f"port {port}",) if not self.tls else ("port 0", f"tls-port {port}")),
            f"bind {host}",
            "protected-mode no",
            f"dir {place}",
            f"sentinel monitor {NAME} {master.host} {self.port_of(master)} {len(self.addresses) // 2 + 1}",
            f"sentinel down-after-milliseconds {NAME} {down_after}",
            f"sentinel failover-timeout {NAME} 1500",
        ]
        if self.password:
            lines.append(f"sentinel auth-pass {NAME} {self.password}")
        if self.sentinel_password:
            lines += [f"requirepass {self.sentinel_password}", f"sentinel sentinel-pass {self.sentinel_password}"]
        if self.tls:
            lines += [f"tls-{name}-file {self.tls[f'{name}file']}" for name in ("cert", "key")]
            lines += [f"tls-ca-cert-file {self.tls['cafile']}", "tls-replication yes", "tls-auth-clients no"]
        (place / "sentinel.conf").write_text("".join(f"{line}\n" for line in lines))
        command = [str(program()), str(place / "sentinel.conf"), "--sentinel"]
        with (place / "log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )

    @property
    def driver_tls(self) -> dict[str, Any]:
        """Arguments of redis-py for asking a sentinel."""
        return {"ssl": True, "ssl_ca_certs": self.tls["cafile"]} if self.tls else {}

    def ask(self, *command: str, host: str = "", port: int = 0) -> Any:
        """What a sentinel answers: the first that does, unless one is named; None if nobody does."""
        from redis import Redis, RedisError
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        for address in [(host, port)] if port else self.addresses:
            options = {"password": self.sentinel_password or None, "socket_timeout": 1, **self.driver_tls}
            options |= {"decode_responses": True, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
            with suppress(RedisError, OSError), Redis(*address, **options) as client:
                return client.execute_command("SENTINEL", *command)
        return None

    def master(self) -> RedisServer | None:
        """The server that the sentinels call the master, if it says so as well."""
        address = self.ask("GET-MASTER-ADDR-BY-NAME", NAME)
        if not address:
            return None
        named = address[0], int(address[1])
        for server in self.servers:
            if (server.host, self.port_of(server)) == named and server.answer() in (b"+PONG", b"-NOAUTH"):
                return server if _replication(server)["role"] == "master" else None
        return None

    def settled(self) -> RedisServer | None:
        """The master, if all others are replicas of it, and all sentinels know it and each other."""
        master = self.master()
        if master is None:
            return None
        named = master.host, self.port_of(master)
        if _replication(master)["connected_slaves"] != len(self.servers) - 1:
            return None
        for address in self.addresses:
            view = self._view(address)
            healthy = [one for one in view["REPLICAS"] if self._is_healthy(one, named)]
            others = [one for one in view["SENTINELS"] if one["flags"] == "sentinel"]
            if len(healthy) < len(self.servers) - 1 or len(others) < len(self.addresses) - 1:
                return None
        return master

    def _view(self, address: tuple[str, int]) -> dict[str, list[dict[str, str]]]:
        """What one sentinel knows of the replicas and of the other sentinels."""
        view = {}
        for what in ("REPLICAS", "SENTINELS"):
            rows = self.ask(what, NAME, host=address[0], port=address[1]) or ()
            view[what] = [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]
        return view

    @staticmethod
    def _is_healthy(replica: dict[str, str], master: tuple[str, int]) -> bool:
        follows = replica["master-host"], int(replica["master-port"])
        return replica["flags"] == "slave" and replica["master-link-status"] == "ok" and follows == master

    def switches(self) -> int:
        """How often the master has changed: more often than a test wanted it when the machine stood still for long."""
        logs = [log.read_text(errors="replace") for log in self.directory.glob("sentinel-*/log")]
        return max(text.count("+switch-master") for text in logs)

    def bring_back(self, server: RedisServer) -> None:
        """Start a server that was killed, as a replica."""
        master = self.until(self.master, "there is a master")
        server.settings["replicaof"] = f"{master.host} {self.port_of(master)}"
        with self.at(server.host):
            server.start(wait=False)

    def until(self, condition: Any, what: str, timeout: float = 30.0) -> Any:
        """What ``condition()`` returns once that is true."""
        deadline = monotonic() + timeout
        while not (found := condition()):
            assert monotonic() < deadline, f"not within {timeout:g} s: {what}"
            sleep(0.02)
        return found

    def stop(self) -> None:
        """End all of them."""
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.remove()


def _replication(server: RedisServer) -> Any:
    with server.client() as client:
        return client.info("replication")
