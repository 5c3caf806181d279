"""Message attributes, both ways: plain Python values or boto3's dictionaries. Pure.

SQS (Message attributes): at most ten, of the types String, Number and Binary; name, type and value count towards the
message's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("from_aws", "size_of", "to_aws")

LIMIT = 10


def to_aws(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Attributes as the API takes them: text is a String, a number a Number, bytes are Binary.

    Raises:
        ValueError: there are too many, or a value has no type at SQS.
    """
    if not isinstance(attributes, Mapping):
        raise ValueError(f"message_attributes: {attributes!r} is not a dictionary of names and values")
    if len(attributes) > LIMIT:
        raise ValueError(f"{len(attributes)} message attributes: SQS takes {LIMIT} at most")
    return {name: _typed(name, value) for name, value in attributes.items()}


def _typed(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and isinstance(value.get("DataType"), str):
        if isinstance(value.get("StringValue"), str) or isinstance(value.get("BinaryValue"), bytes):
            return value
        raise ValueError(
            f"message attribute {name!r}: {value!r} has no text StringValue, nor bytes BinaryValue"
        )
    if isinstance(value, str) and value:
        return {"DataType": "String", "StringValue": value}
    if isinstance(value, (bytes, bytearray)) and value:
        return {"DataType": "Binary", "BinaryValue": bytes(value)}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"DataType": "Number", "StringValue": str(value)}
    raise ValueError(f"message attribute {name!r}: {value!r} is not text, bytes (not empty) or a number")


def from_aws(attributes: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Attributes as they were received: name -> DataType and StringValue or BinaryValue."""
    return {name: dict(value) for name, value in (attributes or {}).items()}


def size_of(attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes that the attributes add to the message."""
    total = 0
    for name, value in attributes.items():
        content = value.get("StringValue", value.get("BinaryValue", ""))
        total += len(name.encode()) + len(value["DataType"])
        total += len(content.encode() if isinstance(content, str) else content)
    return total
