"""A store as the transport makes it, and messages to put in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from kombu_redis.keys import Keys
from kombu_redis.options import Options
from kombu_redis.store import Limits, Source, Store, Target
from tests.unit.kombu_redis.support_client import client_to

__all__ = ("Shop", "let_leases_end", "number_of", "payload", "shop_at")


def payload(number: int, body: str = "e30=", **properties: Any) -> bytes:
    """An envelope that is told from others by its number."""
    properties |= {"body_encoding": "base64", "delivery_tag": f"tag-{number}", "number": number}
    properties["delivery_info"] = {"exchange": "", "routing_key": "work"}
    message = {"body": body, "content-encoding": "utf-8", "content-type": "application/json", "headers": {}}
    return json.dumps({**message, "properties": properties}).encode()


def number_of(message: dict[str, Any]) -> int:
    return int(message["properties"]["number"])


class Shop:
    """A store with its keys, and short names for what tests do with it."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self.store = store
        self.keys = keys
        self.prefix = f"{uuid4().hex}."
        self.next = 1

    def outlet(self, *queues: str, step: int = 0, limits: Limits | None = None, **more: Any) -> Any:
        targets = [Target(queue, self.keys.level(queue, step), limits) for queue in queues]
        return self.store.outlet(targets, **more)

    def push(self, *numbers: int, queue: str = "work", **properties: Any) -> None:
        outcome = self.store.push(self.outlet(queue), [payload(number, **properties) for number in numbers])
        assert outcome == (None, (), (), (), 0, frozenset())

    def claim(self, each: int = 100, *queues: str, **more: Any) -> Any:
        sources = tuple(Source(queue) for queue in queues or ("work",))
        claimed = self.store.claim(sources, [each] * len(sources), self.prefix, self.next, **more)
        self.next = claimed.next
        return claimed

    def take(self, each: int = 100, *queues: str) -> list[int]:
        """Claim, and forget the leases: the numbers of the messages."""
        return [number_of(leased.message) for leased in self.claim(each, *queues).messages]


@contextmanager
def shop_at(url: str, **options: Any) -> Iterator[Shop]:
    with client_to(url, **options) as client:
        parsed = Options.parse(options)
        keys = Keys(parsed, client.address.db)
        yield Shop(Store(client, keys, parsed), keys)


def let_leases_end(redis: Any) -> None:
    """As if time had passed: every lease is over, in the order it was to end."""
    for place, tag in enumerate(redis.zrange("unacked_index", 0, -1)):
        redis.zadd("unacked_index", {tag: place})
