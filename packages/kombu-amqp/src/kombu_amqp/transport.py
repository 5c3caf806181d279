"""The transports ``amqp://`` (``pyamqp://``) and ``amqps://``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import amqp

from kombu import exceptions
from kombu.transport.base import Transport as BaseTransport
from kombu.utils.amq_manager import get_manager
from kombu_amqp import errors
from kombu_amqp.connection import Connection, _version
from kombu_amqp.management import Management, Manager, credentials
from kombu_amqp.options import connection_options, flag

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("DEFAULT_PORT", "DEFAULT_SSL_PORT", "SSLTransport", "Transport")

DEFAULT_PORT = 5672
DEFAULT_SSL_PORT = 5671


class Transport(BaseTransport):
    """RabbitMQ by AMQP 0-9-1.

    Deliveries are counted, and limited, by quorum queues; classic ones only tell whether it is the first.
    ``confirm`` is claimed by an instance whose option ``confirm_publish`` is set.
    """

    Connection: ClassVar[type[Any]] = Connection
    Management = Management

    default_port = DEFAULT_PORT
    default_ssl_port = DEFAULT_SSL_PORT

    connection_errors = (exceptions.ConnectionError, amqp.ConnectionError, OSError)
    channel_errors = (exceptions.ChannelError, amqp.ChannelError)

    driver_name = "py-amqp"
    driver_type = "amqp"

    implements = BaseTransport.implements.extend(
        asynchronous=True,
        heartbeats=True,
        batch_publish=True,
        priority=True,
        message_ttl=True,
        queue_expires=True,
        max_length=True,
        dead_letter=True,
        delivery_limit=True,
        delivery_count=True,
        mandatory=True,
        alternate_exchange=True,
        exchange_bind=True,
        exclusive=True,
        auto_delete=True,
        consumer_cancel_notify=True,
        consumer_prefetch=True,
    )

    def __init__(
        self,
        client: Any,
        default_port: int | None = None,
        default_ssl_port: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(client, **kwargs)
        self.default_port = default_port or self.default_port
        self.default_ssl_port = default_ssl_port or self.default_ssl_port
        if flag((getattr(client, "transport_options", None) or {}).get("confirm_publish")):
            self.implements = self.implements.extend(confirm=True)

    @property
    def recoverable_connection_errors(self) -> tuple[type[BaseException], ...]:
        """The errors that connecting again may cure."""
        return (exceptions.RecoverableConnectionError, amqp.RecoverableConnectionError, OSError)

    @property
    def recoverable_channel_errors(self) -> tuple[type[BaseException], ...]:
        """The errors that another channel, or another attempt, may cure."""
        return (exceptions.RecoverableChannelError, amqp.RecoverableChannelError, exceptions.MessageNacked)

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """Values for what the URL leaves out."""
        client = self.client
        return {
            "userid": "guest",
            "password": "guest",
            "port": self.default_ssl_port if client is not None and client.ssl else self.default_port,
            "hostname": "localhost",
            "login_method": "PLAIN",
        }

    def driver_version(self) -> str:
        """The version of py-amqp."""
        return str(amqp.__version__)

    # -- connections and channels

    def establish_connection(self) -> Any:
        """Connect and log in."""
        client = self.client
        for name, default in self.default_connection_params.items():
            if not getattr(client, name, None):
                setattr(client, name, default)
        user, secret = credentials(client)
        host = f"[{client.hostname}]" if ":" in client.hostname else client.hostname
        connection = self.Connection(
            **{
                "host": f"{host}:{client.port}",
                "userid": user,
                "password": secret,
                "login_method": client.login_method,
                "virtual_host": client.virtual_host or "/",
                "insist": client.insist,
                "ssl": client.ssl,
                "connect_timeout": client.connect_timeout,
                "heartbeat": client.heartbeat,
                **connection_options(client.transport_options),
            }
        )
        connection.client = client
        connection.connect()
        return connection

    def close_connection(self, connection: Any) -> None:
        """Close the connection, saying goodbye to the broker."""
        connection.client = None
        connection.close()

    def create_channel(self, connection: Any) -> Any:
        """Open a channel."""
        return connection.channel()

    def close_channel(self, connection: Any) -> None:
        """Close one. (Its argument has always had this name.)"""
        connection.close()

    def verify_connection(self, connection: Any) -> bool:
        """Whether the connection is open, as far as is known."""
        return bool(connection.connected)

    def inherited_fds(self, *objects: Any) -> list[int]:
        """The descriptors that a forked child must not use."""
        return [thing.sock.fileno() for thing in objects if isinstance(thing, Connection) and thing.sock]

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        """False for RabbitMQ since 3.3: ``apply_global=False`` limits each consumer."""
        properties = connection.server_properties
        if properties.get("product") == "RabbitMQ":
            return _version(properties.get("version")) < (3, 3)
        return True

    # -- events

    def drain_events(self, connection: Any, timeout: float | None = None) -> Any:  # type: ignore[override]
        """Wait for an event; see :meth:`kombu_amqp.Connection.drain_events`."""
        return connection.drain_events(timeout)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the loop watch the socket, and call for what was kept or read ahead."""
        loop.add_reader(connection.fileno(), self.on_readable, connection, loop)
        connection.on_deferred = lambda: loop.call_soon(self.on_readable, connection, loop)
        if connection.has_pending:
            connection.on_deferred()

    def unregister_from_event_loop(self, connection: Any, loop: Any) -> None:
        """Take it out again."""
        connection.on_deferred = None
        if connection.sock is not None:
            loop.remove_reader(connection.fileno())

    def _make_reader(self, connection: Any) -> Callable[[Any], None]:
        handle_event = connection.handle_event

        def read(loop: Any) -> None:
            # Bytes are read ahead: the descriptor says nothing of those, so go on until there are none. A connection
            # that somebody has closed is done with; one that was lost, maybe while writing, raises here.
            while connection.sock is not None:
                try:
                    handle_event(0)
                except errors.ConnectionInUse:
                    return  # the thread that reads will announce what it leaves
                except TimeoutError as exc:
                    if isinstance(exc, errors.NoReply):
                        raise
                    if not connection.has_pending:  # (else a callback raised it)
                        return

        return read

    # -- heartbeats

    def heartbeat_check(self, connection: Any, rate: int = 2) -> None:
        """Raise when the broker's heartbeats are missing; see :meth:`kombu_amqp.Connection.heartbeat_tick`."""
        connection.heartbeat_tick(rate=rate)

    def get_heartbeat_interval(self, connection: Any) -> float:
        """The interval agreed on, in seconds; 0 is none."""
        return connection.heartbeat or 0

    # -- management

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """A client of the management plugin: ``pyrabbit``'s where that is installed, as ever, else :class:`Manager`.

        Both take ``hostname``, ``port``, ``userid`` and ``password``, and have ``get_bindings()``.
        """
        try:
            return get_manager(self.client, *args, **kwargs)
        except ImportError:
            return Manager(self.client, *args, **kwargs)


class SSLTransport(Transport):
    """The same over TLS, on port 5671; the broker's certificate and host name are verified."""

    driver_type = "amqp"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.client is not None and not self.client.ssl:
            self.client.ssl = True
