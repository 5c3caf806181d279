"""AMQP 0-9-1 frames, read in one pass: bytes go in, whole methods and messages come out. No I/O.

A frame is a kind (one octet), a channel (two), the size of its payload (four), the payload and the octet 206. A method
that carries content (deliver, return, get-ok) is followed on its channel by one header frame, with the body's size and
the properties, and by as many body frames as the body needs. (AMQP 0-9-1, section 4.2.)

The usual case, a small message that is complete in what was received, is taken in one step. What is split across
reads, or across frames, or interleaved with other channels, takes the careful way; both give the same events.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final, TypeAlias

from amqp.exceptions import AMQPError, FrameError, UnexpectedFrame

__all__ = ("CONTENT_METHODS", "DELIVER", "Event", "FRAME_END", "FrameParser")

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
KINDS: Final = frozenset((METHOD, HEADER, BODY, HEARTBEAT))
FRAME_END: Final = 206
#: Octets of a frame besides its payload.
OVERHEAD: Final = 8

#: The first four octets of a method's payload: its class and its number.
DELIVER: Final = b"\x00\x3c\x00\x3c"
RETURN: Final = b"\x00\x3c\x00\x32"
GET_OK: Final = b"\x00\x3c\x00\x47"
CHANNEL_CLOSE: Final = b"\x00\x14\x00\x28"
CONTENT_METHODS: Final = frozenset((DELIVER, RETURN, GET_OK))

_FRAME = Struct(">BHI").unpack_from
_CONTENT = Struct(">BHIHxxQ").unpack_from
_HEADER = Struct(">HxxQ").unpack_from
#: Class of the content that basic.* methods carry, and the least a header frame holds (with the property flags).
_BASIC, _LEAST_HEADER = 60, 14

#: ``(channel, method, properties, body)``: the payload of the method frame, and for methods with content the encoded
#: properties and the body, None for the others.
Event: TypeAlias = "tuple[int, bytes, bytes | None, bytes | None]"


class _Content:
    """A message whose frames have not all come."""

    __slots__ = ("chunks", "method", "missing", "properties")

    def __init__(self, method: bytes) -> None:
        self.method = method
        self.properties: bytes | None = None
        self.missing = 0
        self.chunks: list[bytes] = []


class FrameParser:
    """Turns received bytes into events, however they were split.

    Arguments:
        frame_max: the greatest frame that the peer may send, in octets with its overhead; may be changed
            at any time (it is negotiated after the first frames).
    """

    __slots__ = ("_chunks", "_error", "_have", "_need", "_partial", "events", "frame_max", "heartbeats")

    def __init__(self, frame_max: int = 131072) -> None:
        self.frame_max = frame_max
        #: What was parsed and not yet taken, oldest first.
        self.events: deque[Event] = deque()
        #: Heartbeat frames seen; they make no event.
        self.heartbeats = 0
        self._partial: dict[int, _Content] = {}
        # Octets of a frame that is not complete: kept apart until there are enough of them.
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = 0
        self._error: AMQPError | None = None

    @property
    def is_clean(self) -> bool:
        """Whether the bytes so far end with a whole message."""
        return not self._have and not self._partial

    def feed(self, data: bytes) -> None:
        """Parse ``data`` and append what it completes to :attr:`events`.

        Raises:
            FrameError: (501) the bytes are no frames; raised again by every later call. Events that came before
                the error are kept.
            UnexpectedFrame: (505) a frame came that the channel was not waiting for; likewise.
        """
        if self._error is not None:
            raise self._error
        if self._have:
            self._chunks.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._chunks)
            self._chunks.clear()
            self._have = 0
        try:
            used, self._need = self._parse(data)
        except AMQPError as exc:
            self._error = exc
            raise
        if used < len(data):
            rest = data[used:] if used else data
            self._chunks.append(rest)
            self._have = len(rest)

    def _parse(self, data: bytes) -> tuple[int, int]:
        """Parse whole frames; ``(octets used, octets that the next frame needs)``."""
        pos = 0
        end = len(data)
        largest = self.frame_max - OVERHEAD
        partial = self._partial
        append = self.events.append
        while end - pos >= OVERHEAD:
            kind, channel, size = _FRAME(data, pos)
            start = pos + 7
            stop = start + size
            if stop >= end or data[stop] != FRAME_END or size > largest:
                self._check(kind, size, data, pos)
                if stop >= end:
                    return pos, stop + 1 - pos
                raise FrameError(f"a frame of {size} octets ends with {data[stop]:#04x} instead of 0xce")
            if kind == METHOD and channel not in partial:
                method = data[start:stop]
                pos = stop + 1
                if method[:4] not in CONTENT_METHODS:
                    if size < 4:
                        raise FrameError(f"a method frame of {size} octets holds no method")
                    append((channel, method, None, None))
                    continue
                # The whole content, if it is here: one header frame and at most one body frame.
                if end - pos > 21:
                    next_kind, next_channel, size, content_class, length = _CONTENT(data, pos)
                    stop = pos + 7 + size
                    if (
                        next_kind == HEADER
                        and next_channel == channel
                        and _LEAST_HEADER <= size <= largest
                        and content_class == _BASIC
                        and stop < end
                        and data[stop] == FRAME_END
                    ):
                        if not length:
                            append((channel, method, data[pos + 19 : stop], b""))
                            pos = stop + 1
                            continue
                        body = stop + 8
                        after = body + length
                        if (
                            after < end
                            and length <= largest
                            and data[after] == FRAME_END
                            and _FRAME(data, stop + 1) == (BODY, channel, length)
                        ):
                            append((channel, method, data[pos + 19 : stop], data[body:after]))
                            pos = after + 1
                            continue
                partial[channel] = _Content(method)
            else:
                if kind not in KINDS:
                    self._check(kind, size, data, pos)
                self._careful(kind, channel, data[start:stop])
                pos = stop + 1
        return pos, OVERHEAD

    def _check(self, kind: int, size: int, data: bytes, pos: int) -> None:
        """Say at once that a frame cannot be one, instead of waiting for the rest of it."""
        if kind not in KINDS:
            seen = data[pos : pos + 8]
            hint = "; the peer speaks another protocol or version" if seen[:4] in (b"AMQP", b"HTTP") else ""
            raise FrameError(f"frames are of kind 1, 2, 3 or 8, not {kind} (received {seen!r}{hint})")
        if size > self.frame_max - OVERHEAD:
            raise FrameError(
                f"a frame of {size + OVERHEAD} octets is larger than the {self.frame_max} agreed (frame_max)"
            )

    def _careful(self, kind: int, channel: int, payload: bytes) -> None:
        """Take one whole frame, whatever the channel waits for."""
        if kind == HEARTBEAT:
            if channel:
                raise FrameError(f"a heartbeat came on channel {channel}; they belong to channel 0")
            self.heartbeats += 1
            return
        content = self._partial.get(channel)
        if kind == METHOD:
            # No content was finished on this channel, or we would not be here. Only a close may cut it short.
            if payload[:4] != CHANNEL_CLOSE:
                raise UnexpectedFrame(f"a method came on channel {channel} in the middle of a message")
            del self._partial[channel]
            self.events.append((channel, payload, None, None))
        elif kind == HEADER:
            if content is None or content.properties is not None:
                raise UnexpectedFrame(f"a content header came on channel {channel}, which awaits none")
            self._header(content, channel, payload)
        else:
            if content is None or content.properties is None:
                raise UnexpectedFrame(f"a content body came on channel {channel}, which awaits none")
            self._body(content, channel, payload)

    def _header(self, content: _Content, channel: int, payload: bytes) -> None:
        if len(payload) < _LEAST_HEADER:
            raise FrameError(f"a content header of {len(payload)} octets is too short")
        content_class, content.missing = _HEADER(payload, 0)
        if content_class != _BASIC:
            raise FrameError(f"content is of class {_BASIC}, not {content_class}")
        content.properties = payload[12:]
        if not content.missing:
            self._finish(content, channel)

    def _body(self, content: _Content, channel: int, payload: bytes) -> None:
        if len(payload) > content.missing:
            raise FrameError(
                f"{len(payload)} octets of a body came on channel {channel}, {content.missing} were missing"
            )
        content.chunks.append(payload)
        content.missing -= len(payload)
        if not content.missing:
            self._finish(content, channel)

    def _finish(self, content: _Content, channel: int) -> None:
        del self._partial[channel]
        self.events.append((channel, content.method, content.properties, b"".join(content.chunks)))
