"""A payload as it lies in a list, and the envelope (a dictionary) that the virtual layer works with. Pure.

Payloads are JSON, as kombu 5 writes and reads them. While a message is held, its envelope has one more key,
:data:`LEASE`. It never leaves the process.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from hashlib import sha1
from json import JSONDecoder, loads
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils import json

from .replies import Unreadable

if TYPE_CHECKING:
    from .replies import Leased

__all__ = (
    "LEASE",
    "RAW",
    "Lease",
    "Places",
    "Verbatim",
    "envelope_of",
    "payload_of",
    "read_envelope",
    "split_entry",
    "undecodable",
    "write_payload",
)

#: Where an envelope has its :class:`Lease`.
LEASE = "lease"
#: In the envelope of a payload that could not be read: the error.
RAW = "raw"

#: Properties that are numbers.
STAMPS = ("expires_at", "delivery_count", "priority")

#: Encodings whose bodies are in the envelope as they are.
PLAINLY = (None, "utf-8")

_DECODER = JSONDecoder()


class Verbatim(str):
    """Text that stands in JSON as it is, such as base64: nobody has to look for what needs an escape."""

    __slots__ = ()


class Lease(NamedTuple):
    """What a connection knows of a message it holds."""

    #: The field of ``unacked``; "" when the server has forgotten the message (``no_ack``).
    tag: str
    #: The list it came from.
    level: str
    #: Its queue was declared.
    declared: bool

    @property
    def number(self) -> int:
        """Orders what the connection has claimed."""
        return int(self.tag.rpartition(".")[2] or 0)


class Places:
    """Which of a queue's messages this connection gave back last, so that each finds its old place among them."""

    def __init__(self) -> None:
        self._known: deque[tuple[int, str]] = deque(maxlen=32)

    def behind(self, number: int) -> str:
        """SHA-1s, in a row, of the payloads that were claimed before this one."""
        return "".join([digest for known, digest in self._known if known < number])

    def note(self, number: int, payload: bytes) -> None:
        """A message is given back."""
        self._known.append((number, sha1(payload, usedforsecurity=False).hexdigest()))


def read_envelope(data: Any) -> dict[str, Any]:
    """The envelope, checked: :exc:`ValueError` when the data is something else.

    What other programs leave out is filled in: only ``body`` and ``properties`` have to be there. Stamps that are no
    numbers say nothing, and are dropped.
    """
    if type(data) is not dict:
        raise ValueError(f"a message is a JSON object, not {type(data).__name__}")
    properties = data.get("properties")
    if "body" not in data or type(properties) is not dict:
        raise ValueError(
            "a message has a body and properties: this object was written by something else than kombu"
        )
    headers = data.setdefault("headers", None)
    if headers.__class__ is not dict and headers is not None:
        raise ValueError(f"the headers of a message are a JSON object, not {type(headers).__name__}")
    body, encoding = data["body"], properties.get("body_encoding")
    plainly = encoding in PLAINLY
    if not (body.__class__ is str or (plainly and isinstance(body, bytes))):
        raise ValueError(f"the body of a message is text, not {type(body).__name__}")
    if not (plainly or encoding.__class__ is str):
        raise ValueError(f"body_encoding of a message is text, not {type(encoding).__name__}")
    info = properties.get("delivery_info")
    if info.__class__ is not dict and info is not None:
        raise ValueError(f"delivery_info of a message is a JSON object, not {type(info).__name__}")
    for name in STAMPS:
        if name in properties:
            value = properties[name]
            if value.__class__ is not int and value is not None and not _is_finite(value):
                del properties[name]
    data.setdefault("content-type", None)
    data.setdefault("content-encoding", None)
    return data


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)


def envelope_of(leased: Leased | Unreadable) -> dict[str, Any]:
    """The envelope of what was claimed, or that of :func:`undecodable`."""
    if isinstance(leased, Unreadable):
        return undecodable(leased.payload, leased.queue, leased.error)
    try:
        return read_envelope(leased.message)
    except ValueError as exc:
        return undecodable(json.dumps(leased.message).encode(), leased.queue, exc)


def undecodable(payload: bytes, queue: str, error: Exception) -> dict[str, Any]:
    """An envelope for a payload that is none: the bytes are the body, and decoding it raises ``error``."""
    return {
        "body": b64encode(payload).decode(),
        "content-encoding": "binary",
        "content-type": "application/octet-stream",
        "headers": {},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
        RAW: error,
    }


def write_payload(message: dict[str, Any]) -> bytes:
    """The payload for an envelope."""
    if LEASE in message:
        message = {name: value for name, value in message.items() if name not in (LEASE, RAW)}
    body = message["body"]
    if body.__class__ is Verbatim:
        rest = message.copy()
        del rest["body"]
        return b'{"body": "%b", %b' % (body.encode(), json.dumps(rest)[1:].encode())
    text: str = json.dumps(message)
    return text.encode()


def payload_of(message: dict[str, Any]) -> bytes:
    """The payload of an envelope, byte by byte what came if that could not be read."""
    return b64decode(message["body"]) if RAW in message else write_payload(message)


def split_entry(value: bytes) -> tuple[bytes, Any, Any]:
    """What ``unacked`` says of a message: the payload's own bytes, exchange and routing key.

    Raises:
        ValueError: the value is not JSON, apart from bytes that are no UTF-8; or nested too deeply.
    """
    text = value.decode("utf-8", "surrogateescape")
    try:
        payload, end = _DECODER.raw_decode(text, 1)
        _, exchange, routing_key = loads(f"[0{text[end:]}")
    except RecursionError as exc:
        raise ValueError(str(exc)) from exc
    raw = payload if isinstance(payload, str) else text[1:end]
    return raw.encode("utf-8", "surrogateescape"), exchange, routing_key
