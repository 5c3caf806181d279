"""Declaring each entity once for a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.abstract import channel_of
from kombu.exceptions import ChannelError, RecoverableConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Declarations", "declare_once", "declared_entities", "forget")


class Declarations(set[Any]):
    """What was declared on one connection; ``forgotten`` changes whenever something has to be declared again."""

    __slots__ = ("forgotten",)

    def __init__(self, entities: Iterable[Any] = ()) -> None:
        super().__init__(entities)
        self.forgotten = 0

    def discard(self, entity: Any) -> None:
        self.forgotten += 1
        super().discard(entity)

    def clear(self) -> None:
        self.forgotten += 1
        super().clear()


def declare_once(entity: Any, channel: Any = None) -> bool:
    """Declare ``entity`` unless an equal one was declared on this connection before.

    Entities that may go away by themselves (``can_cache_declaration`` false) are declared every time. An
    unbound entity is declared through a bound copy; a name chosen by the broker is written back to it.

    Returns:
        bool: whether it was declared now.

    Raises:
        ChannelError: ``entity`` is not bound and no channel was given.
        RecoverableConnectionError: the channel has lost its connection.
    """
    channel = channel_of(channel)
    if channel is None:
        if not entity.is_bound:
            raise ChannelError(f"Cannot declare {entity!r}: it is not bound, and no channel was given")
        channel = entity.channel
    if not channel.connection:
        raise RecoverableConnectionError("channel disconnected")
    known = declared_entities(channel) if entity.can_cache_declaration else None
    if known is not None and entity in known:
        return False
    bound = entity if entity.is_bound else entity.bind(channel)
    bound.declare(channel=channel)
    if bound is not entity:
        entity.name = bound.name
    if known is not None:
        known.add(_snapshot(entity))
    return True


def declared_entities(channel: Any) -> set[Any] | None:
    """What was declared on the channel's connection, or None where nobody keeps count."""
    client = getattr(channel.connection, "client", None)
    return getattr(client, "declared_entities", None)


def _snapshot(entity: Any) -> Any:
    """An equal, unbound copy, which keeps no channel alive."""
    copy = entity.__copy__()
    exchange = getattr(copy, "exchange", None)
    if exchange is not None and exchange.is_bound:
        copy.exchange = exchange.__copy__()
    return copy


def forget(entity: Any, kind: type[Any]) -> None:
    """What is deleted has to be declared again, and with an exchange the queues that were bound to it."""
    known = declared_entities(entity.channel)
    for other in list(known or ()):
        if other.name == entity.name if isinstance(other, kind) else entity.name in _sources(other):
            known.discard(other)  # type: ignore[union-attr]


def _sources(entity: Any) -> list[str]:
    """Names of the exchanges that a queue is bound to."""
    routes = [getattr(entity, "exchange", None), *(b.exchange for b in getattr(entity, "bindings", ()))]
    return [getattr(exchange, "name", exchange) for exchange in routes if exchange is not None]
