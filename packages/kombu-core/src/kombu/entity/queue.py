"""Queues: what they are, where their messages come from, and how they are consumed."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.abstract import MaybeChannelBound, warn_of_unknown
from kombu.entity.declaring import forget
from kombu.entity.exchange import Exchange, binding, name_of, pretty_bindings
from kombu.exceptions import ContentDisallowed
from kombu.serialization import prepare_accept_content

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from typing_extensions import Self

__all__ = ("Queue",)


class Queue(MaybeChannelBound):
    """A queue, the exchange it gets its messages from, and how it is consumed.

    Two queues are equal when their declarations are; ``no_ack``, ``alias`` and ``no_declare`` do not count.

    Arguments:
        name: empty lets the broker choose one when the queue is declared.
        exchange: an :class:`Exchange`, the name of a direct exchange, or a list of bindings.
        routing_key: the binding key; ``key`` is another name for it.
        channel: bind to this channel or connection at once.
        bindings: several :class:`binding`, in the place of ``exchange``.
        on_declared: called with ``(name, messages, consumers)`` after each declaration.
        durable: survives a restart of the broker (the default).
        exclusive: only for this connection; implies ``auto_delete``.
        auto_delete: goes away with its last consumer.
        expires: seconds without use until it goes away.
        message_ttl: seconds until a message that nobody took is dropped or dead-lettered.
        max_length, max_length_bytes: most messages, most bytes of bodies in it.
        max_priority: makes it a priority queue with priorities 0 to this.
        queue_arguments, binding_arguments, consumer_arguments: further arguments of ``queue.declare``,
            ``queue.bind`` and ``basic.consume``.
        no_ack: consumers of this queue do not acknowledge.
        no_declare: never declare it, nor what it is bound to.
        alias: for the application.
    """

    __module__ = "kombu.entity"  # where pickles look for it

    ContentDisallowed = ContentDisallowed

    name = ""
    exchange: Any = Exchange("")
    routing_key = ""
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    no_ack: bool = False
    queue_arguments: dict[str, Any] | None
    binding_arguments: dict[str, Any] | None
    consumer_arguments: dict[str, Any] | None
    alias: str | None
    no_declare: bool | None
    expires: float | None
    message_ttl: float | None
    max_length: int | None
    max_length_bytes: int | None
    max_priority: int | None

    attrs: ClassVar[tuple[tuple[str, Callable[[Any], Any] | None], ...]] = (
        ("name", None),
        ("exchange", None),
        ("routing_key", None),
        ("queue_arguments", None),
        ("binding_arguments", None),
        ("consumer_arguments", None),
        ("durable", bool),
        ("exclusive", bool),
        ("auto_delete", bool),
        ("no_ack", None),
        ("alias", None),
        ("bindings", list),
        ("no_declare", bool),
        ("expires", float),
        ("message_ttl", float),
        ("max_length", int),
        ("max_length_bytes", int),
        ("max_priority", int),
    )
    _identity = attrgetter(
        "name",
        "exchange",
        "routing_key",
        "queue_arguments",
        "binding_arguments",
        "consumer_arguments",
        "durable",
        "exclusive",
        "auto_delete",
        "bindings",
        "expires",
        "message_ttl",
        "max_length",
        "max_length_bytes",
        "max_priority",
    )

    def __init__(
        self,
        name: str = "",
        exchange: Any = None,
        routing_key: str = "",
        channel: Any = None,
        bindings: Iterable[binding] | None = None,
        on_declared: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        routing_key = routing_key or kwargs.pop("key", "")
        super().__init__(**kwargs)
        if kwargs:
            warn_of_unknown(self.__class__, kwargs)
        self.name = name or self.name
        if isinstance(exchange, binding):
            bindings, exchange = [exchange, *(bindings or ())], None
        elif isinstance(exchange, (list, tuple, set, frozenset)):
            bindings, exchange = [*exchange, *(bindings or ())], None
        elif isinstance(exchange, str):
            exchange = Exchange(exchange)
        self.bindings = set(bindings or ())
        if self.bindings:
            self.exchange = None
        elif exchange is not None:
            self.exchange = exchange
        self.routing_key = routing_key or self.routing_key
        self.on_declared = on_declared
        if self.exclusive:
            self.auto_delete = True
        self.maybe_bind(channel)

    def bind(self, channel: Any) -> Self:
        """A copy that is bound to ``channel`` (or to the default channel of a connection)."""
        bound = super().bind(channel)
        bound.on_declared = self.on_declared
        return bound

    def when_bound(self) -> None:
        """The exchange goes with the queue."""
        if self.exchange is not None:
            self.exchange = self.exchange(self._channel)

    def __hash__(self) -> int:
        return hash(("Q", self.name))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Queue):
            identity = Queue._identity
            return bool(identity(self) == identity(other))
        return NotImplemented

    # -- declaring

    def declare(self, nowait: bool = False, channel: Any = None) -> str:
        """Declare the exchange and the queue and bind them; the queue's name is returned."""
        if not self.no_declare:
            self._create_exchange(nowait, channel)
            self._create_queue(nowait, channel)
            self._create_bindings(nowait, channel)
        return self.name

    def _create_exchange(self, nowait: bool = False, channel: Any = None) -> None:
        if self.exchange is not None:
            self.exchange.declare(nowait=nowait, channel=channel)

    def _create_queue(self, nowait: bool = False, channel: Any = None) -> None:
        self.queue_declare(nowait=nowait, passive=False, channel=channel)
        if self.exchange is not None and self.exchange.name:
            self.queue_bind(nowait=nowait, channel=channel)

    def _create_bindings(self, nowait: bool = False, channel: Any = None) -> None:
        for source in sorted(self.bindings, key=str):
            channel = channel or self.channel
            source.declare(channel)
            if name_of(source.exchange):  # the default exchange reaches every queue by itself
                source.bind(self, nowait=nowait, channel=channel)

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        """Declare the queue alone: ``(name, messages, consumers)``; ``passive`` only asserts it is there."""
        channel = channel or self.channel
        declared = channel.queue_declare(
            queue=self.name,
            passive=passive,
            durable=self.durable,
            exclusive=self.exclusive,
            auto_delete=self.auto_delete,
            arguments=channel.prepare_queue_arguments(
                self.queue_arguments or {},
                expires=self.expires,
                message_ttl=self.message_ttl,
                max_length=self.max_length,
                max_length_bytes=self.max_length_bytes,
                max_priority=self.max_priority,
            ),
            nowait=nowait,
        )
        if declared:
            if not self.name:
                self.name = declared[0]
            if self.on_declared is not None:
                self.on_declared(*declared)
        return declared

    def queue_bind(self, nowait: bool = False, channel: Any = None) -> Any:
        """Bind the queue to its exchange."""
        return self.bind_to(
            self.exchange, self.routing_key, self.binding_arguments, nowait=nowait, channel=channel
        )

    def bind_to(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
    ) -> Any:
        """Have ``exchange`` route what matches ``routing_key`` here."""
        return (channel or self.channel).queue_bind(
            queue=self.name,
            exchange=name_of(exchange),
            routing_key=routing_key,
            arguments=arguments,
            nowait=nowait,
        )

    def queue_unbind(
        self, arguments: dict[str, Any] | None = None, nowait: bool = False, channel: Any = None
    ) -> Any:
        """Undo :meth:`queue_bind`."""
        return self.unbind_from(self.exchange, self.routing_key, arguments, nowait=nowait, channel=channel)

    def unbind_from(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        nowait: bool = False,
        channel: Any = None,
    ) -> Any:
        """Undo :meth:`bind_to`."""
        return (channel or self.channel).queue_unbind(
            queue=self.name,
            exchange=name_of(exchange),
            routing_key=routing_key,
            arguments=arguments,
            nowait=nowait,
        )

    def delete(self, if_unused: bool = False, if_empty: bool = False, nowait: bool = False) -> Any:
        """Delete the queue, with ``if_unused`` only without consumers, with ``if_empty`` only without messages.

        Delayed messages count.
        """
        forget(self, Queue)
        return self.channel.queue_delete(
            queue=self.name, if_unused=if_unused, if_empty=if_empty, nowait=nowait
        )

    # -- messages

    def get(self, no_ack: bool | None = None, accept: Collection[str] | None = None) -> Any:
        """Take one message, or None when the queue is empty. A round trip each; consuming is faster.

        Arguments:
            no_ack: the message counts as acknowledged at once (default: the queue's ``no_ack``).
            accept: content types or serializer names that may be decoded.
        """
        channel = self.channel
        no_ack = self.no_ack if no_ack is None else no_ack
        message = channel.basic_get(queue=self.name, no_ack=no_ack)
        if message is None:
            return None
        to_python = getattr(channel, "message_to_python", None)
        if to_python is not None:
            message = to_python(message)
        message.accept = prepare_accept_content(accept)
        if no_ack:
            message._state = "NO_ACK"
        return message

    def purge(self, nowait: bool = False) -> int:
        """Remove all messages that are ready; their number is returned."""
        return self.channel.queue_purge(queue=self.name, nowait=nowait) or 0

    def consume(
        self,
        consumer_tag: str = "",
        callback: Callable[..., Any] | None = None,
        no_ack: bool | None = None,
        nowait: bool = False,
        on_cancel: Callable[..., Any] | None = None,
    ) -> Any:
        """Have the broker send the queue's messages to ``callback`` until the tag is cancelled.

        Arguments:
            consumer_tag: how this consumer is called on this channel; the broker chooses when empty.
            no_ack: messages count as acknowledged when sent (default: the queue's ``no_ack``).
            on_cancel: called with the tag when the broker cancels, as when the queue was deleted.
        """
        return self.channel.basic_consume(
            queue=self.name,
            no_ack=self.no_ack if no_ack is None else no_ack,
            consumer_tag=consumer_tag or "",
            callback=callback,
            nowait=nowait,
            arguments=self.consumer_arguments,
            on_cancel=on_cancel,
        )

    def cancel(self, consumer_tag: str) -> Any:
        """End the consumer of that tag."""
        return self.channel.basic_cancel(consumer_tag)

    # -- as a value

    @classmethod
    def from_dict(cls, queue: str, **options: Any) -> Any:
        """A queue from flat options, as configuration files have them, or from :meth:`as_dict`'s.

        Options of the exchange have the prefix ``exchange_`` (``exchange_type`` and so on; ``delivery_mode``
        has none), ``queue_durable`` and ``queue_auto_delete`` are the queue's, and ``durable``
        and ``auto_delete`` alone are for both. ``binding_key`` is an older name of ``routing_key``.
        """
        return _queue_from_options(cls, queue, options)

    @property
    def can_cache_declaration(self) -> bool:
        """Whether it stays once declared."""
        if self.auto_delete or self.expires is not None:
            return False
        return not (self.queue_arguments and "x-expires" in self.queue_arguments)

    def __repr__(self) -> str:
        if self.bindings:
            return self._repr_entity(f"Queue {self.name} -> {pretty_bindings(self.bindings)}")
        return self._repr_entity(f"Queue {self.name} -> {self.exchange!r} -> {self.routing_key}")


def _queue_from_options(cls: type[Queue], name: str, options: dict[str, Any]) -> Queue:
    def first(*names: str) -> Any:
        return next((options[n] for n in names if options.get(n) is not None), None)

    exchange = options.get("exchange")
    if isinstance(exchange, dict):
        exchange = Exchange(**exchange)
    elif not isinstance(exchange, Exchange):
        exchange = Exchange(
            exchange or "",
            type=options.get("exchange_type") or "",
            delivery_mode=options.get("delivery_mode"),
            durable=first("exchange_durable", "durable"),
            auto_delete=first("exchange_auto_delete", "auto_delete"),
            arguments=options.get("exchange_arguments"),
        )
    bindings = [binding(**b) if isinstance(b, dict) else b for b in options.get("bindings") or ()]
    for source in bindings:
        if isinstance(source.exchange, dict):
            source.exchange = Exchange(**source.exchange)
    own = {k: v for k, v in options.items() if any(k == attr for attr, _ in cls.attrs)}
    own.pop("name", None)
    own.update(
        exchange=exchange,
        bindings=bindings,
        routing_key=options.get("binding_key") or options.get("routing_key") or "",
        durable=first("queue_durable", "durable"),
        auto_delete=first("queue_auto_delete", "auto_delete"),
        on_declared=options.get("on_declared"),
    )
    return cls(name, **own)
