"""A payload as it lies in a list, and the envelope (a dictionary) that the virtual layer works with. Pure.

Payloads are JSON, as kombu 5 writes and reads them. While a message is held, its envelope has one more key,
:data:`LEASE`: the tag of the lease. It never leaves the process.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from kombu.utils import json

__all__ = ("LEASE", "RAW", "undecodable", "read_envelope", "write_payload")

#: The tag under which the server remembers that this process has the message.
LEASE = "lease"
#: In the envelope of a payload that could not be read: the error.
RAW = "raw"


def read_envelope(data: Any) -> dict[str, Any]:
    """The envelope, checked: :exc:`ValueError` when the data is something else.

    What other programs leave out is filled in: only ``body`` and ``properties`` have to be there.
    """
    if type(data) is not dict:
        raise ValueError(f"a message is a JSON object, not {type(data).__name__}")
    properties = data.get("properties")
    if "body" not in data or type(properties) is not dict:
        raise ValueError("a message has a body and properties: this object was written by something else than kombu")
    data.setdefault("headers", None)
    data.setdefault("content-type", None)
    data.setdefault("content-encoding", None)
    return data


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
        message = {name: value for name, value in message.items() if name != LEASE}
    text: str = json.dumps(message)
    return text.encode()
