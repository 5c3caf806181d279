"""The dictionary that a message is while it is inside a virtual transport, and the message made from it.

Its keys are the wire format shared with kombu 5: ``body``, ``content-type``, ``content-encoding``, ``headers`` and
``properties``; in the properties ``body_encoding``, ``delivery_info`` (exchange, routing key), ``delivery_tag`` and
``delivery_mode``. Kombu 6 adds, also in the properties where others leave it alone: ``expires_at`` (seconds since
the epoch) and ``delivery_count`` (earlier deliveries).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from kombu import message as base

__all__ = ("Base64", "Message", "another", "prepare")


class Base64:
    """The body codec ``base64``: bytes as text that JSON can carry."""

    def encode(self, s: str | bytes) -> str:
        """Bytes (text as UTF-8) to base64 text."""
        return b64encode(s.encode() if isinstance(s, str) else s).decode("ascii")

    def decode(self, s: str | bytes) -> bytes:
        """Base64 text to bytes."""
        return b64decode(s)


def prepare(
    body: Any,
    priority: int | None = None,
    content_type: str | None = None,
    content_encoding: str | None = None,
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A message as a dictionary; the given dictionaries are copied, not kept."""
    props = properties.copy() if properties else {}
    props["priority"] = priority or 0
    return {
        "body": body,
        "content-encoding": content_encoding,
        "content-type": content_type,
        "headers": headers.copy() if headers else {},
        "properties": props,
    }


def another(message: dict[str, Any]) -> dict[str, Any]:
    """A copy for a second queue: nothing that is stamped or mutated later is shared."""
    return {
        **message,
        "headers": dict(message["headers"] or {}),
        "properties": dict(message["properties"]),
    }


class Message(base.Message):
    """A message from a virtual transport; ``payload`` is the envelope it arrived in."""

    __slots__ = ("_raw",)

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        self._raw = payload
        properties = payload["properties"]
        body = payload["body"]
        encoding = properties.get("body_encoding")
        if encoding is not None and body is not None:
            body = channel.decode_body(body, encoding)
        super().__init__(
            body,
            channel=channel,
            delivery_tag=kwargs.pop("delivery_tag", properties.get("delivery_tag")),
            content_type=payload.get("content-type"),
            content_encoding=payload.get("content-encoding"),
            headers=payload.get("headers"),
            properties=properties,
            delivery_info=properties.get("delivery_info"),
            postencode="utf-8",
            **kwargs,
        )

    def serializable(self) -> dict[str, Any]:
        """The envelope again, as it came: fit for being put on a queue."""
        return another(self._raw)
