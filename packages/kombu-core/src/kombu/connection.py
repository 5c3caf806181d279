"""The connection to a broker.

A :class:`Connection` costs nothing until something is asked of it; then it connects. One connection with its channels
is for one thread at a time: threads share a pool (:mod:`kombu.pools`). A forked child forgets what its parent had open
and connects anew.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any

from kombu.ensure import Revival, is_open, keep_trying
from kombu.entity import Declarations
from kombu.exceptions import RecoverableConnectionError
from kombu.failover import get_strategy
from kombu.link import Link
from kombu.params import ConnectionParams, from_url, split_urls
from kombu.retry import RetryPolicy
from kombu.utils.deadline import deadline_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from kombu.connection_pool import ChannelPool, ConnectionPool
    from kombu.consumer import Consumer
    from kombu.producer import Producer
    from kombu.simple import SimpleBuffer, SimpleQueue

__all__ = (
    "BrokerConnection",
    "ChannelPool",
    "Connection",
    "ConnectionPool",
    "is_connection",
    "maybe_channel",
)


class Connection(Link):
    """A connection to a broker, made when it is needed.

    Arguments:
        hostname: a URL; several, as a list or separated by ``;``, to fail over between; or a bare host name.
        userid, password, virtual_host, port: hold where the URL says nothing.
        transport: a class, a dotted path, or a scheme; goes before the URL's scheme.
        ssl: True, or a mapping of options for the driver.
        connect_timeout: seconds for one attempt to connect to one broker, login included; None is no limit.
        transport_options: what only this transport understands; its documentation lists it.
        login_method: the SASL mechanism, for AMQP.
        heartbeat: seconds; 0 is none. See :meth:`heartbeat_check`.
        failover_strategy: ``round-robin``, ``shuffle``, or a function of the URLs that returns an iterator without
            end over the URLs to try.
        alternates: further URLs to fail over to.
        credential_provider: handed to the transport, which asks it for user name and password when it connects.
        insist, uri_prefix: accepted as ever.

    Raises:
        ValueError, TypeError: the URL or an option cannot be understood. Whether the transport is installed is
            found out when it is used.
    """

    def __init__(
        self,
        hostname: str | Sequence[str] | None = "localhost",
        userid: str | None = None,
        password: str | None = None,
        virtual_host: str | None = None,
        port: int | None = None,
        insist: bool = False,
        ssl: Any = False,
        transport: Any = None,
        connect_timeout: float | None = 5,
        transport_options: dict[str, Any] | None = None,
        login_method: str | None = None,
        uri_prefix: str | None = None,
        heartbeat: float | None = 0,
        failover_strategy: Any = "round-robin",
        alternates: Sequence[str] | None = None,
        credential_provider: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            _warn_unknown(kwargs)
        if transport_options is not None and not hasattr(transport_options, "items"):
            raise TypeError(f"transport_options must be a mapping, not {type(transport_options).__name__}")
        urls = split_urls(hostname) if isinstance(hostname, str) else list(hostname or ("",))
        self.alt = [*(urls if len(urls) > 1 else ()), *(alternates or ())]
        self._urls = list(dict.fromkeys((urls[0], *self.alt)))
        self._failover_strategy = failover_strategy
        self.failover_strategy = get_strategy(failover_strategy or "round-robin")
        self._cycle = None
        self._keywords = ConnectionParams(
            userid=userid,
            password=password,
            virtual_host=virtual_host,
            port=port,
            insist=insist,
            ssl=ssl,
            transport=transport,
            connect_timeout=connect_timeout,
            transport_options=transport_options or {},
            login_method=login_method,
            uri_prefix=uri_prefix,
            heartbeat=float(heartbeat or 0),
            credential_provider=credential_provider,
        )
        self.declared_entities = Declarations()
        self._lock = RLock()
        self._home = self._apply(from_url(urls[0], self._keywords))

    # asking the broker

    @property
    def qos_semantics_matches_spec(self) -> bool:
        """Whether ``basic_qos(apply_global=False)`` is per channel, as AMQP 0-9-1 says, and not per consumer."""
        return bool(self.transport.qos_semantics_matches_spec(self.connection))

    @property
    def manager(self) -> Any:
        """The transport's management interface."""
        return self.transport.manager

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """A new management interface; the arguments are the transport's."""
        return self.transport.get_manager(*args, **kwargs)

    def supports_exchange_type(self, exchange_type: str) -> bool:
        """Whether the transport routes by this type of exchange."""
        return exchange_type in self.transport.implements.exchange_type

    def get_heartbeat_interval(self) -> float:
        """Seconds between heartbeats, as agreed with the broker; 0 is none."""
        return self.transport.get_heartbeat_interval(self.connection)  # type: ignore[no-any-return]

    def heartbeat_check(self, rate: int = 2) -> Any:
        """Send a heartbeat if one is due; to be called ``rate`` times in each heartbeat interval, or more often.

        Raises:
            Exception: one of :attr:`connection_errors` when the broker has been silent for too long.
        """
        connection = self._connection
        return self.transport.heartbeat_check(
            self.connection if connection is None else connection, rate=rate
        )

    def register_with_event_loop(self, loop: Any) -> None:
        """Let the event loop watch this connection."""
        self.transport.register_with_event_loop(self.connection, loop)

    # channels and events

    def channel(self) -> Any:
        """Open a channel, connecting if need be."""
        if self._closed:
            self.connect()
        connection = self.connection  # (first: connecting anew may replace the transport)
        return self.transport.create_channel(connection)

    @property
    def default_channel(self) -> Any:
        """The channel that is used where a connection is given in place of a channel.

        Opened at the first use, and again when it was closed. Connects if need be, with the retries that
        ``transport_options`` sets: ``max_retries`` (2), ``interval_start`` (2), ``interval_step`` (2), ``interval_max``
        (30), ``errback``, ``callback`` and ``connect_retries_timeout``, as in :meth:`ensure_connection`.

        Raises:
            OperationalError: no broker could be reached.
        """
        if not self.connected:
            policy, callback, timeout = self._policy_of_options()
            with deadline_scope(timeout):
                self._ensure_connected(policy, callback, as_ours=True)
        channel = self._default_channel
        if channel is None or not is_open(channel):
            channel = self._default_channel = self.channel()
        return channel

    def revive(self, new_channel: Any) -> None:
        """Called with the new channel after reconnecting: an older default channel is closed."""
        if self._default_channel is not None and self._default_channel is not new_channel:
            self.maybe_close_channel(self._default_channel)
            self._default_channel = None

    def maybe_close_channel(self, channel: Any) -> None:
        """Close the channel; that it, or its connection, is broken doesn't matter."""
        try:
            channel.close()
        except self._gone_errors():
            pass

    def drain_events(self, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait for an event on any channel and have it handled: a message goes to its consumer's callbacks.

        Arguments:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: nothing came in time.
            Exception: one of :attr:`connection_errors`; a lost connection is not replaced here, because its consumers
                went with it.
        """
        connection = self._connection
        if connection is None:
            connection = self.connection
            if connection is None:
                raise RecoverableConnectionError(
                    "drain_events: the connection was closed; connect() opens it again"
                )
        if kwargs:
            return self._transport.drain_events(connection, timeout=timeout, **kwargs)
        return self._transport.drain_events(connection, timeout=timeout)  # once for each message: no dict passed on

    # doing things until they succeed

    def ensure(
        self,
        obj: Any,
        fun: Callable[..., Any],
        errback: Callable[[BaseException, float], object] | None = None,
        max_retries: int | None = None,
        interval_start: float = 1,
        interval_step: float = 1,
        interval_max: float = 1,
        on_revive: Callable[[Any], object] | None = None,
        retry_errors: tuple[type[BaseException], ...] | None = None,
        timeout: float | None = None,
        jitter: float = 0,
    ) -> Callable[..., Any]:
        """A function that calls ``fun`` until it succeeds, mending the connection in between.

        A lost connection is replaced by one to the next broker, a channel with an error by a new one, and
        ``obj.revive(channel)`` is called before ``fun`` is. The first retry follows at once, the others after a pause.

        Arguments:
            obj: what ``fun`` works on; has ``revive(channel)``.
            errback: called as ``errback(exc, interval)`` for each failure, with the seconds of the pause.
            max_retries: attempts after the first; None is no limit while the broker cannot be reached.
            interval_start, interval_step, interval_max: seconds of the first pause, what each further one is longer,
                and the longest.
            on_revive: called as ``on_revive(channel)`` when there is a new channel.
            retry_errors: exceptions of ``fun`` that are worth another attempt on the same channel.
            timeout: seconds for everything together: each call of the function has so many.
            jitter: the part of each pause that is left to chance, 0 to 1.

        Raises:
            OperationalError: from the function: ``max_retries`` is used up.
            DeadlineExceeded: from the function: ``timeout`` or the deadline in force has passed.
        """

        def _ensured(*args: Any, **kwargs: Any) -> Any:
            error = None
            if timeout is None and self._connection is not None:
                try:
                    return fun(*args, **kwargs)
                except Exception as exc:
                    error = exc
            policy = RetryPolicy(
                max_retries,
                interval_start,
                interval_step,
                interval_max,
                jitter=jitter,
                errback=errback,
                on_revive=on_revive,
                retry_errors=retry_errors,
            )
            try:
                with deadline_scope(timeout):
                    return keep_trying(self, obj, lambda: fun(*args, **kwargs), policy, error)
            finally:
                del error

        name = getattr(fun, "__name__", type(fun).__name__)
        _ensured.__name__ = _ensured.__qualname__ = f"{name}(ensured)"
        _ensured.__doc__ = fun.__doc__
        return _ensured

    def autoretry(
        self, fun: Callable[..., Any], channel: Any = None, **ensure_options: Any
    ) -> Callable[..., Any]:
        """A function that calls ``fun(..., channel=channel)`` until it succeeds; see :meth:`ensure` for the options.

        It returns what ``fun`` returned and the channel used last, which is the caller's to close. Without ``channel``
        one is opened.
        """
        revival = Revival(self, fun, channel)
        return self.ensure(revival, revival, **ensure_options)

    def clone(self, **kwargs: Any) -> Self:
        """A copy with the same parameters, or with ``kwargs`` in their place; it is not connected."""
        copy: Self = self._copied_by(type(self), kwargs)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        # kombu 5 reads the arguments, by position, and keeps of the state what it has no use for.
        keywords, home, url, urls = self._origin()
        state = {"_pickled": (dict(keywords.items()), dict(home.items()), url, urls)}
        return type(self), tuple(self._info(resolve=False).values()), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        keywords, home, url, urls = state["_pickled"]
        self._from_same_urls((ConnectionParams(**keywords), ConnectionParams(**home), url, urls))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    # shortcuts

    def Pool(self, limit: int | None = None, **kwargs: Any) -> ConnectionPool:
        """A pool of connections like this one; see :class:`ConnectionPool`."""
        from kombu.connection_pool import ConnectionPool

        return ConnectionPool(self, limit, **kwargs)

    def ChannelPool(self, limit: int | None = None, **kwargs: Any) -> ChannelPool:
        """A pool of channels of this connection; see :class:`ChannelPool`."""
        from kombu.connection_pool import ChannelPool

        return ChannelPool(self, limit, **kwargs)

    def Producer(self, channel: Any = None, *args: Any, **kwargs: Any) -> Producer:
        """A :class:`kombu.Producer` on ``channel`` or the default channel."""
        from kombu.producer import Producer

        return Producer(channel or self, *args, **kwargs)

    def Consumer(self, queues: Any = None, channel: Any = None, *args: Any, **kwargs: Any) -> Consumer:
        """A :class:`kombu.Consumer` of ``queues`` on ``channel`` or the default channel."""
        from kombu.consumer import Consumer

        return Consumer(channel or self, queues, *args, **kwargs)

    def SimpleQueue(
        self,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: dict[str, Any] | None = None,
        queue_args: dict[str, Any] | None = None,
        exchange_opts: dict[str, Any] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> SimpleQueue:
        """A :class:`kombu.simple.SimpleQueue` on ``channel`` or the default channel."""
        from kombu.simple import SimpleQueue

        return SimpleQueue(channel or self, name, no_ack, queue_opts, queue_args, exchange_opts, **kwargs)

    def SimpleBuffer(
        self,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: dict[str, Any] | None = None,
        queue_args: dict[str, Any] | None = None,
        exchange_opts: dict[str, Any] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> SimpleBuffer:
        """A :class:`kombu.simple.SimpleBuffer` on ``channel`` or the default channel."""
        from kombu.simple import SimpleBuffer

        return SimpleBuffer(channel or self, name, no_ack, queue_opts, queue_args, exchange_opts, **kwargs)


BrokerConnection = Connection


def _warn_unknown(names: dict[str, Any]) -> None:
    from warnings import warn

    unknown = ", ".join(map(repr, names))
    warn(f"Connection() ignores {unknown}; transport options go into transport_options={{...}}", stacklevel=3)


def is_connection(obj: Any) -> bool:
    """Whether ``obj`` is a :class:`Connection`."""
    return isinstance(obj, Connection)


def maybe_channel(channel: Any) -> Any:
    """The default channel of a connection; a channel is returned as it is."""
    return channel.default_channel if isinstance(channel, Connection) else channel


def __getattr__(name: str) -> Any:
    if name in ("ChannelPool", "ConnectionPool", "PooledConnection"):
        from kombu import connection_pool

        value = globals()[name] = getattr(connection_pool, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
