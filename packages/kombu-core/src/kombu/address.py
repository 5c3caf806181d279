"""The part of a connection that knows where it leads: its parameters, its transport, and how both are shown."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, overload

from kombu.entity import Declarations
from kombu.exceptions import KombuError
from kombu.failover import failover_strategies
from kombu.params import ConnectionKey, ConnectionParams, format_uri
from kombu.transport import DEFAULT_TRANSPORT, get_transport_cls
from kombu.utils.url import sanitize_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from typing_extensions import Self

__all__ = ("Address",)

_ADDRESS = ("hostname", "userid", "password", "virtual_host", "port")

#: A copy with another one of these is no longer told by the same URLs where to connect.
_LEADS_ELSEWHERE = frozenset({*_ADDRESS, "transport", "uri_prefix", "alternates"})


class _of_the_transport:  # noqa: N801
    """A tuple of errors that the transport of the moment tells, unless the program has set its own."""

    def __init__(self, tell: Callable[[Any], Any]) -> None:
        self.tell = tell
        self.__doc__ = tell.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> tuple[type[BaseException], ...]: ...

    def __get__(self, instance: object | None, owner: type) -> Any:
        return self if instance is None else tuple(self.tell(instance))


class Address:
    """The parameters of a connection, as plain attributes that may be set until it connects."""

    hostname: str | None = None
    userid: str | None = None
    password: str | None = None
    virtual_host: str | None = "/"
    port: int | None = None
    ssl: Any = None
    insist: bool = False
    login_method: str | None = None
    uri_prefix: str | None = None
    heartbeat: float = 0
    transport_cls: Any = None
    transport_options: dict[str, Any] = {}
    credential_provider: Any = None
    #: The strategy's function; the name it was chosen by is in :meth:`info`.
    failover_strategy: Any = "round-robin"
    #: Strategies that have a name.
    failover_strategies = failover_strategies
    #: Names that :meth:`info` and :meth:`as_uri` show for another.
    resolve_aliases = {"librabbitmq": "amqp", "pyamqp": "amqp"}
    #: What was declared on this connection and need not be declared again while it lasts.
    declared_entities: Declarations = Declarations()

    _connection: Any = None
    _transport: Any = None
    _default_channel: Any = None
    _closed = False
    _watched = False

    alt: list[str]
    _urls: list[str]
    _keywords: ConnectionParams
    _home: ConnectionParams
    _failover_strategy: Any
    _cycle: Iterator[str] | None = None
    _connect_timeout: float | None
    _url: str | None = None
    _lock: Any

    def _apply(self, params: ConnectionParams) -> ConnectionParams:
        for name in (
            *_ADDRESS,
            "insist",
            "ssl",
            "login_method",
            "uri_prefix",
            "heartbeat",
            "credential_provider",
        ):
            setattr(self, name, getattr(params, name))
        self.virtual_host = params.virtual_host or "/"
        self.transport_cls = params.transport or DEFAULT_TRANSPORT
        self.transport_options = params.transport_options
        self._connect_timeout = params.connect_timeout
        self._url = params.url
        return params

    # the transport

    def get_transport_cls(self) -> Any:
        """The transport's class.

        Raises:
            TransportNotFound: it is not installed; the message says what to install.
        """
        return get_transport_cls(self.transport_cls)

    def create_transport(self) -> Any:
        """A new transport object for this connection."""
        cls = self.get_transport_cls()
        if self._url is not None and getattr(cls, "can_parse_url", False):
            self._apply(self._keywords.replace(hostname=self._url, transport=self.transport_cls))
        return cls(client=self)

    @property
    def transport(self) -> Any:
        """The transport object; it exists before there is a connection."""
        # No lock: a thread that connects holds it for long. Of two made at once, one is forgotten unused.
        transport = self._transport
        if transport is None:
            transport = self._transport = self._transport or self.create_transport()
        return transport

    @_of_the_transport
    def connection_errors(self) -> Any:
        """What the transport raises when the connection is gone."""
        return self.transport.connection_errors

    @_of_the_transport
    def channel_errors(self) -> Any:
        """What the transport raises when the broker refuses an operation."""
        return self.transport.channel_errors

    @_of_the_transport
    def recoverable_connection_errors(self) -> Any:
        """The connection errors that connecting again may cure."""
        return getattr(self.transport, "recoverable_connection_errors", self.transport.connection_errors)

    @_of_the_transport
    def recoverable_channel_errors(self) -> Any:
        """The channel errors that another channel on the same connection may cure."""
        return getattr(self.transport, "recoverable_channel_errors", ())

    @property
    def supports_heartbeats(self) -> bool:
        """Whether the transport notices a dead broker by heartbeats."""
        return bool(self.transport.implements.heartbeats)

    @property
    def is_evented(self) -> bool:
        """Whether the transport works with kombu's event loop."""
        return bool(self.transport.implements.asynchronous)

    # what it is

    def _info(self, resolve: bool = True) -> dict[str, Any]:
        """What a connection is made of, in the order of its arguments."""
        defaults = self.transport.default_connection_params if resolve else {}
        transport = self.transport_cls
        if resolve and isinstance(transport, str):
            transport = self.resolve_aliases.get(transport, transport)
        hostname = self.hostname or defaults.get("hostname")
        if self.uri_prefix and not str(hostname).startswith(f"{self.uri_prefix}+"):
            hostname = f"{self.uri_prefix}+{hostname}"
        return {
            "hostname": hostname,
            "userid": self.userid or defaults.get("userid"),
            "password": self.password or defaults.get("password"),
            "virtual_host": self.virtual_host or defaults.get("virtual_host"),
            "port": self.port or defaults.get("port"),
            "insist": self.insist,
            "ssl": self.ssl,
            "transport": transport,
            "connect_timeout": self._connect_timeout,
            "transport_options": self.transport_options,
            "login_method": self.login_method or defaults.get("login_method"),
            "uri_prefix": self.uri_prefix,
            "heartbeat": self.heartbeat,
            "failover_strategy": self._failover_strategy,
            "alternates": self.alt,
            "credential_provider": self.credential_provider,
        }

    def _copied_by(self, make: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
        copy = make(**{**self._info(resolve=False), **kwargs})
        return copy if _LEADS_ELSEWHERE & kwargs.keys() else copy._from_same_urls(self._origin(), kwargs)

    def _origin(self) -> tuple[Any, ...]:
        """What :meth:`_info` doesn't say: which of the parameters came from which URL."""
        return self._keywords, self._home, self._url, self._urls

    def _from_same_urls(self, origin: tuple[Any, ...], changed: Collection[str] = ()) -> Self:
        values = {name: value for name, value in self._keywords.items() if name in changed}
        keywords, home, self._url, self._urls = origin
        self._keywords, self._home = keywords.replace(**values), home.replace(**values)
        return self

    def info(self) -> dict[str, Any]:
        """The parameters in force, those that the transport supplies included; with the password in clear."""
        return self._info()

    def as_uri(
        self,
        include_password: bool = False,
        mask: str = "**",
        getfields: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(
            "port", "userid", "password", "virtual_host", "transport"
        ),
    ) -> str:
        """The connection as a URI, fit for a log.

        Arguments:
            include_password: show the password, so that the URI can be connected to.
            mask: what stands in place of the password.
            getfields: chooses from :meth:`info` what is shown: port, user, password, virtual host and transport.
        """
        try:
            info = self._info()
            reads_urls = self.transport.can_parse_url
        except (KombuError, ImportError):
            info, reads_urls = self._info(resolve=False), False
        hostname = info["hostname"] or "localhost"
        if reads_urls and not self.uri_prefix:
            return hostname if include_password else str(self.transport.as_uri(hostname, False, mask))
        if self.uri_prefix:
            return hostname if include_password else sanitize_url(hostname, mask)
        port, userid, password, virtual_host, transport = getfields(info)
        return format_uri(
            transport,
            hostname,
            port,
            userid,
            password,
            virtual_host,
            sanitize=not include_password,
            mask=mask,
        )

    @property
    def host(self) -> str:
        """``hostname:port``, without the port when there is none; of a socket's path the URL, without the password."""
        info = self._info()
        if self.uri_prefix:
            return sanitize_url(info["hostname"], "**")
        return ":".join(str(part) for part in (info["hostname"], info["port"]) if part)

    def __eqhash__(self) -> ConnectionKey:
        """Connections with the same key share a pool. Failing over doesn't change it."""
        address = self._home if self.alt else self
        return ConnectionKey(
            (
                self._home.transport if self.alt else self.transport_cls,
                address.hostname,
                address.userid,
                address.password,
                address.virtual_host,
                address.port,
                repr(self.ssl),
                repr(self.transport_options),
                self._connect_timeout,
                self.login_method,
                self.uri_prefix,
                self.heartbeat,
                tuple(self.alt),
                self._failover_strategy,
                self.credential_provider,
            )
        )

    def __repr__(self) -> str:
        return f"<Connection: {self.as_uri()} at {id(self):#x}>"
