#!/usr/bin/env python3
"""What a message costs the server, as queues and consumers become more: this kombu and 5.7, as SVG and as a table.

    python benchmarks/redis_cost.py --old PYTHON --new PYTHON [--svg docs/redis-cost.svg] [--messages 200]

The interpreters have kombu 5.7 and this one. Messages go one by one to consumers that wait (:mod:`redis_cost_peer`).
Counted are
- commands the server carries out, those in scripts too (INFO commandstats),
- round trips: how often, over all connections, a client speaks after the server has (a proxy between them looks),
- the server's processor time (INFO cpu) and memory (INFO memory), and its connections.

What waiting alone costs is measured first and taken off. Counts are the same on a busy machine; times are not, nor is
what happens twice a second, as the looks at all queues. So commands are counted of messages that come at once, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

from plot import Panel, write_svg
from processes import HERE

sys.path.insert(0, str(HERE.parent))

from tests.support.redis_server import RedisServer, program

AXES = {
    "queues": ("queues of one consumer", [{"queues": n} for n in (1, 50, 500)]),
    "consumers": ("consumers of one queue", [{"consumers": n} for n in (1, 50, 200)]),
    "listeners": ("listeners to a broadcast", [{"consumers": n, "fanout": True} for n in (1, 50, 200)]),
}
FIGURES = {
    "commands": "commands",
    "trips": "round trips",
    "cpu": "server's CPU, µs",
    "memory": "server's memory, MB",
}
#: Seconds of waiting that are measured.
IDLE = 5.0


class Proxy(Thread):
    """Forwards connections to the server, and counts how often a client speaks after the server did."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.turns = 0
        self._others: dict[socket.socket, socket.socket] = {}
        #: Connections on which the client has spoken last, by its socket.
        self._asking: set[socket.socket] = set()
        self._clients: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._forward(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, server = self.listener.accept()[0], socket.create_connection(self.target)
        self._clients.add(client)
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._others[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, sock: socket.socket) -> None:
        other = self._others.get(sock)
        if other is None:
            return
        try:
            data = sock.recv(1 << 16)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (sock, other):
                self._others.pop(end, None)
                self._selector.unregister(end)
                end.close()
        elif sock in self._clients:
            self.turns += sock not in self._asking
            self._asking.add(sock)
        else:
            self._asking.discard(other)


class Sample:
    """What the server has done until now."""

    def __init__(self, client: object, proxy: Proxy) -> None:
        about = client.info("all")  # type: ignore[attr-defined]
        self.at = monotonic()
        calls = (
            found["calls"]
            for name, found in about.items()
            if name.startswith("cmdstat_") and "info" not in name
        )
        self.figures = {
            "commands": sum(calls),
            "trips": proxy.turns,
            "cpu": 1e6 * (about["used_cpu_user"] + about["used_cpu_sys"]),
        }
        self.memory, self.sockets = about["used_memory"] / 1e6, about["connected_clients"] - 1

    def since(self, before: Sample) -> dict[str, float]:
        """What happened in between, for each second."""
        seconds = self.at - before.at
        return {name: (now - before.figures[name]) / seconds for name, now in self.figures.items()}


def measure(python: str, messages: int, options: dict[str, object], **shape: object) -> dict[str, float]:
    """The cost of one message, for each listener if it is a broadcast."""
    about = {"queues": 1, "consumers": 1, "fanout": False, "options": options, **shape}
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(directory).start()
        proxy = Proxy(server.port)
        proxy.start()
        about["url"] = f"redis://127.0.0.1:{proxy.port}/0"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [python, str(HERE / "redis_cost_peer.py"), json.dumps(about)]
        peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean, text=True)
        try:
            client = server.client()
            empty = Sample(client, proxy)
            expect(peer, "ready")
            publish(peer, 20)
            sleep(1)
            begin = Sample(client, proxy)
            sleep(IDLE)
            waited = Sample(client, proxy)
            publish(peer, messages)
            end = Sample(client, proxy)
            if not about["fanout"]:
                publish(peer, 10 * messages, " at once")
            all_at_once = Sample(client, proxy)
        finally:
            peer.kill()
            peer.wait()
            server.remove()
    idle = waited.since(begin)
    seconds = end.at - waited.at
    each = messages * (int(str(about["consumers"])) if about["fanout"] else 1)
    found = {
        name: max(0.0, (total - idle[name]) * seconds / each) for name, total in end.since(waited).items()
    }
    consumers = int(str(about["consumers"]))
    return {
        **found,
        "commands, at once": (all_at_once.figures["commands"] - end.figures["commands"]) / messages / 10,
        "memory": end.memory - empty.memory,
        "sockets": (end.sockets - 1) / consumers,  # (one is who publishes)
        "idle commands": idle["commands"] / consumers,
        "idle cpu": idle["cpu"] / consumers,
    }


def publish(peer: subprocess.Popen[str], count: int, how: str = "") -> None:
    assert peer.stdin
    peer.stdin.write(f"{count}{how}\n")
    peer.stdin.flush()
    expect(peer, "done")


def expect(peer: subprocess.Popen[str], word: str) -> None:
    assert peer.stdout
    line = peer.stdout.readline().strip()
    if line != word:
        raise SystemExit(f"the peer said {line!r} instead of {word!r}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", required=True, help="interpreter that has kombu 5.7")
    parser.add_argument("--new", default=sys.executable, help="interpreter that has this one")
    parser.add_argument("--svg", type=Path, help="file to write")
    parser.add_argument("--messages", type=int, default=200)
    given = parser.parse_args()
    if not program():
        raise SystemExit("there is no redis-server: scripts/services installs it")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sides = [("kombu 5.7", given.old, {}), ("kombu 6", given.new, {})]
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    for axis, (title, shapes) in AXES.items():
        streams = (
            [('kombu 6, fanout="stream"', given.new, {"fanout": "stream"})] if axis == "listeners" else []
        )
        for shape in shapes:
            for side, python, options in (*sides, *streams):
                found = measure(python, given.messages, options, **shape)
                results.setdefault((axis, side), []).append(found)
                number = shape.get("queues") or shape["consumers"]
                print(
                    f"{number:4} {title:26} {side:26}",
                    *(f"{name} {value:.4g};" for name, value in found.items()),
                )
    if given.svg:
        panels = [
            [
                Panel(
                    f"{label} by {title}",
                    [int(shape.get("queues") or shape["consumers"]) for shape in shapes],
                    {side: [row[name] for row in rows] for (of, side), rows in results.items() if of == axis},
                )
                for name, label in FIGURES.items()
            ]
            for axis, (title, shapes) in AXES.items()
        ]
        write_svg(given.svg, panels)


if __name__ == "__main__":
    main()
