"""A private RabbitMQ: its own directory, ports, node name and port mapper, on loopback only.

``python -m tests.support.rabbit start DIRECTORY`` leaves one running and prints its URL; ``stop DIRECTORY`` ends it.
The fixtures in :mod:`tests.support.rabbit_fixtures` start their own when there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.support.ports import free_port
from tests.support.signals import freeze

SCRIPTS = Path("/usr/lib/rabbitmq/bin")

#: Seconds that the broker may take to start, and a command of ``rabbitmqctl`` to run.
START_TIMEOUT = 90
COMMAND_TIMEOUT = 60


def installed() -> bool:
    """Whether there is a RabbitMQ of Debian's package on this machine."""
    return (SCRIPTS / "rabbitmq-server").exists()


class RabbitMQ:
    """A broker under ``directory``; everything it writes is there.

    Arguments:
        settings: further lines of ``rabbitmq.conf``.
        tls: ``certfile``, ``keyfile`` and ``cafile`` for a TLS listener on ``tls_port``.
        management: with the management plugin, on ``management_port``.
    """

    def __init__(
        self,
        directory: str | Path,
        settings: str = "",
        tls: dict[str, str] | None = None,
        management: bool = False,
    ) -> None:
        self.directory = Path(directory).resolve()
        self.settings = settings
        self.tls = tls
        self.management = management
        self.state: dict[str, Any] = {}
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
    def management_port(self) -> int:
        return int(self.state["management_port"])

    @property
    def pid(self) -> int:
        """The process that serves; its group has the port mapper and helpers as well."""
        return int(self.state["pid"])

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    # -- starting and stopping

    def start(self) -> RabbitMQ:
        """Start it, on the ports it had before if it had any, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.state:
            ports = ("port", "tls_port", "management_port", "dist_port", "epmd_port")
            self.state = {name: free_port() for name in ports}
            self.state["node"] = f"kombu{self.state['port']}@localhost"
        self._write_configuration()
        log = (self.directory / "server.log").open("ab")
        self._process = subprocess.Popen(
            [SCRIPTS / "rabbitmq-server"],
            cwd=self.directory,  # (where it leaves the dumps of its ends)
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.state["group"] = self._process.pid
        self._await_listening()
        self.state["pid"] = self._listener()
        self._state_file.write_text(json.dumps(self.state))
        return self

    def stop(self) -> None:
        """End it at once, and its port mapper. What it had stored stays for the next :meth:`start`."""
        for pid in {self.state.get("pid"), self.state.get("group")} - {None}:
            with _gone_is_fine():
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
        process = getattr(self, "_process", None)
        if process is not None:
            process.wait(COMMAND_TIMEOUT)
        epmd = shutil.which("epmd", path=f"/usr/bin:{_erlang_bin()}") or "epmd"
        deadline = monotonic() + 10
        while self.alive() and monotonic() < deadline:
            sleep(0.05)
        subprocess.run(
            [epmd, "-port", str(self.state["epmd_port"]), "-kill"],
            env=self._environment,
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )

    def remove(self) -> None:
        """Stop it and delete all it had."""
        if self.state:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def alive(self) -> bool:
        """Whether somebody accepts connections on its port."""
        if not self.state:
            return False
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nobody answers."""
        freeze(self.pid)

    def resume(self) -> None:
        with _gone_is_fine():
            os.kill(self.pid, signal.SIGCONT)

    # -- commands

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl``; what it printed."""
        done = subprocess.run(
            [SCRIPTS / "rabbitmqctl", "-q", "-n", self.state["node"], *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def evaluate(self, expression: str) -> str:
        """Run an Erlang expression in the broker."""
        return self.ctl("eval", expression)

    def alarm(self, on: bool, resource: str = "memory") -> None:
        """Raise or clear an alarm, as when the broker is short of ``memory`` or ``disk``."""
        if resource == "disk":
            self.ctl("set_disk_free_limit", str(10**15) if on else str(10**6))
        else:
            self.ctl("set_vm_memory_high_watermark", "0.0000001" if on else "0.6")

    # -- how

    @property
    def _environment(self) -> dict[str, str]:
        base, state = self.directory, self.state
        dist = "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
        cookie = f"-setcookie kombu{state['port']}"
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(base),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(state["epmd_port"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": state["node"],
            "RABBITMQ_DIST_PORT": str(state["dist_port"]),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_SCHEMA_DIR": str(base / "schema"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(base / "env.conf"),
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "ERL_CRASH_DUMP": str(base / "erl_crash.dump"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{dist} {cookie}",
            "RABBITMQ_CTL_ERL_ARGS": cookie,
        }

    def _write_configuration(self) -> None:
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "vm_memory_high_watermark.relative = 0.6",
            "disk_free_limit.absolute = 1MB",
            "log.file.level = warning",
            self.settings,
        ]
        if self.tls:
            lines += [
                f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
                f"ssl_options.certfile = {self.tls['certfile']}",
                f"ssl_options.keyfile = {self.tls['keyfile']}",
                f"ssl_options.cacertfile = {self.tls['cafile']}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = false",
            ]
        plugins = ["rabbitmq_auth_mechanism_ssl"] if self.tls else []
        if self.management:
            lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {self.management_port}"]
            plugins.append("rabbitmq_management")
        (self.directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        (self.directory / "env.conf").write_text("")

    def _await_listening(self) -> None:
        deadline = monotonic() + START_TIMEOUT
        while not self.alive():
            if self._process.poll() is not None or monotonic() > deadline:
                log = (self.directory / "server.log").read_text(errors="replace")
                raise RuntimeError(f"rabbitmq-server did not start:\n{log[-2000:]}")
            sleep(0.1)

    def _listener(self) -> int:
        """The process of the Erlang machine among the descendants of what was started."""
        found, family = [], {self._process.pid}
        for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parts[2])):
            try:
                pid, rest = int(stat.parts[2]), stat.read_text()
            except OSError:
                continue
            name, fields = rest[rest.index("(") + 1 : rest.rindex(")")], rest[rest.rindex(")") + 2 :].split()
            if int(fields[1]) in family or int(fields[3]) == self._process.pid:
                family.add(pid)
                if name.startswith("beam"):
                    found.append(pid)
        if not found:
            raise RuntimeError("no Erlang machine among the processes started")
        return found[0]


class _gone_is_fine:  # noqa: N801
    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, *details: object) -> bool:
        return kind is not None and issubclass(kind, ProcessLookupError)


def _erlang_bin() -> str:
    return str(next(Path("/usr/lib/erlang").glob("erts-*/bin"), "/usr/bin"))


def main(arguments: list[str]) -> None:
    verb, directory = arguments
    broker = RabbitMQ(Path(directory).resolve())
    if verb == "start":
        if not broker.alive():
            broker.start()
        print(broker.url)
    elif verb == "stop":
        broker.remove()
    else:
        raise SystemExit("start or stop")


if __name__ == "__main__":
    main(sys.argv[1:])
