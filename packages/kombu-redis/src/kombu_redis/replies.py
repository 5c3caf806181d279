"""Messages in the replies of the scripts: JSON arrays of tags and payloads, parsed as a whole.

A payload that cannot be parsed does no harm to the others: when the array as a whole does not hold exactly the expected
tags, each with an object, the payloads are looked at one by one.
"""

from __future__ import annotations

import json as stdlib
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils import json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("Leased", "Unreadable", "header_of", "leased", "parse", "raw_payload", "tags_of")


class Leased(NamedTuple):
    """A message this connection holds."""

    queue: str
    #: Key of the list it came from, to be given back to.
    level: str
    #: The field of ``unacked``.
    tag: str
    #: The payload, parsed: an object, though not necessarily an envelope.
    message: dict[str, Any]


class Unreadable(NamedTuple):
    """A payload this connection holds, which is not a JSON object."""

    queue: str
    level: str
    tag: str
    payload: bytes
    error: Exception


#: Where consecutive tags come from: queue, level, how many.
Run = tuple[str, str, int]


def header_of(reply: bytes) -> list[Any]:
    """The first element of the array, which is JSON whatever comes after it."""
    first, *others = reply.split(b",\n", 1)
    header: list[Any] = stdlib.loads(first[1:] if others else first[1:-1])
    return header


def tags_of(prefix: str, first: int, count: int) -> list[str]:
    """The tags that a script makes."""
    return [f"{prefix}{number:09d}" for number in range(first, first + count)]


def parse(reply: bytes, tags: Sequence[str]) -> list[Any] | None:
    """The array, if it is ``[header, tag, object, tag, object, ..]`` with exactly these tags; None otherwise."""
    try:
        data: list[Any] = json.loads(reply.decode())
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if data[1::2] != tags:
        return None
    for message in data[2::2]:
        if type(message) is not dict:
            return None
    return data


def leased(
    reply: bytes,
    runs: Sequence[Run],
    tags: Sequence[str],
    values: Callable[[Sequence[str]], list[bytes | None]],
) -> tuple[list[Leased], list[Unreadable]]:
    """The messages of a reply.

    Arguments:
        values: reads from ``unacked``; called when the reply cannot be parsed.
    """
    data = parse(reply, tags)
    if data is None:
        return _one_by_one(runs, tags, values(tags))
    messages: list[Leased] = []
    at = 1
    for queue, level, count in runs:
        end = at + 2 * count
        messages += [
            Leased(queue, level, tag, message)
            for tag, message in zip(data[at:end:2], data[at + 1 : end : 2], strict=True)
        ]
        at = end
    return messages, []


def _one_by_one(
    runs: Sequence[Run], tags: Sequence[str], values: Sequence[bytes | None]
) -> tuple[list[Leased], list[Unreadable]]:
    messages, unreadable = [], []
    places = [(queue, level) for queue, level, count in runs for _ in range(count)]
    for (queue, level), tag, value in zip(places, tags, values, strict=True):
        if value is None:  # the lease has ended meanwhile
            continue
        payload = raw_payload(value)
        try:
            message = json.loads(payload.decode())
            if type(message) is not dict:
                raise ValueError(f"a message is a JSON object, not {type(message).__name__}")
        except (ValueError, TypeError, LookupError, RecursionError) as exc:
            unreadable.append(Unreadable(queue, level, tag, payload, exc))
        else:
            messages.append(Leased(queue, level, tag, message))
    return messages, unreadable


def raw_payload(value: bytes) -> bytes:
    """The payload's own bytes, out of a value that one of our scripts has put in ``unacked`` (see common.lua)."""
    end = value.rfind(b', "", "')
    if value[:1] != b"[" or end < 0:
        return value
    text = value[1:end]
    if text[:1] == b'"':
        # Latin-1 maps bytes to the characters of the same number; the script has escaped but ASCII.
        decoded: str = stdlib.loads(text.decode("latin-1"))
        return decoded.encode("latin-1")
    return text
