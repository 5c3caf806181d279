"""kombu under gevent and eventlet: the standard library is patched in a child process, the brokers are real."""

from __future__ import annotations

import importlib.util
import json
import os
import socketserver
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import Authority
from tests.support.missing import missing
from tests.support.proxy import Proxy
from tests.support.redis_fixtures import require_redis
from tests.support.redis_server import RedisServer
from tests.support.tls_front import Front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.rabbit import RabbitMQ
    from tests.support.sqs import Endpoint

HERE = "DNS:localhost,IP:127.0.0.1"
PROGRAM = Path(__file__).with_name("child.py")

#: Seconds that a child may take (it gives up by itself before).
PATIENCE = 100

LIBRARIES = ("gevent", "eventlet")
EVERYWHERE = [
    "fork", "environment", "waiting", "simple_queue", "pools", "exhausted_pool", "mixins", "mailboxes", "ensure",
    "deadlines", "killed", "event_loop", "broadcasts", "close_while_waiting",
]  # fmt: skip
OVER_A_NETWORK = ["refused", "tls"]
FAULTS = ["lost", "lost_publisher", "stuck_answer", "stuck_write", "stuck_writes", "killed_publisher"]
SCENARIOS = {
    "memory": [*EVERYWHERE, "celery_timer"],
    "redis": [*EVERYWHERE, *OVER_A_NETWORK, *FAULTS, "lease"],
    "amqp": [*EVERYWHERE, *OVER_A_NETWORK, *FAULTS, "heartbeats", "silent_broker"],
}
SCENARIOS["sqs"] = [
    "environment", "waiting", "simple_queue", "pools", "exhausted_pool", "mixins", "ensure", "deadlines",
    "killed", "event_loop", "close_while_waiting",
]  # fmt: skip
SCENARIOS["victim"] = ["blocked"]
#: With the option --green.
SLOW = {"sqs", "victim"}
#: Those that want a proxy between them and the broker.
PROXIED = {*FAULTS, "silent_broker"}

_runs = count(os.getpid())


def require(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        missing(f"{library} is not installed (tests/clients.txt)")


class Orders:
    """Takes orders for proxies (or brokers) from a child: ``[scenario, verb, argument...]`` as a line of JSON."""

    def __init__(self, targets: dict[str, Any]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                scenario, verb, *arguments = json.loads(self.rfile.readline())
                getattr(targets[scenario], verb)(*arguments)
                self.wfile.write(b"done\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.address = self._server.server_address
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Orders:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def run(
    library: str,
    broker: str,
    url: str,
    port: int | None = None,
    extra: dict[str, Any] | None = None,
    targets: dict[str, Any] | None = None,
) -> dict[str, str | None]:
    """Have a child do all scenarios of a broker: what went wrong in each, None where nothing did."""
    names = SCENARIOS[broker]
    with ExitStack() as stack:
        proxies = {
            name: stack.enter_context(Proxy(("127.0.0.1", port)))
            for name in names
            if port and name in PROXIED
        }
        orders = stack.enter_context(Orders({**proxies, **(targets or {})}))
        start = {
            "library": library,
            "scenarios": names,
            "url": url,
            # (those that use one Redis database have to have the same visibility timeout)
            "alone": {"fork": url[:-1] + "1", "lease": url[:-1] + "2"} if broker == "redis" else {},
            "proxied": {name: url.replace(f":{port}/", f":{proxy.port}/") for name, proxy in proxies.items()},
            "orders": orders.address,
            "extra": extra or {},
            "run": next(_runs),
        }
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment.pop("PYTHONWARNINGS", None)
        child = subprocess.run(
            [sys.executable, str(PROGRAM), json.dumps(start)],
            env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    sys.stderr.write(child.stderr)
    lines = map(json.loads, filter(None, child.stdout.splitlines()))
    never = f"it never ended; the process ended with {child.returncode}:\n{child.stderr[-3000:]}"
    return dict.fromkeys(names, never) | {line["scenario"]: line["error"] for line in lines}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def redis(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """How to reach a redis-server of the children's own."""
    require_redis()
    tls = {**authority.issue("redis", "localhost", HERE), "cafile": authority.cafile}
    server = RedisServer(tmp_path_factory.mktemp("redis"), tls=tls).start()
    extra = {"url": f"rediss://localhost:{server.tls_port}/0", "ssl": {"ssl_ca_certs": authority.cafile}}
    yield {"url": server.url_of(0), "port": server.port, "extra": extra}
    server.remove()


@pytest.fixture(scope="module")
def amqp(authority: Authority, rabbitmq: RabbitMQ) -> Iterator[dict[str, Any]]:
    front = Front(rabbitmq.port, authority.issue("amqp", "localhost", HERE))
    extra = {"url": f"amqps://guest:guest@localhost:{front.port}//", "ssl": {"ca_certs": authority.cafile}}
    yield {"url": rabbitmq.url, "port": rabbitmq.port, "extra": extra}
    front.close()


@pytest.fixture(scope="module")
def memory() -> dict[str, Any]:
    return {"url": "memory://"}


@pytest.fixture(scope="module")
def sqs(sqs_endpoint: Endpoint) -> dict[str, Any]:
    return {"url": sqs_endpoint.url}


@pytest.fixture(scope="module")
def victim(_victim: RabbitMQ) -> dict[str, Any]:
    """A RabbitMQ that a scenario may block."""
    return {"url": _victim.url, "targets": {"blocked": _victim}}


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Callable[[str, str, str], str | None]:
    """A function that tells what went wrong in a scenario.

    A child does all scenarios of a broker, once, and the children of both libraries run at the same time (but not
    when they block the broker).
    """
    known: dict[tuple[str, str], dict[str, str | None]] = {}

    def tell(library: str, broker: str, scenario: str) -> str | None:
        require(library)
        if (library, broker) not in known:
            where = request.getfixturevalue(broker)
            libraries = [name for name in LIBRARIES if importlib.util.find_spec(name)]
            with ThreadPoolExecutor(1 if broker == "victim" else len(libraries)) as threads:
                for name, found in zip(
                    libraries, threads.map(lambda name: run(name, broker, **where), libraries), strict=True
                ):
                    known[name, broker] = found
        return known[library, broker][scenario]

    return tell


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    brokers = [broker for broker in SCENARIOS if broker not in SLOW or metafunc.config.getoption("--green")]
    cases = [
        (library, broker, scenario)
        for broker in brokers
        for library in LIBRARIES
        for scenario in SCENARIOS[broker]
    ]
    metafunc.parametrize(("library", "broker", "scenario"), cases)


def test_works(
    outcome: Callable[[str, str, str], str | None], library: str, broker: str, scenario: str
) -> None:
    if error := outcome(library, broker, scenario):
        pytest.fail(error, pytrace=False)
