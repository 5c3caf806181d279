"""Lua scripts: loaded from ``lua/``, called by their digest."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from kombu_redis.resp import Argument, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Script", "called_by", "load")

#: Every script by its digest, so that one which a server turns out not to know can be sent to it.
_BY_DIGEST: WeakValueDictionary[bytes, Script] = WeakValueDictionary()


class Script:
    """A script that the server knows by the SHA-1 of its text.

    It may only touch the keys it is given, and must not depend on anything but them, its arguments and TIME.
    """

    __slots__ = ("__weakref__", "_evalsha", "name", "sha", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
        _BY_DIGEST[self.sha.encode()] = self
        self._evalsha = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % self.sha.encode()

    def __repr__(self) -> str:
        return f"<Script {self.name}>"

    def pack(self, keys: Sequence[Argument], arguments: Sequence[Argument] = ()) -> bytes:
        """The call as bytes, for :meth:`Client.request`."""
        return self.head(len(keys), len(keys) + len(arguments)) + _bulks(keys) + _bulks(arguments)

    def head(self, key_count: int, argument_count: int) -> bytes:
        """The start of a call's bytes: ``argument_count`` bulk strings have to follow, the keys first."""
        return b"*%d\r\n%b%b" % (3 + argument_count, self._evalsha, _bulks((key_count,)))

    def load(self) -> bytes:
        """The command that makes the server know the script."""
        return pack("SCRIPT", "LOAD", self.text)


def _bulks(arguments: Sequence[Argument]) -> bytes:
    packed = pack(*arguments)
    return packed[packed.index(b"\n") + 1 :]


@cache
def load(name: str) -> Script:
    """The script ``lua/<name>.lua`` of this package."""
    return Script(name, (files("kombu_redis") / "lua" / f"{name}.lua").read_text("utf-8"))


def called_by(packed: bytes) -> Script | None:
    """The script that a packed EVALSHA calls."""
    start = packed.find(b"$40\r\n", 0, 40) + 5
    return _BY_DIGEST.get(packed[start : start + 40])
