"""A master with replicas, and sentinels that watch them: all on loopback, each in a directory of its own."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.support.redis_server import RedisServer, free_port, program

#: Milliseconds of silence after which a sentinel takes a server for dead.
DOWN_AFTER = 500
NAME = "mymaster"


class Sentinels:
    """``replicas`` + 1 servers and ``sentinels`` processes that agree on which of them is the master."""

    def __init__(self, directory: Path, replicas: int = 1, sentinels: int = 3) -> None:
        self.directory = directory
        self.servers = [RedisServer(directory / f"server-{number}") for number in range(replicas + 1)]
        self.ports = [free_port() for _ in range(sentinels)]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """For ``Connection``, with ``master_name`` among the transport options."""
        return ";".join(f"sentinel://127.0.0.1:{port}/0" for port in self.ports)

    def start(self) -> Sentinels:
        """Start everything, and wait until the sentinels know each other and the replicas."""
        master, *replicas = self.servers
        master.start()
        for replica in replicas:
            replica.start()
            replica.client().replicaof("127.0.0.1", master.port)
        for port in self.ports:
            self._start_sentinel(port, master.port)
        self.until(self._complete, "the sentinels know all servers and each other")
        return self

    def _start_sentinel(self, port: int, master: int) -> None:
        place = self.directory / f"sentinel-{port}"
        place.mkdir(parents=True)
        quorum = len(self.ports) // 2 + 1
        (place / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {place}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {master} {quorum}\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER}\n"
            f"sentinel failover-timeout {NAME} 3000\n"
        )
        command = [str(program()), str(place / "sentinel.conf"), "--sentinel"]
        with (place / "log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )

    def _ask(self, *command: str) -> Any:
        from redis import Redis, RedisError

        with suppress(RedisError), Redis(port=self.ports[0], socket_timeout=1) as client:
            return client.execute_command("SENTINEL", *command)
        return None

    def _complete(self) -> bool:
        known, others = self._ask("REPLICAS", NAME), self._ask("SENTINELS", NAME)
        return (
            bool(known) and len(known) == len(self.servers) - 1 and len(others or ()) == len(self.ports) - 1
        )

    def master(self) -> RedisServer | None:
        """The server that the sentinels call the master, if it says so as well."""
        address = self._ask("GET-MASTER-ADDR-BY-NAME", NAME)
        for server in self.servers:
            if address and server.port == int(address[1]) and server.answer() == b"+PONG":
                return server if server.client().info("replication")["role"] == "master" else None
        return None

    def until(self, condition: Any, what: str, timeout: float = 20.0) -> Any:
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
