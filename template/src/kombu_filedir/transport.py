"""The transport: the hooks of a virtual channel over a :class:`.spool.Spool`."""

from __future__ import annotations

from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

from kombu.transport import virtual

from .spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Channel", "Transport", "forget")


class Broker:
    """What the connections of this process to one directory share."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool(root)
        #: Exchanges, queues and bindings, as this process declared them.
        self.state = virtual.BrokerState()
        self.lock = RLock()
        #: Queues which may have messages that expire.
        self.expiring: set[str] = set()


_brokers: dict[Path, Broker] = {}
_registry_lock = Lock()


def _broker(root: Path) -> Broker:
    with _registry_lock:
        if root not in _brokers:
            _brokers[root] = Broker(root)
        return _brokers[root]


def forget() -> None:
    """Forget what this process declared; the files stay."""
    with _registry_lock:
        _brokers.clear()


class Channel(virtual.Channel):
    """AMQP's verbs come from ``virtual.Channel``; here is where messages are kept."""

    @property
    def broker(self) -> Broker:
        broker: Broker = self.connection.broker
        return broker

    @property
    def spool(self) -> Spool:
        return self.broker.spool

    # -- these two make a transport

    def _put(self, queue: str, message: dict[str, Any]) -> None:
        if "expires_at" in message["properties"]:
            self.broker.expiring.add(queue)
        self.spool.put(queue, message)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        name, message = self.spool.take(queue)
        message["properties"]["delivery_tag"] = name
        return message

    # -- these keep a message safe until it is settled

    def _ack(self, queue: str, message: dict[str, Any]) -> None:
        self.spool.settle(queue, message["properties"]["delivery_tag"])

    def _requeue(self, queue: str, message: dict[str, Any]) -> None:
        self.spool.give_back(queue, message["properties"]["delivery_tag"], message)

    # -- these say what is there

    def _size(self, queue: str) -> int:
        return self.spool.size(queue)

    def _size_bytes(self, queue: str) -> int:
        return sum(
            len(self.decode_body(message["body"], message["properties"].get("body_encoding")))
            for message in self.spool.messages(queue)
        )

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return self.spool.has(queue)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self.spool.declare(queue)

    def _purge(self, queue: str) -> int:
        return self.spool.purge(queue)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self.spool.delete(queue)

    # -- this lets messages expire while nobody looks at them

    def _due(self, now: float) -> Iterator[tuple[str, dict[str, Any], str]]:
        for queue in list(self.broker.expiring):
            while (first := self.spool.first(queue)) is not None:
                if first["properties"].get("expires_at", now + 1) > now:
                    break
                yield queue, self._get(queue), "expired"
            else:
                self.broker.expiring.discard(queue)


class Transport(virtual.Transport):
    """``filedir:///var/spool/mine``: the directory is the path of the URL."""

    Channel = Channel

    driver_type = "filedir"
    driver_name = "files"
    #: Seconds between two looks into the directory while there is nothing to deliver.
    polling_interval = 0.02

    # What the virtual layer does over the hooks above. Not claimed: priority, queue_expires, delay.
    implements = virtual.Transport.implements.extend(
        auto_delete=True,
        consumer_cancel_notify=True,
        dead_letter=True,
        exclusive=True,
        mandatory=True,
        max_length=True,
        message_ttl=True,
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.broker = _broker(Path("/", client.virtual_host or "").resolve())
        super().__init__(client, **kwargs)
        self.lock = self.broker.lock
        # While it is empty there is nothing for Channel._due to do, and it is not called.
        self.schedule = self.broker.expiring

    @property
    def global_state(self) -> virtual.BrokerState:
        """Shared by the connections to this directory."""
        return self.broker.state

    def driver_version(self) -> str:
        return "1.0"
