"""Calls of the scripts in ``lua/``, and acknowledgements, which leave together with them."""

from __future__ import annotations

from collections import deque
from functools import cache
from importlib.resources import files
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from kombu.log import get_logger
from kombu.utils.deadline import remaining
from kombu.utils.uuid import uuid

from .errors import ConnectionLost, Unavailable
from .outlet import bulk
from .replies import Parser
from .scripts import Script

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .client import Client
    from .keys import Keys
    from .options import Options

__all__ = ("MOST", "TRY", "Calls", "padded", "script")

logger = get_logger(__name__)

#: Most messages of one call of a script.
MOST = 1000

#: Acknowledgements that wait for the next request at most.
ACKS = 16

#: Seconds that nobody else tries what one connection has begun.
TRY = 2

#: Above 64 bytes (zset-max-listpack-value) Redis finds members of small sorted sets without looking at each, which
#: makes entering 100 leases five times as fast. A number of nine digits follows.
PREFIX = 56


def padded(prefix: str) -> str:
    """The prefix, long enough to make tags that sorted sets are fast with."""
    return prefix.ljust(PREFIX, ".")


@cache
def script(name: str, *before: str) -> Script:
    """The script ``lua/<name>.lua`` behind those it needs."""
    folder = files("kombu_redis") / "lua"
    return Script(name, "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in (*before, name)))


def _log_late_ack(late: int, asked: int) -> None:
    logger.warning("%d of %d acknowledgements came after the end of the lease: delivered again", late, asked)


class Calls:
    """What the parts of :class:`.store.Store` share."""

    #: The script that says how those are woken who wait; behind common.lua in all that wake.
    waking: ClassVar[str] = "tokens"

    def __init__(self, client: Client, keys: Keys, options: Options) -> None:
        self._client = client
        self._keys = keys
        self._visibility = options.visibility_timeout
        self._lease = options.lease
        self._copies = options.wait_replicas
        self._patience = options.socket_timeout
        self._parser = Parser()
        self._own = f"{uuid()}."
        self._calls = count(1).__next__
        self._acks: deque[str] = deque()
        #: Acknowledgements that were sent and not answered yet: the session of the client they were sent in, and tags.
        self._sent: dict[object, tuple[int, list[str]]] = {}
        #: How many of those that wait have been sent before: the server may not know them any more.
        self._repeated = 0
        self._ack_heads = bulk(keys.unacked("")), bulk(keys.unacked_index(""))
        #: Called with how many acknowledgements of how many came too late.
        self.on_late_ack: Callable[[int, int], object] = _log_late_ack

    @property
    def _score(self) -> float:
        """What an index entry made now has above the present: restorers add the visibility timeout to it."""
        return self._lease - self._visibility

    def new_prefix(self) -> str:
        """For tags that are made once."""
        return padded(f"{self._own}{self._calls()}.")

    def _request(self, packed: bytes) -> Any:
        client = self._client
        with client.lock:
            self.send_acks_along()
            return client.request(packed)

    def _publish(self, packed: bytes) -> Any:
        """As :meth:`_request`; returns when as many replicas have it as the option ``wait_replicas`` says."""
        if not self._copies:
            return self._request(packed)
        with self._client.lock:
            reply = self._request(packed)
            self.await_copies()
        return reply

    def await_copies(self) -> None:
        """Wait until the replicas have all that was written over this connection.

        Raises:
            Unavailable: not within half of ``socket_timeout``, or of the deadline in force. Publishing again may make
                a second message; not doing so may lose the first.
        """
        client = self._client
        session = client.connects
        left = remaining()
        patience = self._patience if left is None else min(left, self._patience)
        found = client.call("WAIT", self._copies, max(1, int(patience * 500)))
        if client.connects != session:
            raise ConnectionLost(f"the connection to {client.address} was lost before its replicas had everything")
        if found < self._copies:
            raise Unavailable(
                f"NOREPLICAS {found} of {self._copies} replicas (wait_replicas) have what {client.address} has:"
                f" it may be lost in a failover"
            )

    def send_acks_along(self) -> None:
        """Acknowledgements that wait leave with the next request; with the lock held."""
        if self._sent:
            self._recall()
        if self._acks:
            self._client.buffer(*self._pack_acks())

    def _script(self, name: str, *before: str) -> Script:
        """A script, for this kind of server."""
        return script(name, *before, self.waking) if "common" in before else script(name, *before)

    def ack(self, tag: str, now: bool = False) -> None:
        """The message is done with. With ``now`` that leaves at once, else with the next request or :meth:`flush`."""
        self._acks.append(tag)
        if now or len(self._acks) >= ACKS:
            self.flush()

    def flush(self) -> None:
        """Send the acknowledgements that wait; their replies are read later."""
        with self._client.lock:
            if self._sent:
                self._recall()
            if self._acks:
                self._client.write(*self._pack_acks())

    def confirm(self) -> None:
        """Read the answers to acknowledgements, after which it is known which ones have to be sent again."""
        if self._sent:
            self._client.flush()

    def _recall(self) -> None:
        """What got no answer before the connection was lost is sent again: doing it twice does no harm."""
        client = self._client
        for check, (session, tags) in list(self._sent.items()):
            if session != client.connects or not client.connected:
                del self._sent[check]
                self._repeat(tags)

    def _repeat(self, tags: list[str]) -> None:
        self._repeated += len(tags)
        self._acks.extend(tags)

    def _pack_acks(self) -> tuple[bytes, int, Callable[[list[Any]], object]]:
        self._client.connect()  # (so that it is known which session they are sent in)
        acks = self._acks
        asked = len(acks)
        repeated, self._repeated = self._repeated, 0
        tags = [acks.popleft() for _ in range(asked)]  # other threads may append meanwhile

        def check(replies: list[Any]) -> None:
            self._sent.pop(check, None)
            for reply in replies:
                if isinstance(reply, Exception):
                    self._client.on_late_error(reply)
                    if isinstance(reply, Unavailable):
                        self._repeat(tags)
                    return
            if replies[0] < asked - repeated:
                self.on_late_ack(asked - replies[0], asked)

        self._sent[check] = self._client.connects, tags
        # The message first: an index entry without one is removed by whoever finds it.
        names = "".join([f"${len(tag)}\r\n{tag}\r\n" for tag in tags]).encode()  # (they are ASCII)
        unacked, index = self._ack_heads
        return (
            b"*%d\r\n$4\r\nHDEL\r\n%b%b*%d\r\n$4\r\nZREM\r\n%b%b"
            % (asked + 2, unacked, names, asked + 2, index, names),
            2,
            check,
        )
