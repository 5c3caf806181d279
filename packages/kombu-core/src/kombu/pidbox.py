"""Mailboxes of processes: send a command to some or all nodes of an application, and collect what they answer."""

from __future__ import annotations

import warnings
from collections import defaultdict, deque
from contextlib import contextmanager
from copy import copy
from threading import local
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from kombu.clocks import LamportClock
from kombu.common import maybe_declare, oid_from
from kombu.consumer import Consumer
from kombu.entity import Exchange, Queue
from kombu.exceptions import InconsistencyError
from kombu.log import get_logger
from kombu.matcher import match
from kombu.producer import Producer
from kombu.utils.functional import maybe_evaluate, reprcall
from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("Mailbox", "Node")

#: Seconds that a reply queue outlives its use.
REPLY_QUEUE_EXPIRES = 10

logger = get_logger(__name__)


class Node:
    """One process of an application: it handles the commands that come to its mailbox.

    Arguments:
        hostname: the node's name.
        state: given to each handler as its first argument.
        channel: where it listens and answers.
        handlers: functions by the name of the command.
        mailbox: the application's :class:`Mailbox`.
    """

    hostname: Any = None
    mailbox: Any = None
    handlers: Any = None
    state: Any = None
    channel: Any = None

    def __init__(
        self, hostname: Any, state: Any = None, channel: Any = None, handlers: Any = None, mailbox: Any = None
    ) -> None:
        self.hostname = hostname
        self.state = state
        self.channel = channel
        self.mailbox = mailbox
        self.handlers = {} if handlers is None else handlers
        self.adjust_clock = mailbox.clock.adjust

    def Consumer(self, channel: Any = None, no_ack: bool = True, accept: Any = None, **options: Any) -> Any:
        """A consumer of the node's queue."""
        queue = self.mailbox.get_queue(self.hostname)

        def declared(name: str, messages: int, consumers: int) -> None:
            if consumers:
                warnings.warn(
                    f"A node named {self.hostname!r} is already using the mailbox {name!r}: "
                    "give each node a name of its own",
                    stacklevel=2,
                )

        queue.on_declared = declared
        return Consumer(
            channel or self.channel,
            [queue],
            no_ack=no_ack,
            accept=self.mailbox.accept if accept is None else accept,
            **options,
        )

    def handler(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a function to handle the command of its name."""
        self.handlers[fun.__name__] = fun
        return fun

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """A command could not be decoded: log it."""
        logger.error("Cannot decode message: %r", exc, exc_info=exc)

    def listen(self, channel: Any = None, callback: Callable[..., Any] | None = None) -> Any:
        """Start consuming; the consumer is returned. ``callback(body, message)``: default :meth:`handle_message`."""
        consumer = self.Consumer(
            channel=channel, callbacks=[callback or self.handle_message], on_decode_error=self.on_decode_error
        )
        consumer.consume()
        return consumer

    def dispatch(
        self, method: str, arguments: Any = None, reply_to: Any = None, ticket: str | None = None, **kwargs: Any
    ) -> Any:
        """Carry a command out, and answer it if ``reply_to`` says where to. An error of its handler is the answer."""
        arguments = arguments or {}
        logger.debug("pidbox received method %s [reply_to:%s ticket:%s]", method, reply_to, ticket)
        handle = self.handle_call if reply_to else self.handle_cast
        try:
            reply = handle(method, arguments)
        except SystemExit:
            raise
        except Exception as exc:
            logger.error("pidbox command error: %r in %s", exc, reprcall(method, (), arguments), exc_info=True)
            reply = {"error": repr(exc)}
        if reply_to:
            self.reply(
                {self.hostname: reply},
                exchange=reply_to["exchange"],
                routing_key=reply_to["routing_key"],
                ticket=ticket,
            )
        return reply

    def handle(self, method: str, arguments: Any = None) -> Any:
        """Call the handler of ``method``; KeyError when there is none."""
        return self.handlers[method](self.state, **(arguments or {}))

    def handle_call(self, method: str, arguments: Any) -> Any:
        """A command that is answered."""
        return self.handle(method, arguments)

    def handle_cast(self, method: str, arguments: Any) -> Any:
        """A command that is not."""
        return self.handle(method, arguments)

    def handle_message(self, body: Any, message: Any = None) -> Any:
        """Carry out the command in a message, if it is for this node."""
        if message is not None:
            self.adjust_clock(message.headers.get("clock") or 0)
        pattern, matcher = body.get("pattern"), body.get("matcher")
        if pattern and matcher:
            wanted = match(self.hostname, pattern, matcher)
        else:
            destination = body.get("destination")
            wanted = not destination or self.hostname in destination
        if wanted:
            return self.dispatch(**body)

    dispatch_from_message = handle_message

    def reply(self, data: Any, exchange: str, routing_key: str, ticket: str | None, **kwargs: Any) -> None:
        """Send an answer."""
        self.mailbox._publish_reply(
            data, exchange, routing_key, ticket, channel=self.channel, serializer=self.mailbox.serializer
        )


class Mailbox:
    """The mailboxes of an application. Call it with a connection for a copy that is bound to it.

    Arguments:
        namespace: name of the application.
        type: ``direct``, or ``fanout`` to reach all nodes.
        connection: to send on, and to collect answers from.
        clock: the :class:`~kombu.clocks.LamportClock` to use.
        accept: content types that may be received; default JSON alone.
        serializer: of commands and answers.
        producer_pool: where to take producers from.
        queue_ttl, queue_expires: seconds that a command, and that an unused queue of a node, is kept.
        queue_durable, queue_exclusive: of the queues of the nodes; not both.
        reply_queue_ttl, reply_queue_expires: the same as the first two for the queues of answers.

    Raises:
        ValueError: the queues can't be both durable and exclusive.
    """

    node_cls = Node
    exchange_fmt = "%s.pidbox"
    reply_exchange_fmt = "reply.%s.pidbox"

    namespace: Any = None
    connection: Any = None
    type: str = "direct"
    exchange: Any = None
    reply_exchange: Any = None
    accept: Any = ["json"]
    serializer: Any = None

    def __init__(
        self,
        namespace: Any,
        type: str = "direct",
        connection: Any = None,
        clock: Any = None,
        accept: Any = None,
        serializer: Any = None,
        producer_pool: Any = None,
        queue_ttl: float | None = None,
        queue_expires: float | None = None,
        queue_durable: bool = False,
        queue_exclusive: bool = True,
        reply_queue_ttl: float | None = None,
        reply_queue_expires: float | None = 10.0,
    ) -> None:
        if queue_durable and queue_exclusive:
            raise ValueError(
                "queue_durable and queue_exclusive cannot both be True: "
                "an exclusive queue goes with its connection; set queue_exclusive=False"
            )
        self.namespace = namespace
        self.connection = connection
        self.type = type
        self.clock = LamportClock() if clock is None else clock
        self.exchange = self._get_exchange(namespace, type)
        self.reply_exchange = self._get_reply_exchange(namespace)
        self.unclaimed: defaultdict[str, deque[Any]] = defaultdict(deque)
        self.accept = self.accept if accept is None else accept
        self.serializer = self.serializer if serializer is None else serializer
        self.queue_ttl = queue_ttl
        self.queue_expires = queue_expires
        self.queue_durable = queue_durable
        self.queue_exclusive = queue_exclusive
        self.reply_queue_ttl = reply_queue_ttl
        self.reply_queue_expires = reply_queue_expires
        self._producer_pool = producer_pool
        self._tls = local()

    def __call__(self, connection: Any) -> Mailbox:
        bound = copy(self)
        bound.connection = connection
        return bound

    def Node(self, hostname: Any = None, state: Any = None, channel: Any = None, handlers: Any = None) -> Node:
        """A node of this application; ``hostname`` defaults to this machine's."""
        if not hostname:
            import socket

            hostname = socket.gethostname()
        return self.node_cls(hostname, state, channel, handlers, mailbox=self)

    # -- sending commands

    def call(
        self,
        destination: Any,
        command: str,
        kwargs: Any = None,
        timeout: float | None = None,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
    ) -> Any:
        """Send a command to the nodes named and collect their answers, waiting at most ``timeout`` seconds."""
        return self._broadcast(
            command, kwargs, destination, reply=True, timeout=timeout, callback=callback, channel=channel
        )

    def cast(self, destination: Any, command: str, kwargs: Any = None) -> Any:
        """Send a command to the nodes named; no answer."""
        return self._broadcast(command, kwargs, destination, reply=False)

    def abcast(self, command: str, kwargs: Any = None) -> Any:
        """Send a command to all nodes; no answer."""
        return self._broadcast(command, kwargs, reply=False)

    def multi_call(
        self,
        command: str,
        kwargs: Any = None,
        timeout: float | None = 1,
        limit: int | None = None,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
    ) -> Any:
        """Send a command to all nodes and collect the answers: ``limit`` of them, or those of ``timeout`` seconds."""
        return self._broadcast(
            command, kwargs, reply=True, timeout=timeout, limit=limit, callback=callback, channel=channel
        )

    # -- entities

    @property
    def oid(self) -> str:
        """What tells this mailbox's answers from others': the same as long as it lives, one for each thread."""
        try:
            oid: str = self._tls.oid
        except AttributeError:
            oid = self._tls.oid = oid_from(self)
        return oid

    def get_reply_queue(self) -> Queue:
        """The queue of answers for this thread."""
        oid = self.oid
        return Queue(
            f"{oid}.{self.reply_exchange.name}",
            exchange=self.reply_exchange,
            routing_key=oid,
            durable=False,
            auto_delete=True,
            exclusive=self.queue_exclusive,
            expires=self.reply_queue_expires,
            message_ttl=self.reply_queue_ttl,
        )

    @property
    def reply_queue(self) -> Queue:
        return self.get_reply_queue()

    def get_queue(self, hostname: Any) -> Queue:
        """The queue of a node."""
        return Queue(
            f"{hostname}.{self.namespace}.pidbox",
            exchange=self.exchange,
            durable=self.queue_durable,
            exclusive=self.queue_exclusive,
            auto_delete=not self.queue_durable,
            expires=self.queue_expires,
            message_ttl=self.queue_ttl,
        )

    def _get_exchange(self, namespace: Any, type: str) -> Exchange:
        return Exchange(self.exchange_fmt % namespace, type=type, durable=False, delivery_mode="transient")

    def _get_reply_exchange(self, namespace: Any) -> Exchange:
        return Exchange(
            self.reply_exchange_fmt % namespace, type="direct", durable=False, delivery_mode="transient"
        )

    # -- producers

    @property
    def producer_pool(self) -> Any:
        """Where producers come from: a pool, or a :class:`~kombu.utils.functional.lazy` one, or None."""
        return maybe_evaluate(self._producer_pool)

    @producer_pool.setter
    def producer_pool(self, pool: Any) -> None:
        self._producer_pool = pool

    @producer_pool.deleter
    def producer_pool(self) -> None:
        self._producer_pool = None

    @contextmanager
    def producer_or_acquire(self, producer: Any = None, channel: Any = None) -> Iterator[Any]:
        """The producer given, else one of the pool, else one on the channel."""
        if producer:
            yield producer
        elif self.producer_pool:
            with self.producer_pool.acquire() as producer:
                yield producer
        else:
            yield Producer(channel, auto_declare=False)

    # -- the wire

    def _publish_reply(
        self,
        reply: Any,
        exchange: str,
        routing_key: str,
        ticket: str | None,
        channel: Any = None,
        producer: Any = None,
        **opts: Any,
    ) -> None:
        chan = channel or self.connection.default_channel
        where = Exchange(exchange, type="direct", delivery_mode="transient", durable=False)
        with self.producer_or_acquire(producer, chan) as producer:
            try:
                producer.publish(
                    reply,
                    exchange=where,
                    routing_key=routing_key,
                    declare=[where],
                    headers={"ticket": ticket, "clock": self.clock.forward()},
                    retry=True,
                    **opts,
                )
            except InconsistencyError:
                pass  # whoever asked is gone, and its queue with it

    def _publish(
        self,
        type: str,
        arguments: Any,
        destination: Any = None,
        reply_ticket: str | None = None,
        channel: Any = None,
        timeout: float | None = None,
        serializer: Any = None,
        producer: Any = None,
        pattern: Any = None,
        matcher: Any = None,
    ) -> None:
        message = {
            "method": type,
            "arguments": arguments,
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
        }
        chan = channel or self.connection.default_channel
        if reply_ticket:
            maybe_declare(self.reply_queue(chan))
            message.update(
                ticket=reply_ticket,
                reply_to={"exchange": self.reply_exchange.name, "routing_key": self.oid},
            )
        with self.producer_or_acquire(producer, chan) as producer:
            producer.publish(
                message,
                exchange=self.exchange.name,
                declare=[self.exchange],
                headers={"clock": self.clock.forward(), "expires": time() + timeout if timeout else 0},
                serializer=serializer or self.serializer,
                retry=True,
            )

    def _broadcast(
        self,
        command: str,
        arguments: Any = None,
        destination: Any = None,
        reply: bool = False,
        timeout: float | None = 1,
        limit: int | None = None,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
        serializer: Any = None,
        pattern: Any = None,
        matcher: Any = None,
    ) -> Any:
        if destination is not None and not isinstance(destination, (list, tuple)):
            raise ValueError(f"destination must be a list or tuple of names, not {destination!r}")
        if (pattern is not None and not isinstance(pattern, str)) or (
            matcher is not None and not isinstance(matcher, str)
        ):
            raise ValueError(f"pattern and matcher must be strings, not {pattern!r} and {matcher!r}")
        arguments = arguments or {}
        ticket = uuid() if reply else None
        chan = channel or self.connection.default_channel
        if limit is None and destination:
            limit = len(destination)
        self._publish(
            command,
            arguments,
            destination=destination,
            reply_ticket=ticket,
            channel=chan,
            timeout=timeout,
            serializer=serializer,
            pattern=pattern,
            matcher=matcher,
        )
        if ticket is not None:
            return self._collect(ticket, limit=limit, timeout=timeout, callback=callback, channel=chan)

    def _collect(
        self,
        ticket: str,
        limit: int | None = None,
        timeout: float | None = 1,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
        accept: Any = None,
    ) -> list[Any]:
        """The answers to ``ticket``: ``limit`` of them, or those that come in ``timeout`` seconds."""
        chan = channel or self.connection.default_channel
        answers: list[Any] = []
        unclaimed = self.unclaimed

        def take(body: Any) -> None:
            if callback:
                callback(body)
            answers.append(body)

        def on_message(body: Any, message: Any) -> None:
            headers = message.headers
            self.clock.adjust(headers.get("clock") or 0)
            expires = headers.get("expires")
            if expires and time() > expires:
                return
            its_ticket = headers.get("ticket", ticket)
            if its_ticket == ticket:
                take(body)
            else:
                unclaimed[its_ticket].append(body)

        for body in unclaimed.pop(ticket, ()):
            take(body)
        deadline = None if timeout is None else monotonic() + timeout
        queue = self.reply_queue
        consumer = Consumer(
            chan, [queue], callbacks=[on_message], accept=self.accept if accept is None else accept, no_ack=True
        )
        try:
            with consumer:
                while True:
                    if limit and len(answers) >= limit:
                        break
                    left = None if deadline is None else deadline - monotonic()
                    if left is not None and left <= 0:
                        break
                    try:
                        self.connection.drain_events(timeout=left)
                    except TimeoutError:
                        break
        finally:
            chan.after_reply_message_received(queue.name)
        return answers
