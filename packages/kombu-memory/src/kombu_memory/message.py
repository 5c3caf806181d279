"""A message from the in-process broker."""

from __future__ import annotations

from typing import Any

from kombu.message import Message as Base
from kombu.serialization import loads
from kombu.transport import virtual

__all__ = ("Message",)


class Message(virtual.Message):
    """``body`` is bytes, as it is from any other broker, but made only when asked for: text is decoded as it is."""

    __slots__ = ()

    #: The slot of the base class.
    _stored: Any = vars(Base)["body"]

    def _decode(self) -> Any:
        if self.errors:
            self._reraise_error()
        return loads(self._stored, self.content_type, self.content_encoding, self.accept)  # a quarter faster

    def _bytes(self) -> Any:
        body = self._stored
        if isinstance(body, str):
            body = self._stored = body.encode()
        return body

    body = property(_bytes, _stored.__set__)
