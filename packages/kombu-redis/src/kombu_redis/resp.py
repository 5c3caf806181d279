"""Commands to bytes (https://redis.io/docs/reference/protocol-spec): what is sent often is packed once."""

from __future__ import annotations

from typing import Any

__all__ = ("Argument", "pack")

#: What an argument of a command may be.
Argument = str | bytes | int | float


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
