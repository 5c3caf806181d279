"""A private redis-server: its own directory and port, on loopback only.

``python -m tests.support.redis_server start DIRECTORY`` leaves one running and prints its URL; ``stop DIRECTORY`` ends
it. The fixtures in :mod:`tests.support.redis_fixtures` start their own, which takes a twentieth of a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from tests.support.ports import free_port
from tests.support.signals import freeze

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds that the server may take to start, and to end.
TIMEOUT = 20

#: Enough that each test has one of its own.
DATABASES = 4096


def program() -> str | None:
    """Where redis-server is, or None; ``REDIS_SERVER`` in the environment names another one."""
    name = os.environ.get("REDIS_SERVER", "redis-server")
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")


class RedisServer:
    """A server under ``directory``; everything it writes is there.

    Arguments:
        settings: further lines of ``redis.conf``, as ``{"appendonly": "yes"}``; a list repeats the name.
        tls: ``certfile``, ``keyfile`` and ``cafile`` for a TLS listener on ``tls_port``.
        password: of the user ``default``.
        outlives: it goes on running when this process ends, however that comes about.
        host: the address it listens on; anything but loopback is one of a network namespace of the test's own.
    """

    def __init__(
        self,
        directory: str | Path,
        settings: Mapping[str, Any] | None = None,
        tls: dict[str, str] | None = None,
        password: str = "",
        outlives: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.directory = Path(directory).resolve()
        self.settings = dict(settings or {})
        self.tls = tls
        self.password = password
        self.outlives = outlives
        self.host = host
        self.state: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Any] = []
        if self._state_file.exists():
            self.state = json.loads(self._state_file.read_text())

    @property
    def _state_file(self) -> Path:
        return self.directory / "state.json"

    @property
    def port(self) -> int:
        return int(self.state["port"])

    @property
    def tls_port(self) -> int:
        return int(self.state["tls_port"])

    @property
    def pid(self) -> int:
        return int(self.state["pid"])

    @property
    def socket(self) -> Path:
        """The Unix socket, which every server has."""
        return self.directory / "redis.sock"

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int, port: int | None = None) -> str:
        """The URL of one database, by another port when a proxy stands in front."""
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}{self.host}:{port or self.port}/{database}"

    def client(self, database: int = 0) -> Any:
        """A redis-py client, to look at what is stored; it is closed when the server is removed."""
        from redis import Redis

        client = Redis(self.host, self.port, db=database, password=self.password or None)
        self._clients.append(client)
        return client

    # -- starting and stopping

    def start(self, wait: bool = True) -> RedisServer:
        """Start it, on the port it had before if it had one, and wait until it has loaded its data."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.state:
            self.state = {"port": free_port(), "tls_port": free_port()}
        (self.directory / "redis.conf").write_text(self._configuration())
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(program()), "redis.conf"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if self.outlives else _end_with_parent,
            )
        self.state["pid"] = self._process.pid
        self._state_file.write_text(json.dumps(self.state))
        if wait:
            self.await_ready()
        return self

    def await_ready(self) -> None:
        """Wait until it answers, and not with LOADING."""
        deadline = monotonic() + TIMEOUT
        while self.answer() not in (b"+PONG", b"-NOAUTH"):
            if monotonic() > deadline or (self._process and self._process.poll() is not None):
                log = (self.directory / "server.log").read_text(errors="replace")
                raise RuntimeError(f"redis-server did not start:\n{log[-2000:]}")
            sleep(0.005)

    def answer(self) -> bytes:
        """The first word of its answer to PING, or nothing when nobody answers."""
        with socket.socket() as probe, suppress(OSError):
            probe.settimeout(1)
            probe.connect((self.host, self.port))
            probe.sendall(b"PING\r\n")
            return (probe.recv(100).split() or [b""])[0]
        return b""

    def alive(self) -> bool:
        """Whether somebody answers on its port."""
        return bool(self.state) and self.answer() != b""

    def stop(self) -> None:
        """End it as an administrator would: what ``appendonly`` promises is on the disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, which leaves it no time for anything."""
        self._end(signal.SIGKILL)

    def _end(self, signum: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signum)
            os.kill(self.pid, signal.SIGCONT)
        if self._process is not None:
            self._process.wait(TIMEOUT)
        deadline = monotonic() + TIMEOUT
        while self._process is None and self.alive() and monotonic() < deadline:
            sleep(0.01)

    def restart(self) -> None:
        """SIGKILL and start on the same port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nobody answers."""
        freeze(self.pid)

    def resume(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop it and delete all it had."""
        for client in self._clients:
            client.close()
        if "pid" in self.state:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- how

    def _configuration(self) -> str:
        lines: dict[str, Any] = {
            "port": self.port,
            "bind": self.host,
            "unixsocket": self.socket,
            "databases": DATABASES,
            "save": '""',
            "loglevel": "warning",
            "maxclients": 4000,
        }
        if self.password:
            lines["requirepass"] = self.password
        if self.tls:
            lines |= {
                "tls-port": self.tls_port,
                "tls-cert-file": self.tls["certfile"],
                "tls-key-file": self.tls["keyfile"],
                "tls-ca-cert-file": self.tls["cafile"],
                "tls-auth-clients": "optional",
            }
        lines |= self.settings
        several = ((name, value if isinstance(value, list) else [value]) for name, value in lines.items())
        return "".join(f"{name} {value}\n" for name, values in several for value in values)


def _end_with_parent() -> None:
    """Linux: have this process killed when the thread that started it is gone (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    verb, directory = arguments
    server = RedisServer(directory, outlives=True)
    if verb == "start":
        if not server.alive():
            server.start()
        print(server.url)
    elif verb == "stop":
        server.remove()
    else:
        raise SystemExit("start or stop")


if __name__ == "__main__":
    main(sys.argv[1:])
