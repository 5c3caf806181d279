"""What is stored, read as kombu 5.7 wrote it: lists of ready messages, and the hash of those delivered."""

from __future__ import annotations

import json
from base64 import b64decode
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = ("", "\x06\x163", "\x06\x166", "\x06\x169")


def body(payload: dict[str, Any]) -> Any:
    """The decoded body of an envelope: JSON or text."""
    text = b64decode(payload["body"]).decode()
    return text if payload["content-type"] == "text/plain" else json.loads(text)


def snapshot(client: Any, queue: str) -> tuple[list[Any], list[Any]]:
    """The bodies that are ready (the next one first) and those delivered but not acknowledged, of one moment."""
    with client.pipeline(transaction=True) as pipe:
        for step in STEPS:
            pipe.lrange(queue + step, 0, -1)
        pipe.hvals("unacked")
        *lists, delivered = pipe.execute()
    ready = [body(json.loads(raw)) for found in lists for raw in reversed(found)]
    return ready, [body(json.loads(entry)[0]) for entry in delivered]


def ready(client: Any, queue: str) -> list[Any]:
    return snapshot(client, queue)[0]


def delivered(client: Any) -> list[Any]:
    return snapshot(client, "")[1]


def until(happened: Callable[[], Any], seconds: float, what: str) -> None:
    """Ask again and again what no event tells of; fail after ``seconds``."""
    deadline = monotonic() + seconds
    while not happened():
        assert monotonic() < deadline, f"not within {seconds:g} s: {what}"
        sleep(0.01)
