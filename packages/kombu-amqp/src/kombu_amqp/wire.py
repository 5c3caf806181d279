"""Between a connection and its socket: what comes in is dispatched, what goes out is put together.

In the place of the driver's ``frame_handler`` and ``frame_writer``, and of its reading frame by frame::

    wire = Wire(connection, transport)           # transport.write(bytes) writes whole frames, under write_lock
    connection.frame_writer = wire.write_frame
    ...
    if not wire.events:                          # nothing left of what was received before
        wire.flush()
        wire.feed(transport.receive(None))       # any number of bytes, as they came
    wire.dispatch()                              # one event; no system call

One read brings many messages, which wait in ``wire.events``: an event loop has to go on while there are any, since the
descriptor does not announce them. Meanwhile acknowledgements are held, and leave in one write: when the last of those
messages has been dispatched, before anything else that is written, before the next read, and in any case within
:data:`HOLD_SECONDS`, by a thread, should a callback take long.

The channel of a delivery is given its parts, and makes the message::

    channel.on_delivery(consumer_tag, delivery_tag, redelivered, exchange, routing_key, properties, body)

The channel also gets one whose properties are malformed, without them and with the error as a further argument: to
close the connection would have the broker deliver it again, for ever. (``fault`` of a message that is not a delivery.)

Threads: sending may be done from any thread. ``feed`` and ``dispatch`` are for one thread at a time; the connection
sees to that.
"""

from __future__ import annotations

import os
import weakref
from logging import getLogger
from struct import Struct
from threading import Event as Signal
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from amqp.basic_message import Message
from amqp.exceptions import AMQPError, FrameSyntaxError, RecoverableConnectionError

from kombu_amqp.codec import Decoder, Encoder, ack_frame, method_frame, nack_frame, reject_frame
from kombu_amqp.frames import DELIVER, FrameParser

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable

    from kombu_amqp.frames import Event

__all__ = ("HOLD_SECONDS", "Wire")

logger = getLogger("kombu.transport.pyamqp")

#: Seconds that an acknowledgement is held at most, and how many are.
HOLD_SECONDS: Final = 0.02
HOLD_MOST: Final = 256
#: Rounds after which the thread that sees to it goes to sleep until there is something to do.
_IDLE_ROUNDS: Final = 50

#: Octets that ``publish_many`` writes at once.
BATCH: Final = 1 << 18

HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
ACK: Final = b"\x00\x3c\x00\x50"
NACK: Final = b"\x00\x3c\x00\x78"
CONFIRMS: Final = frozenset((ACK, NACK))

_SIGNATURE = Struct(">HH")
_CONFIRM = Struct(">xxxxQB").unpack


class Wire:
    """What one connection sends and receives.

    Arguments:
        connection: an ``amqp.Connection``: ``channels``, ``frame_max``, ``on_inbound_method``, ``bytes_sent`` and
            ``bytes_recv`` are used. Its channels have ``on_delivery`` and ``on_confirm``.
        transport: ``write(bytes)``, and ``write_lock``, a reentrant lock that ``write`` takes.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_decoder",
        "_encoder",
        "_lock",
        "_parser",
        "_signal",
        "_write",
        "events",
        "fault",
        "held",
    )

    def __init__(self, connection: Any, transport: Any) -> None:
        self._connection = connection
        self._write: Callable[[bytes], Any] = transport.write
        self._lock: Any = transport.write_lock
        self._parser = FrameParser(connection.frame_max)
        self._encoder = Encoder()
        self._decoder = Decoder()
        #: What was received and not yet dispatched, oldest first.
        self.events: deque[Event] = self._parser.events
        #: Why nothing more can be read, once the peer has sent what is no AMQP.
        self.fault: AMQPError | None = None
        #: Acknowledgements that wait for company; see :meth:`flush`.
        self.held: list[bytes] = []
        #: Wakes the thread that sends what was held for long; None as long as nothing ever was.
        self._signal: Signal | None = None

    @property
    def has_buffered(self) -> bool:
        """Whether :meth:`dispatch` has something to do without reading."""
        return bool(self.events) or self.fault is not None

    # -- receiving

    def feed(self, data: bytes) -> None:
        """Take what was received. Malformed bytes are reported by :meth:`dispatch`, after what came before them."""
        self._connection.bytes_recv += 1
        try:
            self._parser.feed(data)
        except AMQPError as exc:
            self.fault = exc

    def dispatch(self) -> bool:
        """Have one event handled; whether there was one.

        Raises:
            FrameError, UnexpectedFrame: the peer has sent what is no AMQP; the connection is of no more use.
            FrameSyntaxError: the arguments of this event are malformed.
            RecoverableConnectionError: the connection is closed.
        """
        events = self.events
        if not events:
            if self.fault is not None:
                raise self.fault
            return False
        channel_id, method, block, body = events.popleft()
        channels = self._connection.channels
        if channels is None:
            raise RecoverableConnectionError("the connection is closed")
        channel = channels.get(channel_id)
        if channel is None:
            logger.debug("method %r for channel %d, which is closed: dropped", method[:4], channel_id)
            return True
        kind = method[:4]
        if kind == DELIVER:
            decoder = self._decoder
            consumer, tag, redelivered, exchange, key = decoder.deliver(method)
            try:
                properties = decoder.properties(block or b"")
            except FrameSyntaxError as exc:
                channel.on_delivery(consumer, tag, redelivered, exchange, key, {}, body, exc)
            else:
                channel.on_delivery(consumer, tag, redelivered, exchange, key, properties, body)
        elif kind in CONFIRMS:
            if len(method) != 13:
                raise FrameSyntaxError(f"a confirm has 13 octets, not {len(method)}")
            tag, bits = _CONFIRM(method)
            channel.on_confirm(tag, bits & 1 == 1, kind == ACK)
        else:
            self._dispatch_rare(channel_id, method, block, body)
        return True

    def _dispatch_rare(self, channel_id: int, method: bytes, block: bytes | None, body: bytes | None) -> None:
        connection = self._connection
        content = None
        if block is not None:
            content = Message(body)
            try:
                content.properties = self._decoder.properties(block)
            except FrameSyntaxError as exc:
                content.fault = exc
            content.body_size = content.body_received = len(body or b"")
            content.ready = True
        connection.on_inbound_method(channel_id, _SIGNATURE.unpack_from(method), method, content)
        if not channel_id:
            self._parser.frame_max = connection.frame_max  # (it may have been connection.tune)

    # -- sending

    def send(self, frames: bytes) -> None:
        """Write whole frames, after what is held."""
        if self.held:
            with self._lock:
                self.held.append(frames)
                self.flush()
        else:
            self._write(frames)
            self._connection.bytes_sent += 1

    def flush(self) -> None:
        """Write what is held."""
        if self.held:
            with self._lock:
                frames = b"".join(self.held)
                self.held.clear()
                if frames:
                    self._write(frames)
                    self._connection.bytes_sent += 1

    def close(self) -> None:
        """Forget what is held, when the connection is gone."""
        with self._lock:
            self.held.clear()

    def publish(
        self,
        channel_id: int,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        properties: dict[str, Any],
        body: bytes | str,
    ) -> None:
        """Write a message: method, header and body in one go.

        Raises:
            FrameSyntaxError: a name, a property or a header cannot be sent; nothing was.
        """
        self.send(
            self._encoder.publish(
                channel_id, exchange, routing_key, mandatory, immediate, properties, body,
                self._connection.frame_max,
            )
        )  # fmt: skip

    def publish_many(
        self, channel_id: int, messages: Iterable[tuple[str, str, bool, bool, dict[str, Any], bytes | str]]
    ) -> None:
        """Write messages, ``(exchange, routing key, mandatory, immediate, properties, body)`` each, together.

        Raises:
            FrameSyntaxError: one cannot be sent; those before it may have been.
        """
        publish, frame_max = self._encoder.publish, self._connection.frame_max
        frames: list[bytes] = []
        size = 0
        for message in messages:
            frame = publish(channel_id, *message, frame_max)
            frames.append(frame)
            size += len(frame)
            if size >= BATCH:
                self.send(b"".join(frames))
                frames.clear()
                size = 0
        if frames:
            self.send(b"".join(frames))

    def ack(self, channel_id: int, delivery_tag: int, multiple: bool = False) -> None:
        """Acknowledge a delivery; held while more of them wait to be dispatched."""
        frame = ack_frame(channel_id, delivery_tag, multiple)
        if self.events:
            self._settle(frame)
        else:
            self.send(frame)

    def reject(self, channel_id: int, delivery_tag: int, requeue: bool) -> None:
        """Reject a delivery; held like :meth:`ack`."""
        self._settle(reject_frame(channel_id, delivery_tag, requeue))

    def nack(self, channel_id: int, delivery_tag: int, multiple: bool, requeue: bool) -> None:
        """Reject deliveries, RabbitMQ's way; held like :meth:`ack`."""
        self._settle(nack_frame(channel_id, delivery_tag, multiple, requeue))

    def _settle(self, frame: bytes) -> None:
        held = self.held
        if self.events and len(held) < HOLD_MOST:
            with self._lock:
                held.append(frame)
            if self._signal is None:
                self._watch()
            elif len(held) == 1:
                self._signal.set()
        else:
            self.send(frame)

    def write_frame(self, kind: int, channel_id: int, method_sig: Any, args: Any, content: Any) -> None:
        """Write a method, with its content if it has one, or a heartbeat: what the driver's frame writer does."""
        if kind == 8:
            self._write(HEARTBEAT_FRAME)
            self._connection.bytes_sent += 1
            return
        raw = args.encode("utf-8", "surrogatepass") if isinstance(args, str) else args
        frame = method_frame(channel_id, _SIGNATURE.pack(*method_sig) + raw)
        if content is not None:
            frame = self._encoder.content(
                frame, channel_id, content.properties, content.body, self._connection.frame_max
            )
        self.send(frame)

    # -- not holding for too long

    def _watch(self) -> None:
        signal = self._signal = Signal()
        signal.set()
        last = (self.held, self._lock, self._write)
        weakref.finalize(self, _flush_last, os.getpid(), *last)
        weakref.finalize(self, signal.set).atexit = False
        Thread(target=_watch, args=(weakref.ref(self), signal), name="kombu-amqp-acks", daemon=True).start()

    def _flush_old(self, seen: list[bytes]) -> list[bytes]:
        """Write what is held if some of it was ``seen`` a round ago; what is held now."""
        if not self._lock.acquire(blocking=False):
            return seen  # who holds the lock is writing, and writes what is held as well
        try:
            held = self.held
            if held and seen and held[0] is seen[0]:
                self.flush()
            return held[:1]
        finally:
            self._lock.release()


def _watch(wire_ref: weakref.ref[Wire], signal: Signal) -> None:
    """See to it that nothing is held for long; the body of a thread."""
    seen: list[bytes] = []
    idle = 0
    pid = os.getpid()
    while True:
        if idle >= _IDLE_ROUNDS:
            signal.wait()
            idle = 0
        signal.clear()
        sleep(HOLD_SECONDS / 2)
        wire = wire_ref()
        if wire is None or os.getpid() != pid:  # (greenlets live on in a forked child)
            return
        try:
            seen = wire._flush_old(seen)
        except Exception as exc:  # whoever uses the connection next is told
            logger.debug("acknowledgements could not be written: %r", exc)
            seen = []
        idle = 0 if seen or signal.is_set() else idle + 1
        del wire


def _flush_last(pid: int, held: list[bytes], lock: Any, write: Callable[[bytes], Any]) -> None:
    """Write what a connection that nobody closed still held; not in a forked child, it is the parent's."""
    if held and os.getpid() == pid and lock.acquire(timeout=1):
        try:
            write(b"".join(held))
        except Exception as exc:
            logger.debug("acknowledgements could not be written: %r", exc)
        finally:
            lock.release()
