"""A Redis Cluster on loopback: masters and replicas, each in a directory of its own."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SLOTS = 16384
#: The nodes talk to each other on the port so far above that of the clients: Redis 6.2 knows no other.
BUS = 10_000
#: Milliseconds of silence after which the others take a node for dead: in tests of that, and elsewhere.
IMPATIENT, PATIENT = 1000, 15000


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different; nor on those above them by :data:`BUS`."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = random.randrange(12_000, 22_000)  # (so neither is a port that the system gives to clients)
            try:
                for number in (port, port + BUS):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
        return found


class ClusterNode(RedisServer):
    """One node."""

    def __init__(
        self,
        directory: Path,
        ports: tuple[int, int],
        settings: Mapping[str, Any],
        tls: dict[str, str] | None = None,
    ) -> None:
        port, tls_port = ports
        super().__init__(
            directory,
            {
                "cluster-enabled": "yes",
                "cluster-config-file": "nodes.conf",
                "cluster-node-timeout": IMPATIENT,
                "cluster-replica-validity-factor": 0,
                "repl-diskless-sync-delay": 0,
                "databases": 1,
                **({"tls-cluster": "yes"} if tls else {}),
                **settings,
            },
            tls,
        )
        #: On which it talks to the others.
        self.bus_port = (tls_port if tls else port) + BUS
        self.state = {"port": port, "tls_port": tls_port}

    def ask(self, *command: Any) -> Any:
        """The raw reply to a command to this node; None when it gives none, or an error."""
        from redis import Connection, RedisError

        connection = Connection(host="127.0.0.1", port=self.port, protocol=2, socket_timeout=10)
        try:
            connection.send_command(*command)
            return connection.read_response()
        except RedisError:
            return None
        finally:
            connection.disconnect()

    def first_slot(self) -> int:
        """The first slot it serves."""
        slots = self.ask("CLUSTER", "SLOTS") or ()
        return min(int(first) for first, _, (_, port, *_), *_ in slots if port == self.port)

    def id(self) -> str:
        found: bytes = self.ask("CLUSTER", "MYID")
        return found.decode()


class Cluster:
    """``masters`` nodes that share the slots evenly, each with ``replicas`` replicas."""

    def __init__(
        self,
        directory: Path,
        masters: int = 3,
        replicas: int = 1,
        settings: Mapping[str, Any] | None = None,
        tls: dict[str, str] | None = None,
    ) -> None:
        count = masters * (1 + replicas)
        ports = free_ports(2 * count)
        self.nodes = [
            ClusterNode(directory / f"node-{at}", (ports[at], ports[count + at]), settings or {}, tls)
            for at in range(count)
        ]
        self.count = masters

    @property
    def url(self) -> str:
        """For ``Connection``: all nodes."""
        return ";".join(f"redis+cluster://127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> Cluster:
        """Start the nodes, have them meet and share the slots, and wait until all of them agree."""
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.await_ready()
        first, *others = self.nodes
        for epoch, node in enumerate(self.nodes, 1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in others:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        masters, replicas = self.nodes[: self.count], self.nodes[self.count :]
        for at, node in enumerate(masters):
            slots = range(SLOTS * at // self.count, SLOTS * (at + 1) // self.count)
            node.ask("CLUSTER", "ADDSLOTS", *slots)  # (ADDSLOTSRANGE came with Redis 7)
        self.until(
            lambda: all(self._knows(node) == len(self.nodes) for node in self.nodes), "the nodes have met"
        )
        for at, node in enumerate(replicas):
            master = masters[at % self.count].id()
            self.until(
                lambda node=node, master=master: node.ask("CLUSTER", "REPLICATE", master) == b"OK",
                "a replica",
            )  # type: ignore[misc]
        self.until(self.is_whole, "the cluster is complete", 40)
        self.set_patience(PATIENT)
        return self

    def set_patience(self, milliseconds: int) -> None:
        """How long a node may be silent: a busy machine must not be taken for a dead one."""
        for node in self.nodes:
            node.ask("CONFIG", "SET", "cluster-node-timeout", milliseconds)

    def _knows(self, node: ClusterNode) -> int:
        lines = (node.ask("CLUSTER", "NODES") or b"").decode().splitlines()
        return sum("handshake" not in line and "noaddr" not in line for line in lines)

    def is_whole(self) -> bool:
        """Whether all nodes call the cluster well, and all replicas have their masters' data."""
        for node in self.nodes:
            info = node.ask("CLUSTER", "INFO") or b""
            if b"cluster_state:ok" not in info or b"cluster_slots_ok:16384" not in info:
                return False
            if b"master_link_status:down" in (node.ask("INFO", "replication") or b""):
                return False
        return sum(self.role(node) == "slave" for node in self.nodes) == len(self.nodes) - self.count

    @staticmethod
    def role(node: ClusterNode) -> str:
        found = node.ask("ROLE")
        return found[0].decode() if found else ""

    def owner(self, slot: int, asked: Iterable[ClusterNode] = ()) -> ClusterNode | None:
        """The node that serves a slot, as the first of these, or of all, says that answers."""
        for node in asked or self.nodes:
            for first, last, (_, port, *_), *_ in node.ask("CLUSTER", "SLOTS") or ():
                if first <= slot <= last:
                    return next(each for each in self.nodes if each.port == port)
        return None

    def masters(self) -> list[ClusterNode]:
        """The nodes that serve slots and answer."""
        return [node for node in self.nodes if self.role(node) == "master"]

    def move_slot(self, slot: int, to: ClusterNode, batch: int = 10) -> None:
        """Migrate a slot with its keys, some at a time, as ``redis-cli --cluster reshard`` does."""
        source = self.owner(slot)
        if source is None or source is to:
            return
        self.begin_move(slot, source, to)
        self.end_move(slot, source, to, batch)

    def begin_move(self, slot: int, source: ClusterNode, to: ClusterNode) -> None:
        """From now on keys that are not at the source any more are looked for at the other node."""
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id())
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id())

    @staticmethod
    def move_keys(slot: int, source: ClusterNode, to: ClusterNode, batch: int = 10) -> None:
        """Move all keys of a slot that is on its way."""
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, batch):
            source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)

    def end_move(self, slot: int, source: ClusterNode, to: ClusterNode, batch: int = 10) -> None:
        """Move all keys that are left, and tell everybody who serves the slot."""
        self.move_keys(slot, source, to, batch)
        for node in (to, source, *self.masters()):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.id())

    def refused(self, word: str) -> int:
        """How often nodes have answered an error that begins with this word."""
        found = (node.ask("INFO", "errorstats") or b"" for node in self.nodes)
        lines = (line for text in found for line in text.decode().splitlines())
        return sum(int(line.rpartition("=")[2]) for line in lines if line.startswith(f"errorstat_{word}:"))

    def until(self, condition: Any, what: str, timeout: float = 30.0) -> Any:
        """What ``condition()`` returns once that is true."""
        deadline = monotonic() + timeout
        while not (found := condition()):
            assert monotonic() < deadline, f"not within {timeout:g} s: {what}"
            sleep(0.02)
        return found

    def flush(self, nodes: Iterable[ClusterNode] | None = None) -> None:
        for node in nodes or self.masters():
            node.ask("FLUSHALL")

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.remove()
