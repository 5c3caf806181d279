"""The contract between kombu and a transport.

A transport's author subclasses :class:`Transport` (one broker connection each) and :class:`StdChannel` (the AMQP
verbs), and declares on the class, in ``implements``, what the broker can do. The conformance suite in
:mod:`kombu.testing` proves each claim.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import namedtuple
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.exceptions import ChannelError, ConnectionError, RecoverableChannelError
from kombu.message import Message
from kombu.utils.functional import dictfilter
from kombu.utils.objects import cached_property
from kombu.utils.time import maybe_s_to_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = (
    "Capabilities",
    "Implements",
    "Management",
    "Message",
    "StdChannel",
    "Transport",
    "queue_declare_ok_t",
    "to_rabbitmq_queue_arguments",
)

queue_declare_ok_t = namedtuple("queue_declare_ok_t", ("queue", "message_count", "consumer_count"))

STANDARD_EXCHANGE_TYPES = frozenset({"direct", "topic", "fanout", "headers"})


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a transport claims to do; each claim is proven by a class of the conformance suite."""

    #: Works with kombu's event loop: ``register_with_event_loop`` adds file descriptors to it.
    asynchronous: bool = False
    #: Notices a dead peer by heartbeats.
    heartbeats: bool = False
    #: ``basic_publish_many`` costs less than as many ``basic_publish``.
    batch_publish: bool = False
    #: Names of the exchange types that route as AMQP says.
    exchange_type: frozenset[str] = STANDARD_EXCHANGE_TYPES
    #: ``x-max-priority``: greater priorities first.
    priority: bool = False
    #: Per-message ``expiration`` and per-queue ``x-message-ttl``.
    message_ttl: bool = False
    #: ``x-expires``: an unused queue goes away.
    queue_expires: bool = False
    #: ``x-max-length``, ``x-max-length-bytes`` and ``x-overflow``.
    max_length: bool = False
    #: ``x-dead-letter-exchange`` and ``x-dead-letter-routing-key``, with the ``x-death`` header.
    dead_letter: bool = False
    #: ``delay=`` seconds on publish.
    delay: bool = False
    #: ``x-delivery-limit``.
    delivery_limit: bool = False
    #: ``Message.delivery_count`` counts earlier deliveries.
    delivery_count: bool = False
    #: Unroutable ``mandatory`` messages come back through ``basic_return``.
    mandatory: bool = False
    #: The exchange argument ``alternate-exchange``.
    alternate_exchange: bool = False
    #: Exchanges can be bound to exchanges.
    exchange_bind: bool = False
    #: A queue can belong to one connection and go away with it.
    exclusive: bool = False
    #: Queues and exchanges can go away after their last use.
    auto_delete: bool = False
    #: ``on_cancel`` is called when the consumed queue is deleted.
    consumer_cancel_notify: bool = False
    #: ``basic_qos(apply_global=False)`` limits each consumer by itself.
    consumer_prefetch: bool = False
    #: When ``basic_publish`` returns, the broker has the message.
    confirm: bool = False

    def extend(self, **changes: Any) -> Capabilities:
        """A copy with ``changes`` applied; the usual way to declare them in a subclass."""
        known = {field.name for field in fields(self)}
        for name in changes:
            if name not in known:
                raise TypeError(
                    f"{name!r} is not a capability; the capabilities are {', '.join(sorted(known))}"
                )
        return replace(self, **changes)


Implements = Capabilities

_QUEUE_ARGUMENTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "expires": ("x-expires", maybe_s_to_ms),
    "message_ttl": ("x-message-ttl", maybe_s_to_ms),
    "max_length": ("x-max-length", int),
    "max_length_bytes": ("x-max-length-bytes", int),
    "max_priority": ("x-max-priority", int),
}


def to_rabbitmq_queue_arguments(arguments: Mapping[str, Any] | None, **options: Any) -> dict[str, Any]:
    """Turn kombu's queue options into the ``x-`` arguments of ``queue.declare``.

    Arguments:
        arguments: ready-made arguments, kept.
        options: ``expires`` and ``message_ttl`` in seconds, ``max_length`` in messages, ``max_length_bytes`` in
            bytes, ``max_priority`` 0-255. None means not set.

    Raises:
        TypeError: an option has no such argument.
    """
    prepared: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        try:
            argument, convert = _QUEUE_ARGUMENTS[name]
        except KeyError:
            raise TypeError(
                f"{name!r} is not a queue option; they are {', '.join(_QUEUE_ARGUMENTS)}"
            ) from None
        prepared[argument] = convert(value)
    return {**arguments, **prepared} if arguments else prepared


class StdChannel:
    """What every channel has besides the AMQP verbs."""

    #: Tags of consumers that do not acknowledge; None until there is one.
    no_ack_consumers: set[str] | None = None
    #: The transport's connection; ``connection.client`` is the :class:`kombu.Connection`.
    connection: Any

    def Consumer(self, *args: Any, **kwargs: Any) -> Any:
        """A :class:`kombu.Consumer` on this channel."""
        return import_module("kombu.consumer").Consumer(self, *args, **kwargs)

    def Producer(self, *args: Any, **kwargs: Any) -> Any:
        """A :class:`kombu.Producer` on this channel."""
        return import_module("kombu.producer").Producer(self, *args, **kwargs)

    def get_bindings(self) -> Iterable[Any]:
        """The bindings the broker knows, for transports that can list them."""
        raise NotImplementedError(f"{type(self).__name__} cannot list bindings")

    def after_reply_message_received(self, queue: str) -> None:
        """Called when the awaited answer on a reply queue has come, so that the queue can be removed early."""

    def prepare_queue_arguments(
        self, arguments: Mapping[str, Any] | None, **kwargs: Any
    ) -> Mapping[str, Any]:
        """The arguments for ``queue_declare``, made from kombu's queue options (seconds, bytes, counts)."""
        return to_rabbitmq_queue_arguments(arguments, **dictfilter(kwargs))

    def basic_publish_many(self, publications: Iterable[tuple[Any, str, str, dict[str, Any]]]) -> None:
        """Publish several prepared messages: ``(message, exchange, routing_key, options)`` each, in order.

        Transports that claim ``batch_publish`` do it in fewer round trips.
        """
        for message, exchange, routing_key, options in publications:
            self.basic_publish(message, exchange=exchange, routing_key=routing_key, **options)

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **options: Any) -> Any:
        """Hand a prepared message to the broker."""
        raise NotImplementedError(f"{type(self).__name__} does not implement basic_publish")

    def close(self) -> None:
        """Close the channel; what it left unacknowledged goes back to the queues."""
        raise NotImplementedError(f"{type(self).__name__} does not implement close")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Management:
    """What an operator can ask of the broker."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def get_bindings(self) -> Iterable[Any]:
        """The bindings, as a list of dictionaries or rows."""
        raise NotImplementedError(f"{type(self.transport).__name__} cannot list bindings")


class Transport(ABC):
    """One way to reach a broker. An instance belongs to one :class:`kombu.Connection`, its ``client``."""

    Management: ClassVar[type[Any]] = Management

    client: Any = None
    #: Whether the whole URL is handed over in ``client.hostname``, unparsed.
    can_parse_url: ClassVar[bool] = False
    default_port: int | None = None
    #: Raised when the connection is gone.
    connection_errors: tuple[type[BaseException], ...] = (ConnectionError,)
    #: Raised when the broker refused an operation.
    channel_errors: tuple[type[BaseException], ...] = (ChannelError,)
    #: Kind of wire (``amqp``, ``redis``, ...) and name of the driver.
    driver_type: str = "N/A"
    driver_name: str = "N/A"
    implements: Capabilities = Capabilities()

    def __init__(self, client: Any, **kwargs: Any) -> None:
        self.client = client

    @abstractmethod
    def establish_connection(self) -> Any:
        """Connect within ``client.connect_timeout`` and the deadline in force; the connection is returned."""

    @abstractmethod
    def close_connection(self, connection: Any) -> None:
        """Close the connection and all its channels."""

    @abstractmethod
    def create_channel(self, connection: Any) -> Any:
        """Open a channel."""

    @abstractmethod
    def close_channel(self, connection: Any) -> None:
        """Close one channel; it is the channel that is given, whatever the argument is called."""

    @abstractmethod
    def drain_events(self, connection: Any, **kwargs: Any) -> Any:
        """Wait for one event on any channel and dispatch it.

        Raises:
            TimeoutError: ``timeout`` seconds went by without one.
        """

    def heartbeat_check(self, connection: Any, rate: int = 2) -> None:
        """Send a heartbeat when one is due, and raise when the peer has been silent too long."""

    def driver_version(self) -> str:
        """The driver's version."""
        return "N/A"

    def get_heartbeat_interval(self, connection: Any) -> float:
        """The negotiated interval in seconds; 0 is none."""
        return 0

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Add the connection's file descriptors to the event loop."""

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Take them out again."""

    def inherited_fds(self, connection: Any) -> Iterable[int]:
        """Descriptors besides ``connection.fileno()`` that a forked child must not use: its parent's sockets."""
        return ()

    def verify_connection(self, connection: Any) -> bool:
        """Whether the connection is still usable, as far as can be told without a round trip."""
        return True

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """True when ``apply_global=False`` limits a channel (AMQP 0-9-1), False when each consumer (RabbitMQ)."""
        return True

    def on_readable(self, connection: Any, loop: Any) -> None:
        """Called by the event loop when a descriptor is readable: dispatch what has come."""
        reader = self.__dict__.get("_reader")
        if reader is None:
            reader = self._reader = self._make_reader(connection)
        reader(loop)

    def _make_reader(self, connection: Any) -> Callable[[Any], None]:
        drain = self.drain_events

        def read(loop: Any) -> None:
            try:
                drain(connection, timeout=0)
            except TimeoutError:
                return

        return read

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URI as it may be shown, for transports with ``can_parse_url``."""
        raise NotImplementedError(f"{type(self).__name__} does not format URIs")

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """The management interface."""
        return self.Management(self)

    @cached_property
    def manager(self) -> Any:
        """The management interface, made once."""
        return self.get_manager()

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """Values for what the URL leaves out."""
        return {}

    @property
    def recoverable_connection_errors(self) -> tuple[type[BaseException], ...]:
        """The errors that connecting again may cure: all connection errors, unless a transport knows better."""
        return self.connection_errors

    @property
    def recoverable_channel_errors(self) -> tuple[type[BaseException], ...]:
        """The errors that opening another channel may cure."""
        return (RecoverableChannelError,)

    @property
    def supports_heartbeats(self) -> bool:
        return self.implements.heartbeats

    @property
    def supports_ev(self) -> bool:
        return self.implements.asynchronous
