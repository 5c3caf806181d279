"""Checks on what is about to be published."""

from __future__ import annotations

from typing import Any

from kombu.exceptions import EncodeError, UnsupportedCapability

__all__ = ("encoded", "require_delay", "seconds")


def encoded(body: Any, content_type: str, content_encoding: str | None) -> tuple[str, Any]:
    """A body of which the caller says what it is, with its encoding."""
    if isinstance(body, str):
        content_encoding = content_encoding or "utf-8"
        return content_encoding, body.encode(content_encoding)
    if isinstance(body, (bytes, bytearray, memoryview)):
        return content_encoding or "binary", body
    raise EncodeError(
        f"a body of type {type(body).__name__} was given with content_type={content_type!r}, which means"
        " that it is encoded already: pass bytes or str, or leave content_type out and choose a serializer"
    )


def seconds(name: str, value: Any) -> float:
    """The argument ``name`` as a finite number; ValueError when it is none."""
    try:
        number = float(value)
        if number - number == 0:  # (neither infinite nor NaN)
            return number
    except (TypeError, ValueError):
        pass
    raise ValueError(f"{name} is a number of seconds, not {value!r}")


def require_delay(channel: Any) -> None:
    """Raise UnsupportedCapability unless the channel's transport can delay messages."""
    client = getattr(channel.connection, "client", None)
    transport = getattr(client, "transport", None)
    if transport is not None and not getattr(transport.implements, "delay", False):
        name = transport.driver_name or transport.driver_type
        raise UnsupportedCapability(
            f"the transport {name} cannot delay messages:"
            " publish without delay= or choose a transport that claims the capability 'delay'"
        )
