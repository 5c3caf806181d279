"""A message as RabbitMQ delivered it."""

from __future__ import annotations

from typing import Any

from kombu.message import Message as BaseMessage

__all__ = ("Message",)


class Message(BaseMessage):
    """A delivery; see :class:`kombu.message.Message`.

    Arguments:
        msg: the driver's message.
    """

    def __init__(self, msg: Any, channel: Any = None, **kwargs: Any) -> None:
        properties = msg.properties
        info = msg.delivery_info
        super().__init__(
            msg.body or b"",  # (the driver has text for no body)
            info["delivery_tag"] if info else None,
            properties.get("content_type"),
            properties.get("content_encoding"),
            info,
            properties,
            properties.get("application_headers") or {},
            channel=channel,
            **kwargs,
        )
