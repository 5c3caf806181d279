"""A message as RabbitMQ delivered it."""

from __future__ import annotations

from typing import Any

from kombu.exceptions import DecodeError
from kombu.message import Message as BaseMessage

__all__ = ("Message", "Outgoing", "delivered", "unreadable")


class Message(BaseMessage):
    """A delivery; see :class:`kombu.message.Message`.

    Arguments:
        msg: the driver's message.
    """

    def __init__(self, msg: Any, channel: Any = None, **kwargs: Any) -> None:
        properties = msg.properties
        info = msg.delivery_info
        super().__init__(
            msg.body or _empty(properties),
            info["delivery_tag"] if info else None,
            properties.get("content_type"),
            properties.get("content_encoding"),
            info,
            properties,
            properties.get("application_headers") or {},
            channel=channel,
            **kwargs,
        )
        fault = getattr(msg, "fault", None)
        if fault is not None:
            self.errors = unreadable(fault)


_new = BaseMessage.__new__
_init = BaseMessage.__init__


def delivered(
    kind: type[Any], channel: Any, body: bytes | str, tag: int, properties: dict[str, Any], info: dict[str, Any]
) -> Any:
    """A message of class ``kind`` from the parts of a delivery."""
    message = _new(kind)
    if not body:
        body = _empty(properties)
    get = properties.get
    _init(
        message,
        body,
        tag,
        get("content_type"),
        get("content_encoding"),
        info,
        properties,
        get("application_headers"),
        None,
        None,
        channel,
    )
    return message


def unreadable(fault: Exception) -> list[Any]:
    """The ``errors`` of a message whose properties are malformed: it can be settled, and not decoded."""
    error = DecodeError(f"the properties of the message are malformed, so it came without them: {fault}")
    error.__cause__ = fault
    return [(DecodeError, error, None)]


class Outgoing:
    """A message to be published: its ``body`` and its AMQP ``properties`` (None is not set)."""

    __slots__ = ("body", "properties")

    def __init__(self, body: Any, **properties: Any) -> None:
        self.body = body
        self.properties = properties

    @property
    def headers(self) -> Any:
        return self.properties.get("application_headers")


def _empty(properties: dict[str, Any]) -> bytes | str:
    """No body: nothing is decoded then, so it has to be of the right type by itself."""
    return b"" if properties.get("content_encoding") in (None, "binary") else ""
