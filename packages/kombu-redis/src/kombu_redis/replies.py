"""Messages in the replies of the scripts: ``[header, payload, payload, ..]``, the header being JSON.

The payloads are parsed as one JSON array, which takes half the time. One that is no JSON does no harm to the others:
then each is parsed by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.utils import json
from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Leased", "Parser", "Run", "Unreadable")

#: How the payloads of all versions of kombu begin.
BODY = b'{"body": "'

#: Bytes from which it pays to have the JSON parser not look at the body: a quarter of the time for 64 KB.
LONG = 2048

#: What parsing JSON, or reading one of kombu's types in it, may raise.
ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


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


#: Consecutive payloads of a reply, and their consecutive tags: queue, level, how many.
Run = tuple[str, str, int]


class Parser:
    """Parses payloads together.

    Between them goes a string that nobody can know beforehand, so that payloads which are no JSON by themselves cannot
    make up for each other.
    """

    __slots__ = ("_between", "_mark")

    def __init__(self) -> None:
        self._mark = uuid()
        self._between = f',"{self._mark}",'.encode()

    def messages(
        self, payloads: Sequence[bytes], runs: Sequence[Run], prefix: str, first: int
    ) -> tuple[list[Leased], list[Unreadable]]:
        """The messages of a reply.

        Arguments:
            prefix: with numbers from ``first`` on, the tags; "" for messages that have none.
        """
        parsed = self.parse(payloads)
        if parsed is None:
            return _one_by_one(payloads, runs, prefix, first)
        messages: list[Leased] = []
        at = 0
        for queue, level, count in runs:
            for message in parsed[at : at + count] if count < len(parsed) else parsed:
                messages.append(Leased(queue, level, prefix and f"{prefix}{first:09d}", message))
                first += 1
            at += count
        return messages, []

    def parse(self, payloads: Sequence[bytes]) -> list[Any] | None:
        """The objects that the payloads are; None when one of them is none."""
        bodies: dict[int, bytes] = {}
        for at, payload in enumerate(payloads):
            if len(payload) > LONG:
                body, rest = _apart(payload)
                if body:
                    bodies[at] = body
                    payloads = [*payloads[:at], rest, *payloads[at + 1 :]]
        try:
            if len(payloads) == 1:
                parsed = [json.loads(payloads[0].decode())]
            else:
                data: list[Any] = json.loads((b"[%b]" % self._between.join(payloads)).decode())
                if data[1::2] != [self._mark] * (len(payloads) - 1):
                    return None
                parsed = data[::2]
            for message in parsed:
                if type(message) is not dict:
                    return None
            for at, body in bodies.items():
                parsed[at].setdefault("body", body.decode("ascii"))
        except ERRORS:
            return None
        return parsed


def _apart(payload: bytes) -> tuple[bytes, bytes]:
    """The body, if it is text without escapes, and the JSON of the rest; else nothing and everything."""
    end = payload.find(b'"', len(BODY)) if payload.startswith(BODY) else 0
    body = payload[len(BODY) : end]
    if not body or b"\\" in body or not payload.startswith(b'", ', end):
        return b"", payload
    return body, b"{" + payload[end + 3 :]


def _one_by_one(
    payloads: Sequence[bytes], runs: Sequence[Run], prefix: str, first: int
) -> tuple[list[Leased], list[Unreadable]]:
    messages, unreadable = [], []
    places = [(queue, level) for queue, level, count in runs for _ in range(count)]
    for (queue, level), payload in zip(places, payloads, strict=True):
        tag = prefix and f"{prefix}{first:09d}"
        first += 1
        try:
            message = json.loads(payload.decode())
            if type(message) is not dict:
                raise ValueError(f"a message is a JSON object, not {type(message).__name__}")
        except ERRORS as exc:
            unreadable.append(Unreadable(queue, level, tag, payload, exc))
        else:
            messages.append(Leased(queue, level, tag, message))
    return messages, unreadable
