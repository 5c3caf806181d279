"""Redis' protocol, version 2: commands to bytes, bytes to replies (https://redis.io/docs/reference/protocol-spec)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_redis.errors import InvalidReply, error_from_reply

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Argument", "Reader", "pack")

#: Bytes asked of the stream at a time.
CHUNK = 1 << 16

#: The same for the rest of a value that is known to be long.
LARGE = 1 << 20

#: What an argument of a command may be.
Argument = str | bytes | int | float

_ARRAY, _BULK, _ERROR, _INTEGER, _STATUS = b"*$-:+"


def pack(*arguments: Argument) -> bytes:
    """A command as an array of bulk strings; text as UTF-8, numbers as Python writes them.

    Raises:
        TypeError: an argument is none of str, bytes, int, float.
    """
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if type(argument) is bytes else _encode(argument)
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def _encode(argument: Any) -> bytes:
    if isinstance(argument, str):
        return argument.encode("utf-8", "surrogateescape")
    if isinstance(argument, (bytes, bytearray, memoryview)):
        return bytes(argument)
    if isinstance(argument, (int, float)) and not isinstance(argument, bool):
        return repr(argument).encode()
    raise TypeError(
        f"an argument of a Redis command is str, bytes, int or float, not {type(argument).__name__}"
    )


class Reader:
    """Reads replies from a stream.

    Arguments:
        receive: returns the next bytes of the stream, at least one; raises when none come. It may be asked for a
            number of bytes that is known to come.
    """

    __slots__ = ("_at", "_data", "_receive")

    def __init__(self, receive: Callable[..., bytes]) -> None:
        self._receive = receive
        self._data = b""
        self._at = 0

    @property
    def pending(self) -> bool:
        """Whether bytes have been received that belong to no reply read so far."""
        return self._at < len(self._data)

    def read(self) -> Any:
        """The next reply: bytes, int, list or None; an error the server answered is returned, not raised.

        Raises:
            InvalidReply: the bytes are not Redis' protocol.
        """
        data, at = self._data, self._at
        end = data.find(b"\r\n", at)
        while end < 0:
            data = self._data = data[at:] + self._receive()
            at = 0
            end = data.find(b"\r\n")
        self._at = end + 2
        kind = data[at]
        try:
            if kind == _BULK:
                length = int(data[at + 1 : end])
                return None if length < 0 else self._take(length)
            if kind == _INTEGER:
                return int(data[at + 1 : end])
            if kind == _STATUS:
                return data[at + 1 : end]
            if kind == _ARRAY:
                length = int(data[at + 1 : end])
                return None if length < 0 else [self.read() for _ in range(length)]
            if kind == _ERROR:
                return error_from_reply(data[at + 1 : end].decode("utf-8", "replace"))
        except ValueError:
            pass  # no number
        raise InvalidReply(
            f"the server does not speak Redis' protocol: it sent {data[at : min(end, at + 40)]!r}"
        )

    def _take(self, length: int) -> bytes:
        """A bulk string and the line end behind it."""
        data, at = self._data, self._at
        after = at + length + 2
        if after > len(data):
            chunks, have = [data[at:]], len(data) - at
            while have < length + 2:
                chunk = self._receive(max(CHUNK, min(length + 2 - have, LARGE)))
                chunks.append(chunk)
                have += len(chunk)
            data, at, after = b"".join(chunks), 0, length + 2
            self._data = data
        if after == len(data):
            self._data, self._at = b"", 0  # a large one is not kept until the next
        else:
            self._at = after
        return data[at : after - 2]
