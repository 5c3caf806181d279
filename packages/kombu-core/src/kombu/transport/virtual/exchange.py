"""Exchange types as classes, and the broker's state by its historic names.

The routing itself is in :mod:`.routing` and :mod:`.tables`. A transport that has an exchange type of its own, or keeps
its bindings at the broker and lists them in ``get_table``, is routed by these classes instead.
"""

from __future__ import annotations

import re
from collections import namedtuple
from typing import TYPE_CHECKING, Any

from .routing import Topology
from .tables import TopicTable, headers_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = (
    "STANDARD_EXCHANGE_TYPES",
    "BrokerState",
    "DirectExchange",
    "ExchangeType",
    "FanoutExchange",
    "HeadersExchange",
    "TopicExchange",
    "binding_key_t",
    "queue_binding_t",
)

binding_key_t = namedtuple("binding_key_t", ("queue", "exchange", "routing_key"))
queue_binding_t = namedtuple("queue_binding_t", ("exchange", "routing_key", "arguments"))

#: One row of ``get_table``: routing key, pattern, queue.
Row = tuple[str, "str | None", str]


class ExchangeType:
    """How one type of exchange finds queues in the rows of ``get_table``."""

    type: str | None = None

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def lookup(self, table: Iterable[Row], exchange: str, routing_key: str, default: Any) -> Iterable[str]:
        """The queues for this routing key."""
        raise NotImplementedError(f"{type(self).__name__}.lookup")

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> tuple[str, str | None, str]:
        """The row that stands for a binding."""
        return routing_key, None, queue

    def equivalent(
        self,
        prev: Mapping[str, Any],
        exchange: str,
        type: str,
        durable: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> bool:
        """Whether a declaration agrees with the existing exchange ``prev`` (a mapping of its properties)."""
        wanted = (type, durable, auto_delete, arguments or {})
        return wanted == (prev["type"], prev["durable"], prev["auto_delete"], prev["arguments"] or {})


class _Delivering(ExchangeType):
    def deliver(self, message: dict[str, Any], exchange: str, routing_key: str, **kwargs: Any) -> None:
        """Put the message on every queue found."""
        for queue in self.channel._lookup(exchange, routing_key):
            self.channel._put(queue, message, **kwargs)


class DirectExchange(_Delivering):
    """Routing key equal to binding key."""

    type = "direct"

    def lookup(self, table: Iterable[Row], exchange: str, routing_key: str, default: Any) -> set[str]:
        return {queue for key, _, queue in table if key == routing_key}


class TopicExchange(_Delivering):
    """``*`` one word, ``#`` zero or more."""

    type = "topic"
    #: What a wildcard is as a regular expression, in the patterns that are kept with a binding.
    wildcards: dict[str, str] = {"*": r"[^\.]+", "#": r".*?"}

    def lookup(self, table: Iterable[Row], exchange: str, routing_key: str, default: Any) -> set[str]:
        matcher = TopicTable()
        for key, _, queue in table:
            matcher.add(("queue", queue), key, {})
        return {queue for _, queue in matcher.match(routing_key, {})}

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> tuple[str, str | None, str]:
        return routing_key, self.key_to_pattern(routing_key), queue

    def key_to_pattern(self, rkey: str) -> str:
        """The binding key as a regular expression, as other versions of kombu read it."""
        words = (self.wildcards.get(word, re.escape(word)) for word in rkey.split("."))
        return "^" + r"\.".join(words) + "$"


class FanoutExchange(ExchangeType):
    """Everything bound, whatever the keys."""

    type = "fanout"

    def lookup(self, table: Iterable[Row], exchange: str, routing_key: str, default: Any) -> set[str]:
        return {queue for _, _, queue in table}

    def deliver(self, message: dict[str, Any], exchange: str, routing_key: str, **kwargs: Any) -> None:
        """Broadcast the message at the backend."""
        self.channel._put_fanout(exchange, message, routing_key, **kwargs)


class HeadersExchange(_Delivering):
    """Headers against the binding's arguments; rows have no arguments, so a table alone matches nothing."""

    type = "headers"

    def lookup(self, table: Iterable[Row], exchange: str, routing_key: str, default: Any) -> set[str]:
        return set()

    matches = staticmethod(headers_match)


STANDARD_EXCHANGE_TYPES: dict[str, type[ExchangeType]] = {
    "direct": DirectExchange,
    "topic": TopicExchange,
    "fanout": FanoutExchange,
    "headers": HeadersExchange,
}


class BrokerState(Topology):
    """The topology, also by the names that transports have called for years."""

    if not TYPE_CHECKING:  # set by the constructor; named here for who lists the contract
        exchanges = None

    def __init__(self, exchanges: Mapping[str, Any] | None = None, vhost: str = "/") -> None:
        super().__init__(vhost)
        if exchanges:
            self.exchanges.update(exchanges)

    @property
    def queue_index(self) -> dict[str, set[binding_key_t]]:
        """Queue -> its bindings."""
        index: dict[str, set[binding_key_t]] = {}
        for key in self.bindings:
            index.setdefault(key.queue, set()).add(key)
        return index

    @property
    def bindings(self) -> dict[binding_key_t, Mapping[str, Any]]:
        """(queue, exchange, routing key) -> arguments of every binding of a queue."""
        return {
            binding_key_t(name, exchange, key): arguments
            for (kind, name), exchange, key, arguments in self.each_binding()
            if kind == "queue"
        }

    def has_binding(self, queue: str, exchange: str, routing_key: str) -> bool:
        return binding_key_t(queue, exchange, routing_key) in self.bindings

    def binding_declare(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> None:
        """Bind; the exchange is made a direct one when it is unknown."""
        if exchange not in self.exchanges:
            self.declare_exchange(exchange)
        self.bind(("queue", queue), exchange, routing_key, arguments)

    def binding_delete(self, queue: str, exchange: str, routing_key: str) -> None:
        """Remove the bindings with this key, whatever their arguments."""
        for source, key, arguments in self.bindings_of(("queue", queue)):
            if (source, key) == (exchange, routing_key):
                self.unbind(("queue", queue), source, key, arguments)

    def queue_bindings(self, queue: str) -> Iterator[queue_binding_t]:
        """(exchange, routing key, arguments) of each binding of the queue."""
        return (queue_binding_t(*row) for row in self.bindings_of(("queue", queue)))

    def queue_bindings_delete(self, queue: str) -> None:
        """Remove all bindings of the queue."""
        self.unbind_all(("queue", queue))
