"""Exchanges, and the bindings that lead from them."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.abstract import MaybeChannelBound, Object, warn_of_unknown
from kombu.entity.declaring import forget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Self

    from kombu.entity.queue import Queue

__all__ = ("Exchange", "binding", "maybe_delivery_mode", "name_of", "pretty_bindings")

TRANSIENT_DELIVERY_MODE = 1
PERSISTENT_DELIVERY_MODE = 2
DELIVERY_MODES = {"transient": TRANSIENT_DELIVERY_MODE, "persistent": PERSISTENT_DELIVERY_MODE}

#: Exchanges with this prefix belong to the broker and are never declared.
INTERNAL_EXCHANGE_PREFIX = ("amq.",)


def maybe_delivery_mode(
    v: Any, modes: Mapping[str, int] | None = None, default: int | None = PERSISTENT_DELIVERY_MODE
) -> Any:
    """The delivery mode as AMQP's number: 1 transient, 2 persistent; None is ``default``.

    Raises:
        ValueError: a name that is neither of the two.
    """
    if not v:
        return default
    if isinstance(v, str):
        known = modes or DELIVERY_MODES
        if v not in known:
            raise ValueError(f"delivery_mode {v!r} is not known: use 1, 2 or {' or '.join(sorted(known))}")
        return known[v]
    return v


def name_of(entity: Any) -> str:
    """The name of an exchange or queue, given as a declaration or by its name."""
    return getattr(entity, "name", entity) or ""


class Exchange(MaybeChannelBound):
    """An exchange: where messages are sent to, and what routes them to queues.

    Two exchanges are equal when their declarations are; ``no_declare`` and ``passive`` do not count.

    Arguments:
        name: empty is the broker's default exchange, which routes to the queue named by the routing key.
        type: ``direct`` (the default), ``topic``, ``fanout``, ``headers`` or what the broker has besides.
        channel: bind to this channel or connection at once.
        durable: survives a restart of the broker (the default).
        auto_delete: goes away when its last binding does.
        delivery_mode: of messages published here: 1 or ``transient``, 2 or ``persistent`` (the default).
        arguments: further arguments of ``exchange.declare``, such as ``alternate-exchange``.
        passive: only assert that it exists.
        no_declare: never declare it.
    """

    __module__ = "kombu.entity"  # where pickles look for it

    TRANSIENT_DELIVERY_MODE = TRANSIENT_DELIVERY_MODE
    PERSISTENT_DELIVERY_MODE = PERSISTENT_DELIVERY_MODE

    name = ""
    type = "direct"
    durable: bool = True
    auto_delete: bool = False
    passive: bool = False
    delivery_mode: int | None = None
    no_declare: bool = False
    arguments: dict[str, Any] | None

    attrs: ClassVar[tuple[tuple[str, Callable[[Any], Any] | None], ...]] = (
        ("name", None),
        ("type", None),
        ("arguments", None),
        ("durable", bool),
        ("passive", bool),
        ("auto_delete", bool),
        ("delivery_mode", maybe_delivery_mode),
        ("no_declare", bool),
    )
    _identity = attrgetter("name", "type", "arguments", "durable", "auto_delete", "delivery_mode")

    def __init__(self, name: str = "", type: str = "", channel: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kwargs:
            warn_of_unknown(self.__class__, kwargs)
        self.name = name or self.name
        self.type = type or self.type
        self.maybe_bind(channel)

    def __copy__(self) -> Self:
        """Not bound; by its attributes, since a pool's producers copy their exchange for each message."""
        copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(self.__dict__)
        copied.__dict__.pop("_channel", None)
        copied.__dict__.pop("_is_bound", None)
        return copied

    def __hash__(self) -> int:
        return hash(("E", self.name))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Exchange):
            identity = Exchange._identity
            return bool(identity(self) == identity(other))
        return NotImplemented

    def _can_declare(self) -> bool:
        return bool(self.name) and not self.no_declare and not self.name.startswith(INTERNAL_EXCHANGE_PREFIX)

    def declare(self, nowait: bool = False, passive: bool | None = None, channel: Any = None) -> Any:
        """Create the exchange on the broker; with ``passive`` only assert that it is there.

        The default exchange and the broker's own (``amq.``) are left alone.
        """
        if self._can_declare():
            return (channel or self.channel).exchange_declare(
                exchange=self.name,
                type=self.type,
                durable=self.durable,
                auto_delete=self.auto_delete,
                arguments=self.arguments,
                nowait=nowait,
                passive=self.passive if passive is None else passive,
            )

    def bind_to(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Have ``exchange`` pass what matches ``routing_key`` on to this exchange."""
        return (channel or self.channel).exchange_bind(
            destination=self.name,
            source=name_of(exchange),
            routing_key=routing_key,
            nowait=nowait,
            arguments=arguments,
        )

    def unbind_from(
        self,
        source: Exchange | str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: dict[str, Any] | None = None,
        channel: Any = None,
    ) -> Any:
        """Undo :meth:`bind_to`."""
        return (channel or self.channel).exchange_unbind(
            destination=self.name,
            source=name_of(source),
            routing_key=routing_key,
            nowait=nowait,
            arguments=arguments,
        )

    def Message(
        self,
        body: Any,
        delivery_mode: int | str | None = None,
        properties: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A message ready to be given to :meth:`publish`.

        Arguments:
            body: bytes, or text, which is sent as ``content_encoding`` (UTF-8 when not given).
            kwargs: ``priority``, ``content_type``, ``content_encoding`` and ``headers``.
        """
        mode = maybe_delivery_mode(delivery_mode or self.delivery_mode)
        if isinstance(body, str) and kwargs.get("content_encoding") is None:
            kwargs["content_encoding"] = "utf-8"
        properties = {**(properties or {}), "delivery_mode": mode}
        return self.channel.prepare_message(body, properties=properties, **kwargs)

    def publish(
        self,
        message: Any,
        routing_key: str | None = None,
        mandatory: bool = False,
        immediate: bool = False,
        exchange: Exchange | str | None = None,
    ) -> Any:
        """Publish what :meth:`Message` made, or a plain text or bytes body."""
        if isinstance(message, (str, bytes)):
            message = self.Message(message)
        return self.channel.basic_publish(
            message,
            exchange=name_of(exchange) or self.name,
            routing_key=routing_key,
            mandatory=mandatory,
            immediate=immediate,
        )

    def delete(self, if_unused: bool = False, nowait: bool = False) -> Any:
        """Delete the exchange on the broker; with ``if_unused`` only when nothing is bound to it."""
        forget(self, Exchange)
        return self.channel.exchange_delete(exchange=self.name, if_unused=if_unused, nowait=nowait)

    def binding(
        self,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        unbind_arguments: dict[str, Any] | None = None,
    ) -> binding:
        """A binding from this exchange, for ``Queue(bindings=...)``."""
        return binding(self, routing_key, arguments, unbind_arguments)

    def __repr__(self) -> str:
        return self._repr_entity(str(self) if self.name else f"Exchange ''({self.type})")

    def __str__(self) -> str:
        return f"Exchange {self.name}({self.type})" if self.name else f"Exchange ''({self.type})"

    @property
    def can_cache_declaration(self) -> bool:
        """Whether it stays once declared."""
        return not self.auto_delete


class binding(Object):  # noqa: N801 - historic name
    """From which exchange, with which routing key, messages come to a queue or exchange.

    Arguments:
        exchange: the source: an :class:`Exchange`, or the name of one that exists.
        routing_key: the binding key.
        arguments: of ``queue.bind``, such as ``x-match`` and the headers to match.
        unbind_arguments: of ``queue.unbind``.
    """

    __module__ = "kombu.entity"  # where pickles look for it

    exchange: Exchange | str | None
    routing_key: str
    arguments: dict[str, Any] | None
    unbind_arguments: dict[str, Any] | None

    attrs: ClassVar[tuple[tuple[str, Callable[[Any], Any] | None], ...]] = (
        ("exchange", None),
        ("routing_key", None),
        ("arguments", None),
        ("unbind_arguments", None),
    )

    def __init__(
        self,
        exchange: Exchange | str | None = None,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        unbind_arguments: dict[str, Any] | None = None,
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.arguments = arguments
        self.unbind_arguments = unbind_arguments

    def __hash__(self) -> int:
        return hash(("b", name_of(self.exchange), self.routing_key))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, binding):
            return self.as_dict() == other.as_dict()
        return NotImplemented

    def declare(self, channel: Any, nowait: bool = False) -> Any:
        """Declare the source exchange, unless it is given by name only."""
        if isinstance(self.exchange, Exchange):
            return self.exchange.declare(channel=channel, nowait=nowait)

    def bind(self, entity: Exchange | Queue, nowait: bool = False, channel: Any = None) -> Any:
        """Bind ``entity`` to the source."""
        return entity.bind_to(
            exchange=self.exchange or "",
            routing_key=self.routing_key,
            arguments=self.arguments,
            nowait=nowait,
            channel=channel,
        )

    def unbind(self, entity: Exchange | Queue, nowait: bool = False, channel: Any = None) -> Any:
        """Undo :meth:`bind`."""
        return entity.unbind_from(
            self.exchange or "",
            routing_key=self.routing_key,
            arguments=self.unbind_arguments,
            nowait=nowait,
            channel=channel,
        )

    def __repr__(self) -> str:
        return f"<binding: {self}>"

    def __str__(self) -> str:
        return f"{name_of(self.exchange) or repr('')}->{self.routing_key or repr('')}"


def pretty_bindings(bindings: Iterable[binding]) -> str:
    """A short text for several bindings."""
    return f"[{', '.join(sorted(map(str, bindings)))}]"
