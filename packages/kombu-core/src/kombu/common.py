"""What programs that send and receive messages have in common."""

from __future__ import annotations

import os
from collections import deque
from contextlib import contextmanager
from functools import cache, partial
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.entity import Exchange, Queue, declare_once, declared_entities
from kombu.exceptions import ChannelError, DeadlineExceeded, RecoverableConnectionError
from kombu.log import get_logger
from kombu.prefetch import PREFETCH_COUNT_MAX, QoS
from kombu.producer import Producer
from kombu.serialization import registry
from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kombu.consumer import Consumer
    from kombu.message import Message

__all__ = (
    "PREFETCH_COUNT_MAX",
    "Broadcast",
    "QoS",
    "collect_replies",
    "declaration_cached",
    "drain_consumer",
    "eventloop",
    "generate_oid",
    "get_node_id",
    "ignore_errors",
    "insured",
    "itermessages",
    "maybe_declare",
    "oid_from",
    "revive_connection",
    "send_reply",
    "uuid",
)

logger = get_logger(__name__)


# -- who we are


@cache
def get_node_id() -> int:
    """A random number of 122 bits that stands for this process."""
    from uuid import uuid4

    return uuid4().int


def generate_oid(node_id: int, process_id: int, thread_id: int, instance: object) -> str:
    """A UUID for an object of one thread of one process: the same as long as the object lives."""
    from uuid import NAMESPACE_OID, uuid3, uuid5

    text = f"{node_id:x}-{process_id:x}-{thread_id:x}-{id(instance):x}"
    try:
        return str(uuid3(NAMESPACE_OID, text))
    except ValueError:  # MD5 is switched off, as FIPS wants it
        return str(uuid5(NAMESPACE_OID, text))


def oid_from(instance: object, threads: bool = True) -> str:
    """:func:`generate_oid` for this process; the same in all its threads unless ``threads``."""
    return generate_oid(get_node_id(), os.getpid(), get_ident() if threads else 0, instance)


# -- declarations


class Broadcast(Queue):
    """A queue of one's own on a fanout exchange: every consumer gets every message.

    Arguments:
        name: of the exchange.
        queue: of the queue; by default a unique one, ``bcast.<uuid>``.
        unique: add a unique ending to ``queue``.
        auto_delete: the queue goes away with its consumer.
        exchange: in the place of the fanout exchange called ``name``.
        alias: default ``name``.
        kwargs: options of :class:`~kombu.Queue`.
    """

    queue: str

    attrs: ClassVar[Any] = (*Queue.attrs, ("queue", None))

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        unique: bool = False,
        auto_delete: bool = True,
        exchange: Any = None,
        alias: str | None = None,
        **kwargs: Any,
    ) -> None:
        if unique or not queue:
            queue = f"{queue or 'bcast'}.{uuid()}"
        super().__init__(
            alias=alias or name,
            queue=queue,
            name=queue,
            auto_delete=auto_delete,
            exchange=exchange if exchange is not None else Exchange(name or "", type="fanout"),
            **kwargs,
        )


def declaration_cached(entity: Any, channel: Any) -> bool:
    """Whether an equal entity was declared on the channel's connection."""
    return entity in (declared_entities(channel) or ())


def maybe_declare(entity: Any, channel: Any = None, retry: bool = False, **retry_policy: Any) -> bool:
    """Declare an exchange or queue unless that was done on this connection before.

    Arguments:
        channel: for an entity that is not bound.
        retry: go on after connection errors, as ``retry_policy`` (the keywords of
            :meth:`kombu.Connection.ensure`) says.

    Returns:
        bool: whether it was declared now.

    Raises:
        ChannelError: neither bound nor a channel given.
        RecoverableConnectionError: the channel has lost its connection.
    """
    if not retry:
        return declare_once(entity, channel)
    if not entity.is_bound and channel is None:
        raise ChannelError(f"Cannot declare {entity!r}: it is not bound, and no channel was given")
    bound = entity if entity.is_bound else entity.bind(channel)
    client = getattr(bound.channel.connection, "client", None)
    if client is None:
        raise RecoverableConnectionError("channel disconnected")

    def declare() -> bool:
        return declare_once(bound, bound.channel)

    done: bool = client.ensure(bound, declare, **retry_policy)()
    entity.name = bound.name
    return done


# -- waiting for messages


def eventloop(
    conn: Any, limit: int | None = None, timeout: float | None = None, ignore_timeouts: bool = False
) -> Iterator[Any]:
    """Drain events of a connection again and again, yielding after each.

    Arguments:
        limit: rounds; None goes on for ever.
        timeout: seconds to wait for an event.
        ignore_timeouts: a round in which nothing came yields nothing, in the place of raising.

    Raises:
        TimeoutError: nothing came in ``timeout`` seconds.
    """
    for _ in range(limit) if limit else count():
        try:
            got = conn.drain_events(timeout=timeout)
        except DeadlineExceeded:
            raise
        except TimeoutError:
            if timeout and not ignore_timeouts:
                raise
        else:
            yield got


def drain_consumer(
    consumer: Consumer,
    limit: int | None = 1,
    timeout: float | None = None,
    callbacks: Iterable[Callable[[Any, Message], Any]] | None = None,
) -> Iterator[tuple[Any, Message]]:
    """Consume, and yield each ``(body, message)``.

    Arguments:
        limit: events to wait for; a wait that times out counts as one. None goes on for ever.
        timeout: seconds to wait for an event.
        callbacks: called for each message as well.

    What came and was not yielded, because the caller stopped, goes back to its queue.
    """
    got: deque[tuple[Any, Message]] = deque()

    def on_message(body: Any, message: Message) -> None:
        got.append((body, message))

    before = consumer.callbacks
    consumer.callbacks = [on_message, *(callbacks or ())]
    try:
        with consumer:
            for _ in eventloop(consumer.connection, limit=limit, timeout=timeout, ignore_timeouts=True):
                while got:
                    yield got.popleft()
    finally:
        consumer.callbacks = before
        while got:
            _, message = got.pop()
            if not message.acknowledged and not message._counts_as_acknowledged():
                message.requeue()


def itermessages(
    conn: Any,
    channel: Any,
    queue: Queue,
    limit: int | None = 1,
    timeout: float | None = None,
    callbacks: Iterable[Callable[[Any, Message], Any]] | None = None,
    **kwargs: Any,
) -> Iterator[tuple[Any, Message]]:
    """:func:`drain_consumer` for a consumer of ``queue`` made with ``kwargs``."""
    return drain_consumer(
        conn.Consumer(queues=[queue], channel=channel, **kwargs),
        limit=limit,
        timeout=timeout,
        callbacks=callbacks,
    )


# -- requests and replies


def send_reply(
    exchange: Exchange | str,
    req: Message,
    msg: Any,
    producer: Producer | None = None,
    retry: bool = False,
    retry_policy: Mapping[str, Any] | None = None,
    **props: Any,
) -> Any:
    """Answer a request: to its ``reply_to``, with its ``correlation_id``, serialized as it was.

    Arguments:
        exchange: ``""`` when ``reply_to`` names a queue.
        req: the request.
        msg: the answer.
        producer: default: one on the channel of the request.
        retry, retry_policy: see :meth:`kombu.Producer.publish`.
        props: properties of the answer, in the place of those taken from the request.
    """
    options = {
        "routing_key": req.properties["reply_to"],
        "correlation_id": req.properties.get("correlation_id"),
        "serializer": registry.type_to_name.get(req.content_type or ""),
        "content_encoding": req.content_encoding,
    }
    if producer is None:
        producer = Producer(req.channel)
    return producer.publish(
        msg, exchange=exchange, retry=retry, retry_policy=retry_policy, **{**options, **props}
    )


def collect_replies(conn: Any, channel: Any, queue: Queue, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Yield the bodies that come to a reply queue; the arguments are those of :func:`itermessages`."""
    no_ack = kwargs.setdefault("no_ack", True)
    received = False
    try:
        for body, message in itermessages(conn, channel, queue, *args, **kwargs):
            if not no_ack:
                message.ack()
            received = True
            yield body
    finally:
        if received:
            channel.after_reply_message_received(queue.name)


# -- errors


@contextmanager
def _ignoring(conn: Any) -> Iterator[None]:
    try:
        yield
    except (*conn.connection_errors, *conn.channel_errors):
        pass


def ignore_errors(conn: Any, fun: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
    """Let connection and channel errors of ``conn`` pass.

    With ``fun``: call it with the other arguments, and return what it returns, or None after an error.
    Without: a context manager.
    """
    if fun is None:
        return _ignoring(conn)
    with _ignoring(conn):
        return fun(*args, **kwargs)


def revive_connection(connection: Any, channel: Any, on_revive: Callable[[Any], Any] | None = None) -> None:
    """Tell ``on_revive`` about the new channel."""
    if on_revive is not None:
        on_revive(channel)


def _log_connection_error(exc: BaseException, interval: float) -> None:
    logger.error("Connection error: %r. Retry in %ss", exc, interval, exc_info=True)


def insured(
    pool: Any,
    fun: Callable[..., Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    errback: Callable[..., Any] | None = None,
    on_revive: Callable[[Any], Any] | None = None,
    **opts: Any,
) -> Any:
    """Call ``fun(*args, **kwargs, channel=..., connection=...)`` on a pooled connection, again after its
    errors.

    Arguments:
        errback: called with ``(exc, interval)`` before each pause; default: logs.
        on_revive: called with each new channel.
        opts: see :meth:`kombu.Connection.ensure`.
    """
    errback = errback or _log_connection_error
    with pool.acquire(block=True) as conn:
        conn.ensure_connection(errback=errback)
        again = conn.autoretry(
            fun,
            conn.default_channel,
            errback=errback,
            on_revive=partial(revive_connection, conn, on_revive=on_revive),
            **opts,
        )
        value, _ = again(*args, **{**kwargs, "connection": conn})
        return value
