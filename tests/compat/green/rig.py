"""What a scenario has at hand: greenlets of either library, connections, and faults on the way to the broker."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import AbstractContextManager, ExitStack
from time import sleep
from typing import TYPE_CHECKING, Any

from kombu import Connection, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("LIMIT", "PATIENCE", "Rig", "greenlets")

#: Seconds that a scenario may take, and that anything in it waits for.
LIMIT = 60
PATIENCE = 40


class Gevent:
    """gevent: ``spawn`` gives something with ``join()``, ``result()`` and ``kill()``."""

    def __init__(self) -> None:
        import gevent

        self.module = gevent

    def spawn(self, fun: Callable[..., Any], *args: Any) -> Any:
        greenlet = self.module.spawn(fun, *args)
        greenlet.result = greenlet.get
        return greenlet

    def limit(self, seconds: float) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = self.module.Timeout(seconds)
        return found

    def after_fork(self) -> None:
        """Nothing: the greenlets of the parent go on in the child."""


class Eventlet:
    """eventlet, in the same way."""

    def __init__(self) -> None:
        import eventlet

        self.module = eventlet

    def spawn(self, fun: Callable[..., Any], *args: Any) -> Any:
        return _GreenThread(self.module.spawn(fun, *args))

    def limit(self, seconds: float) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = self.module.Timeout(seconds)
        return found

    def after_fork(self) -> None:
        """Have a hub of the child's own, as a program has to: the greenlets of the parent are left behind."""
        import eventlet.hubs

        eventlet.hubs.use_hub()


class _GreenThread:
    def __init__(self, thread: Any) -> None:
        self.thread = thread
        self.result = self.join = thread.wait
        self.kill = thread.kill


def greenlets(library: str) -> Gevent | Eventlet:
    return Gevent() if library == "gevent" else Eventlet()


class Rig:
    """A scenario's own queue, its connections and its greenlets."""

    def __init__(self, name: str, start: dict[str, Any], greenlets: Gevent | Eventlet) -> None:
        self.name = name
        self.library: str = start["library"]
        self.url: str = start["alone"].get(name, start["url"])
        #: The URL through the proxy, and where the proxy takes orders.
        self.proxied: str = start["proxied"].get(name, "")
        self._orders = start["orders"]
        self.extra: dict[str, Any] = start["extra"]
        #: What is held is renewed every second.
        self.lease = {"visibility_timeout": 3} if self.url.startswith("redis") else {}
        #: No other scenario runs.
        self.alone = name == "fork"
        self.greenlets = greenlets
        self.spawn = greenlets.spawn
        self.queue = Queue(f"green-{self.library}-{name}-{start['run']}", routing_key=name, auto_delete=False)
        self._stack = ExitStack()

    def connect(self, url: str | None = None, **options: Any) -> Connection:
        """A connection that is closed when the scenario is over."""
        connection = Connection(url or self.url, **options)
        self._stack.callback(connection.release)
        return connection

    def declare(self, connection: Connection) -> Queue:
        """The scenario's queue, at the broker."""
        queue: Queue = self.queue(connection.default_channel)
        queue.declare()
        return queue

    def consume(self, connection: Connection, then: Callable[[Any, Any], Any]) -> None:
        """Have ``then(body, message)`` called for what comes."""
        consumer = connection.Consumer([self.queue], callbacks=[then])
        consumer.consume()

    def publish(self, body: Any, **options: Any) -> None:
        """Publish to the scenario's queue, over a connection of its own."""
        with Connection(self.url) as connection:
            connection.Producer().publish(body, routing_key=self.queue.name, **options)

    def after_ticks(self, then: Callable[[], Any], count: int = 10) -> Any:
        """Have a greenlet tick so many times and then do something: it can't while another one holds the hub."""

        def tick() -> Any:
            for _ in range(count):
                sleep(0.005)
            return then()

        return self.spawn(tick)

    def order(self, verb: str, *arguments: Any) -> None:
        """Have the test's proxy do something."""
        with socket.create_connection(tuple(self._orders)) as control:
            control.sendall(json.dumps([self.name, verb, *arguments]).encode() + b"\n")
            assert control.recv(100) == b"done\n"

    def close(self) -> None:
        try:
            self._stack.close()
        except Exception as exc:
            print(f"{self.name}: {exc!r} while it was closed", file=sys.stderr)
