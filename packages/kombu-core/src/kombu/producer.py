"""Sending messages."""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING, Any

from kombu.abstract import is_connection
from kombu.batch import Buffer, ProducerBatch
from kombu.compression import compress
from kombu.entity import Declarations, Exchange, declare_once, declared_entities, maybe_delivery_mode, name_of
from kombu.exceptions import (
    DeadlineExceeded,
    NotBoundError,
    RecoverableConnectionError,
)
from kombu.outgoing import encoded, require_delay, seconds
from kombu.serialization import dumps
from kombu.utils.deadline import DEFAULT_PUBLISH_TIMEOUT, deadline_scope, remaining
from kombu.utils.functional import ChannelPromise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kombu.entity import Queue

__all__ = ("Producer",)


class Producer:
    """Sends messages to exchanges.

    A producer belongs to one thread at a time; :mod:`kombu.pools` hands them out.

    Arguments:
        channel: a channel, or a connection, whose default channel is then opened when first needed.
        exchange: default exchange; a name means an exchange that exists and is not declared.
        routing_key: default routing key.
        serializer: default serializer (``json``).
        auto_declare: declare the default exchange before publishing (the default).
        compression: default compression (none).
        on_return: called with ``(exception, exchange, routing_key, message)`` for ``mandatory`` messages that
            no queue got; events of the connection have to be drained for that.
    """

    __module__ = "kombu.messaging"  # where pickles look for it

    exchange: Any = None
    routing_key: str = ""
    serializer: str | None = None
    compression: str | None = None
    auto_declare: bool = True
    on_return: Callable[..., Any] | None = None

    #: The connection given in the place of a channel.
    __connection__: Any = None

    def __init__(
        self,
        channel: Any,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        serializer: str | None = None,
        auto_declare: bool | None = None,
        compression: str | None = None,
        on_return: Callable[..., Any] | None = None,
    ) -> None:
        chosen = self.exchange if exchange is None else exchange
        if chosen is None or isinstance(chosen, str):
            chosen = Exchange(chosen or "", no_declare=True)
        self.exchange = chosen
        self.routing_key = routing_key or self.routing_key
        self.serializer = serializer or self.serializer
        self.compression = compression or self.compression
        self.on_return = on_return or self.on_return
        if auto_declare is not None:
            self.auto_declare = auto_declare
        self._channel: Any = None
        #: The channel once it is open; None sends publish() the long way round.
        self._open: Any = None
        #: The default exchange as it was declared, where that is noted, and how much that had forgotten then.
        self._declared: tuple[Exchange, Declarations, int] | None = None
        self._batches: dict[int, Buffer] = {}
        if channel is not None:
            self.revive(channel)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._channel!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        options = (self.exchange, self.routing_key, self.serializer, self.auto_declare, self.compression)
        return self.__class__, (None, *options)

    # -- channel

    @property
    def channel(self) -> Any:
        """The channel; that of a connection is opened here."""
        channel = self._channel
        if isinstance(channel, ChannelPromise):
            channel = channel()
            self._use(channel)
        return channel

    @channel.setter
    def channel(self, channel: Any) -> None:
        self._use(channel)

    def _use(self, channel: Any) -> None:
        self._channel = channel
        if isinstance(channel, ChannelPromise):
            self._open = None
            self.exchange = self.exchange(channel)
            return
        self._open = channel
        if channel is not None:
            self.exchange = self.exchange(channel)
            if self.on_return is not None:
                channel.events["basic_return"].add(self.on_return)

    def revive(self, channel: Any) -> None:
        """Go on with another channel or connection, after the old one was lost."""
        if is_connection(channel):
            connection = self.__connection__ = channel
            channel = ChannelPromise(lambda: connection.default_channel)
        self._use(channel)

    @property
    def connection(self) -> Any:
        """The :class:`kombu.Connection`, or None when the channel knows none."""
        if self.__connection__ is not None:
            return self.__connection__
        return getattr(getattr(self.channel, "connection", None), "client", None)

    def close(self) -> None:
        """Nothing is held that needs closing: the channel belongs to whoever opened it."""

    release = close

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    # -- declaring

    def declare(self) -> None:
        """Declare the default exchange now."""
        if self.exchange.name:
            self.exchange.declare()

    def maybe_declare(self, entity: Exchange | Queue | None, retry: bool = False, **retry_policy: Any) -> Any:
        """Declare ``entity`` unless that was done on this connection before; whether it was done now.

        Arguments:
            retry: go on after connection errors as ``retry_policy`` says, see
                :meth:`kombu.Connection.ensure`.
        """
        if not entity:
            return None
        if not retry:
            return declare_once(entity, self.channel)

        def declare() -> bool:
            return declare_once(entity, self.channel)

        return self._ensure(declare, retry_policy)

    def _is_declared(self, exchange: Exchange) -> bool:
        """Whether the default exchange was declared on this channel's connection and not forgotten since."""
        noted = self._declared
        return noted is not None and noted[0] is exchange and noted[1].forgotten == noted[2]

    def _note_declared(self, channel: Any) -> None:
        """The default exchange has just been declared, if it is declared at all."""
        known = declared_entities(channel)
        if self.auto_declare and isinstance(known, Declarations) and self.exchange.can_cache_declaration:
            self._declared = (self.exchange, known, known.forgotten)

    # -- publishing

    def publish(
        self,
        body: Any,
        routing_key: str | None = None,
        delivery_mode: int | str | None = None,
        mandatory: bool = False,
        immediate: bool = False,
        priority: int = 0,
        content_type: str | None = None,
        content_encoding: str | None = None,
        serializer: str | None = None,
        headers: Mapping[str, Any] | None = None,
        compression: str | None = None,
        exchange: Exchange | str | None = None,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        declare: Iterable[Exchange | Queue | None] | None = None,
        expiration: float | None = None,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        delay: float | None = None,
        **properties: Any,
    ) -> Any:
        """Send a message.

        Arguments:
            body: anything the serializer takes; bytes or text when ``content_type`` is given.
            routing_key: default: the producer's.
            delivery_mode: 1 or ``transient``, 2 or ``persistent``; default: the exchange's, else persistent.
            mandatory: have it returned (``on_return``) when no queue gets it.
            immediate: AMQP 0-8; brokers of today refuse it.
            priority: 0 to 255, greater first, where the queue has priorities.
            content_type, content_encoding: of a body that is encoded already (``binary``, text ``utf-8``).
            serializer: name of the serializer; default: the producer's, else JSON (bytes and text as they
                are).
            headers: the application's headers; left as they are.
            compression: name of the compression; default: the producer's; ``""`` is none.
            exchange: default: the producer's; ``""`` is the broker's default exchange, which routes to the
                queue named by the routing key.
            retry: go on after connection errors, as ``retry_policy`` says.
            retry_policy: keywords of :meth:`kombu.Connection.ensure`: ``max_retries``, ``interval_start``,
                ``interval_step``, ``interval_max`` (seconds), ``errback``, ``on_revive``, ``retry_errors``
                and ``timeout``. Used for this message only.
            declare: what has to exist first; declared once for a connection.
            expiration: seconds the message may wait in a queue.
            timeout: seconds for everything together: connecting, declaring, publishing, confirming, retries.
                Without it a ``retry`` without ``max_retries`` gives up after ``DEFAULT_PUBLISH_TIMEOUT``.
            confirm_timeout: seconds the broker may take to confirm, where publishing is confirmed.
            delay: seconds until queues get it, where the transport claims ``delay``.
            properties: further message properties, such as ``reply_to`` (a name or a queue),
                ``correlation_id``.

        Raises:
            EncodeError: the body does not fit the serializer.
            DeadlineExceeded: the time ran out.
            UnsupportedCapability: a ``delay`` on a transport without.
        """
        if not content_type:
            content_type, content_encoding, body = dumps(body, serializer or self.serializer)
        elif body.__class__ is bytes:
            content_encoding = content_encoding or "binary"
        else:
            content_encoding, body = encoded(body, content_type, content_encoding)
        headers = {} if headers is None else dict(headers)
        if compression is None:
            compression = self.compression
        if compression:
            if body.__class__ is str:
                body = body.encode()
            body, headers["compression"] = compress(body, compression)

        target = default = self.exchange
        if exchange is None:
            name = default.name
        elif exchange.__class__ is str:
            name = exchange
        else:
            name = name_of(exchange)
            if isinstance(exchange, Exchange):
                target = exchange
        if delivery_mode is None:
            properties["delivery_mode"] = target.delivery_mode or 2
        else:
            properties["delivery_mode"] = maybe_delivery_mode(delivery_mode)
        if len(properties) > 1:
            reply_to = properties.get("reply_to")
            if reply_to is not None:
                properties["reply_to"] = name_of(reply_to)
        if expiration is not None:
            properties["expiration"] = str(int(seconds("expiration", expiration) * 1000))
        if routing_key is None:
            routing_key = self.routing_key

        channel = self._open
        if (
            channel is None
            or retry
            or declare
            or timeout is not None
            or delay is not None
            or confirm_timeout is not None
            or (default.name and self.auto_declare and not self._is_declared(default))
        ):
            parts = (body, priority, content_type, content_encoding, headers, properties)
            options: dict[str, Any] = {"mandatory": mandatory, "immediate": immediate}
            if delay is not None:
                options["delay"] = seconds("delay", delay)
            if confirm_timeout is not None:
                options["confirm_timeout"] = confirm_timeout
            return self._publish(parts, name, routing_key, options, declare, retry, retry_policy, timeout)
        message = channel.prepare_message(body, priority, content_type, content_encoding, headers, properties)
        if self._batches:
            buffer = self._batches.get(get_ident())
            if buffer is not None:
                options = {"mandatory": mandatory, "immediate": immediate}
                return buffer.add(channel, message, name, routing_key, options)
        return channel.basic_publish(
            message,
            exchange=name,
            routing_key=routing_key,
            mandatory=mandatory,
            immediate=immediate,
        )

    def _publish(
        self,
        parts: tuple[Any, ...],
        exchange: str,
        routing_key: str,
        options: dict[str, Any],
        declare: Iterable[Exchange | Queue | None] | None,
        retry: bool,
        retry_policy: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Any:
        """The long way of :meth:`publish`: with a deadline, declarations, retries, a delay or a batch."""
        if self._channel is None:
            raise NotBoundError("this producer has no channel: give it one by revive(channel or connection)")
        entities = [entity for entity in declare or () if entity is not None]
        if self.auto_declare and self.exchange.name:
            entities.append(self.exchange)

        def send() -> Any:
            channel = self.channel
            if "delay" in options:
                require_delay(channel)
            for entity in entities:
                declare_once(entity, channel)
            self._note_declared(channel)
            message = channel.prepare_message(*parts)
            left = remaining(timeout)
            if timeout is not None:
                options["timeout"] = left
            buffer = self._batches.get(get_ident()) if self._batches else None
            if buffer is not None:
                return buffer.add(channel, message, exchange, routing_key, options)
            return channel.basic_publish(message, exchange=exchange, routing_key=routing_key, **options)

        policy = dict(retry_policy or ()) if retry else {}
        limit = policy.pop("timeout", None) if timeout is None else timeout
        policy.pop("timeout", None)
        if retry and limit is None and policy.get("max_retries") is None:
            limit = DEFAULT_PUBLISH_TIMEOUT
        with deadline_scope(limit) as deadline:
            try:
                if not retry:
                    return send()
                return self._ensure(send, policy)
            except DeadlineExceeded:
                raise
            except TimeoutError as exc:
                if deadline is None or not deadline.expired:
                    raise
                raise deadline.exceeded("publishing") from exc

    def _ensure(self, fun: Callable[[], Any], policy: dict[str, Any]) -> Any:
        connection = self.connection
        if connection is None:
            raise RecoverableConnectionError("the channel has lost its connection: cannot retry")
        return connection.ensure(self, fun, **policy)()

    # -- in batches

    @property
    def supports_batch_publish(self) -> bool:
        """Whether :meth:`batch` saves round trips here; elsewhere it publishes at once."""
        transport = getattr(self.connection, "transport", None)
        return bool(getattr(getattr(transport, "implements", None), "batch_publish", False))

    def batch(self, max_size: int = 100) -> ProducerBatch:
        """Hold back what is published inside ``with producer.batch():`` and publish it together.

        Messages are serialized, and what they need is declared, at once; they are handed over ``max_size``
        at a time and at the end. Batches nest: the outermost one flushes. An exception discards what was
        not flushed. Each thread has its own. On a transport without ``batch_publish`` every message is
        published at once.

        Raises:
            BatchPublishError: (when flushing) not everything was published; see its ``outcomes``.
        """
        return ProducerBatch(self, max_size)

    def _enter_batch(self, max_size: int) -> Buffer | None:
        buffer = self._batches.get(get_ident())
        if buffer is None:
            if not self.supports_batch_publish:
                return None
            buffer = self._batches[get_ident()] = Buffer(max_size)
        buffer.depth += 1
        return buffer

    def _leave_batch(self, buffer: Buffer) -> bool:
        """End one nesting level; whether it was the outermost."""
        buffer.depth -= 1
        if buffer.depth:
            return False
        self._batches.pop(get_ident(), None)
        return True
