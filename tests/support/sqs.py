"""Local endpoints that speak the APIs of SQS, SNS, S3 and STS: moto's server, and a fast one for measuring."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

from tests.support.ports import free_port

#: Seconds that a server may take to start.
PATIENCE = 60.0

#: moto's server. It looks whether a message is visible and hides it in two steps, so two who ask at once may get one
#: message; with this interval its threads take turns only where one of them waits.
MOTO = "import sys; sys.setswitchinterval(60); from moto.server import main; main()"


def moto_installed() -> bool:
    """Whether moto's server is there (pip install "moto[server]")."""
    return find_spec("moto") is not None and find_spec("flask") is not None


class Server:
    """A process that listens on loopback; its files are in a directory of its own."""

    def __init__(self, command: list[str], port: int, directory: Path, **environment: str) -> None:
        self.port = port
        directory.mkdir(parents=True, exist_ok=True)
        self._log = open(directory / "server.log", "ab")  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def wait(self) -> Server:
        """Return when it listens."""
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                sleep(0.05)
        self.stop()
        raise RuntimeError(f"no server on port {self.port}: see {self._log.name}")

    def stop(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


class Endpoint:
    """Where the APIs are, and a boto3 client to look at what is there."""

    def __init__(self, port: int, key: str = "test", secret: str = "test/secret") -> None:
        self.port = port
        self.key = key
        self.secret = secret
        self.address = f"http://127.0.0.1:{port}"
        self._clients: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """For kombu.Connection."""
        return f"sqs://{self.key}:{quote(self.secret, safe='')}@127.0.0.1:{self.port}"

    def client(self, service: str = "sqs") -> Any:
        """A boto3 client of its own, with nothing of kombu in it."""
        if service not in self._clients:
            from boto3.session import Session
            from botocore.config import Config

            self._clients[service] = Session().client(
                service,
                region_name="us-east-1",
                endpoint_url=self.address,
                aws_access_key_id=self.key,
                aws_secret_access_key=self.secret,
                config=Config(s3={"addressing_style": "path"}),
            )
        return self._clients[service]

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()

    # -- looking

    def create(self, name: str, **attributes: str) -> str:
        """Make a queue; its URL."""
        return str(self.client().create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])

    def fill(self, queue_url: str, count: int) -> None:
        """Send so many messages: "0", "1" and so on."""
        for start in range(0, count, 10):
            numbers = map(str, range(start, min(start + 10, count)))
            entries = [{"Id": number, "MessageBody": number} for number in numbers]
            self.client().send_message_batch(QueueUrl=queue_url, Entries=entries)

    def attributes(self, queue_url: str) -> dict[str, str]:
        """All attributes of a queue."""
        found: dict[str, str] = self.client().get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["All"]
        )["Attributes"]
        return found

    def ready(self, queue_url: str) -> int:
        """Messages that can be received."""
        return int(self.attributes(queue_url)["ApproximateNumberOfMessages"])

    def in_flight(self, queue_url: str) -> int:
        """Messages that somebody has received and not settled."""
        return int(self.attributes(queue_url)["ApproximateNumberOfMessagesNotVisible"])


class Shelf(dict[str, bytes]):
    """An offload store: bodies above the size limit are kept here."""

    def put(self, body: bytes) -> str:
        key = f"key-{len(self)}"
        self[key] = body
        return key

    def get(self, key: str) -> bytes:  # type: ignore[override]
        return self[key]

    def delete(self, key: str) -> None:
        self.pop(key, None)


def start_moto(directory: Path) -> Server:
    """moto's server on a free port."""
    port = free_port()
    command = [sys.executable, "-c", MOTO, "-H", "127.0.0.1", "-p", str(port)]
    return Server(command, port, directory).wait()


def fauxqs_command() -> list[str] | None:
    """How to start fauxqs (npm; Node 22.5 or later): from FAUXQS, or PATH; None when it is not installed."""
    named = os.environ.get("FAUXQS")
    if named:
        return named.split()
    found = shutil.which("fauxqs")
    return [found] if found else None
