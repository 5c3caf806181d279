"""From kombu's envelope to the body of an SQS message and back. Pure.

Three formats are sent, as ``body_format`` says:

``base64``  the envelope as JSON, as base64 text: what kombu 5 sends and reads
``json``    the envelope as JSON text: a quarter smaller; kombu 5 reads it as well
``raw``     the body alone; headers and the content type travel as message attributes

All are read, without guessing: a body is an envelope when it is a JSON object with an envelope's keys, and values of
the right types, as it stands or in base64. Any other text is a foreign body and is handed on as it is.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Any

from kombu.utils.json import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("OUTSIDE", "Letter", "decode", "encode", "encode_raw", "foreign", "to_base64")

#: Message attributes of the format ``raw``.
CONTENT_TYPE, CONTENT_ENCODING, HEADERS = "kombu.content-type", "kombu.content-encoding", "kombu.headers"

#: What SQS takes in a body (SendMessage, MessageBody).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_ENVELOPE = frozenset(("body", "content-encoding", "content-type", "headers", "properties"))
#: Types that JSON gives to what is looked at.
_TEXT, _INFO, _TIME = (str, type(None)), (dict, type(None)), (int, float, type(None))
#: How base64 of JSON text of an object begins.
_BASE64_OBJECT = ("eyJ", "eyA", "ewo", "ew0")

#: Properties that are for SQS itself and not for the envelope.
OUTSIDE = frozenset(("message_attributes", "MessageGroupId", "MessageDeduplicationId", "DelaySeconds"))


class Letter(dict[str, Any]):
    """An envelope that came from SQS; ``held`` is what settles it. A copy is a plain dictionary."""

    __slots__ = ("held",)
    held: Any


def encode(message: Mapping[str, Any], base64: bool) -> str:
    """The envelope as the body of an SQS message."""
    properties = message["properties"]
    if not OUTSIDE.isdisjoint(properties):
        properties = {name: value for name, value in properties.items() if name not in OUTSIDE}
    body = message["body"]
    rest = {
        "content-encoding": message["content-encoding"],
        "content-type": message["content-type"],
        "headers": message["headers"],
        "properties": properties,
    }
    if properties.get("body_encoding") == "base64" and '"' not in body and "\\" not in body:
        # (base64 text is long, and nothing in it needs escaping)
        text = f'{{"body": "{body}", {dumps(rest)[1:]}'
    else:
        text = dumps({"body": body, **rest})
    return to_base64(text) if base64 else text


def to_base64(content: str | bytes) -> str:
    """Base64 text, of text as UTF-8."""
    return b2a_base64(content.encode() if isinstance(content, str) else content, newline=False).decode(
        "ascii"
    )


def encode_raw(body: Any, message: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The body alone, and the message attributes that say the rest.

    Raises:
        ValueError: SQS does not take the body; the text says which character.
    """
    if isinstance(body, (bytes, bytearray, memoryview)):
        try:
            body = bytes(body).decode()
        except UnicodeDecodeError as exc:
            raise ValueError(
                f"body_format 'raw' is for text, and this body is not UTF-8 ({exc.reason} at byte {exc.start}):"
                " choose another serializer, or body_format 'json' or 'base64'"
            ) from None
    bad = _FORBIDDEN.search(body)
    if bad or not body:
        what = f"character {bad[0]!r} at {bad.start()}" if bad else "an empty body"
        raise ValueError(f"SQS does not take {what}: use body_format 'json' or 'base64' for such messages")
    attributes: dict[str, Any] = {}
    for name, value in (
        (CONTENT_TYPE, message["content-type"]),
        (CONTENT_ENCODING, message["content-encoding"]),
        (HEADERS, dumps(message["headers"]) if message["headers"] else None),
    ):
        if value:
            attributes[name] = {"DataType": "String", "StringValue": value}
    return body, attributes


def decode(text: str, attributes: Mapping[str, Any], raw: bool = False) -> Letter:
    """The envelope in a body; a foreign body becomes the body of a new one.

    Arguments:
        attributes: the message attributes, as received.
        raw: the queue's format is ``raw``: no envelope is looked for.
    """
    if not raw:
        found = _envelope(text)
        if found is not None:
            return found
    return foreign(text, attributes)


def _envelope(text: str) -> Letter | None:
    """The envelope that the text is, as JSON or as JSON in base64; None when it is none."""
    if text.startswith(_BASE64_OBJECT):
        try:
            text = b64decode(text, validate=True).decode()
        except ValueError:
            return None
    elif not text.startswith("{"):
        return None
    try:
        value = loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value.keys() >= _ENVELOPE or not _well_formed(value):
        return None
    return Letter(value)


def _well_formed(value: dict[str, Any]) -> bool:
    """Whether everything that is looked at on a message's way in is what it should be.

    If so, no headers become ``{}``, and a body in base64 becomes the bytes that it is.
    """
    body, properties, headers = value["body"], value["properties"], value["headers"]
    if not (
        body.__class__ is str
        and properties.__class__ is dict
        and (headers.__class__ is dict or headers is None)
        and value["content-type"].__class__ in _TEXT
        and value["content-encoding"].__class__ in _TEXT
        and properties.get("delivery_info").__class__ in _INFO
        and properties.get("expires_at").__class__ in _TIME
    ):
        return False
    if headers is None:
        value["headers"] = {}
    encoding = properties.pop("body_encoding", None)
    if encoding == "base64":
        try:
            value["body"] = a2b_base64(body)
        except ValueError:
            return False
    return encoding in (None, "base64", "utf-8")


def foreign(text: str, attributes: Mapping[str, Any]) -> Letter:
    """An envelope around a body that kombu did not write, or that was sent ``raw``. The text is kept as it is."""
    content_type = _text(attributes, CONTENT_TYPE) or _content_type(text)
    return Letter(
        {
            "body": text.encode(errors="surrogatepass"),
            "content-type": content_type,
            "content-encoding": _text(attributes, CONTENT_ENCODING) or "utf-8",
            "headers": _headers(_text(attributes, HEADERS)),
            "properties": {},
        }
    )


def _headers(text: str | None) -> dict[str, Any]:
    """The headers in an attribute; none when that is not JSON of an object."""
    try:
        found = loads(text) if text else {}
    except (ValueError, RecursionError):
        found = {}
    return found if isinstance(found, dict) else {}


def _text(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return None if value is None else value.get("StringValue")


def _content_type(text: str) -> str:
    """``application/json`` for a JSON object or array, as SNS and S3 send them; else ``text/plain``."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            loads(text, object_hook=None)
        except (ValueError, RecursionError):
            return "text/plain"
        return "application/json"
    return "text/plain"
