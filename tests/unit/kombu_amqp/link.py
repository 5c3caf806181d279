"""A connection of the driver's with the wire in it and no socket: bytes are fed in, and what is written is kept."""

from __future__ import annotations

import threading
from struct import pack
from typing import Any

import amqp
from amqp import spec
from amqp.serialization import dumps, loads

from kombu_amqp.wire import Wire


class Peer:
    """The end of the connection that a transport writes to; it may stop reading."""

    def __init__(self) -> None:
        self.write_lock = threading.RLock()
        self.writes: list[bytes] = []
        self.written = threading.Event()
        self.broken = False

    def write(self, data: bytes) -> None:
        with self.write_lock:
            if self.broken:
                raise ConnectionResetError("gone")
            self.writes.append(bytes(data))
            self.written.set()

    def methods(self) -> list[tuple[int, int, bytes]]:
        """(kind, channel, payload) of every frame written; fails on anything but whole frames."""
        frames, rest = [], b"".join(self.writes)
        while rest:
            size = int.from_bytes(rest[3:7], "big")
            assert rest[7 + size] == 0xCE
            frames.append((rest[0], int.from_bytes(rest[1:3], "big"), rest[7 : 7 + size]))
            rest = rest[8 + size :]
        return frames

    def acked(self) -> list[int]:
        return [loads("Lb", payload, 4)[0][0] for _, _, payload in self.methods() if payload[:4] == b"\x00\x3c\x00\x50"]


class Channel(amqp.Channel):
    """The driver's channel, which notes what it is given; ``then`` is a callback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[Any] = []
        self.on_message: Any = None

    def on_delivery(self, *parts: Any) -> None:
        self.seen.append(parts)
        if self.on_message is not None:
            self.on_message(parts[1])

    def on_confirm(self, *parts: Any) -> None:
        self.seen.append(parts)


class Link:
    """A connection of the driver's with the wire between it and a peer."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.connection = amqp.Connection()
        self.wire = Wire(self.connection, self.peer)
        self.connection.frame_writer = self.wire.write_frame
        self.channel = Channel(self.connection, 1)
        self.channel.is_open = True

    def receive(self, *frames: bytes) -> None:
        self.wire.feed(b"".join(frames))

    def dispatch_all(self) -> int:
        count = 0
        while self.wire.dispatch():
            count += 1
        return count


def method(channel: int, sig: tuple[int, int], arguments: bytes = b"") -> bytes:
    payload = pack(">HH", *sig) + arguments
    return pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


def content(channel: int, properties: dict[str, Any], body: bytes) -> bytes:
    block = amqp.Message(**properties)._serialize_properties()
    head = pack(">BHIHHQ", 2, channel, 12 + len(block), 60, 0, len(body)) + block + b"\xce"
    return head + pack(">BHI", 3, channel, len(body)) + body + b"\xce"


def delivery(tag: int, body: bytes = b"body", channel: int = 1, **properties: Any) -> bytes:
    arguments = dumps("sLbss", ["tag", tag, False, "exchange", "key"])
    return method(channel, spec.Basic.Deliver, arguments) + content(channel, properties, body)
