"""The dictionary that a message is while it is inside a virtual transport, and the message made from it.

Its keys are the wire format shared with kombu 5: ``body``, ``content-type``, ``content-encoding``, ``headers`` and
``properties``; in the properties ``body_encoding``, ``delivery_info`` (exchange, routing key), ``delivery_tag`` and
``delivery_mode``. Kombu 6 adds, also in the properties where others leave it alone: ``expires_at`` (seconds since
the epoch) and ``delivery_count`` (earlier deliveries).
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from typing import Any

from kombu import message as base

__all__ = ("Base64", "Message", "another", "body_size")


class Base64:
    """The body codec ``base64``: bytes as text that JSON can carry."""

    def encode(self, s: str | bytes) -> str:
        """Bytes (text as UTF-8) to base64 text."""
        return b2a_base64(s.encode() if isinstance(s, str) else s, newline=False).decode("ascii")

    def decode(self, s: str | bytes) -> bytes:
        """Base64 text to bytes."""
        return a2b_base64(s)


def another(message: dict[str, Any]) -> dict[str, Any]:
    """A copy for a second queue: nothing that is stamped or mutated later is shared."""
    return {
        **message,
        "headers": dict(message["headers"] or {}),
        "properties": dict(message["properties"]),
    }


def body_size(message: dict[str, Any]) -> int:
    """Bytes of the body as it was published, whatever it travels as."""
    body: str | bytes | None = message["body"]
    if not body:
        return 0
    if isinstance(body, bytes):
        return len(body)
    if message["properties"].get("body_encoding") == "base64":
        return len(body) * 3 // 4 - body[-2:].count("=")
    return len(body.encode())


class Message(base.Message):
    """A message from a virtual transport; ``payload`` is the envelope it arrived in."""

    __slots__ = ("_consumer_tag", "_info", "_raw")

    def __init__(
        self,
        payload: dict[str, Any],
        channel: Any = None,
        delivery_tag: Any = None,
        consumer_tag: str | None = None,
    ) -> None:
        # One for each delivery: the attributes are set here and not through the base class.
        properties = payload["properties"]
        headers = payload["headers"]
        body = payload["body"]
        self._raw = payload
        self._decoded_cache = None
        self._state = "RECEIVED"
        self.accept = None
        self.channel = channel
        self.content_encoding = payload["content-encoding"]
        self.content_type = payload["content-type"]
        self._info: dict[str, Any] | None = None
        self._consumer_tag = consumer_tag
        self.delivery_tag = properties.get("delivery_tag") if delivery_tag is None else delivery_tag
        self.properties = properties
        if "body_encoding" in properties and body is not None:
            body = channel.decode_body(body, properties["body_encoding"])
        self.body = body
        if headers:
            self.headers = dict(headers)
            if "compression" in headers:
                self._decompress(headers["compression"])
        else:
            self.headers = {}

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where it was published (``exchange``, ``routing_key``), ``redelivered``, its tags; made when asked for."""
        info = self._info
        if info is None:
            properties = self.properties
            info = self._info = {**(properties.get("delivery_info") or {})}
            info["redelivered"] = bool(properties.get("delivery_count"))
            info["delivery_tag"] = self.delivery_tag
            if self._consumer_tag is not None:
                info["consumer_tag"] = self._consumer_tag
        return info

    @delivery_info.setter
    def delivery_info(self, info: dict[str, Any]) -> None:
        self._info = info

    def serializable(self) -> dict[str, Any]:
        """The envelope again, as it came: fit for being put on a queue."""
        return another(self._raw)
