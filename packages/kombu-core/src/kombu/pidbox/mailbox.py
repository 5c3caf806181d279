"""The mailboxes of an application: who sends commands, and where they and their answers go."""

from __future__ import annotations

from collections import defaultdict, deque
from contextlib import contextmanager
from copy import copy
from threading import local
from typing import TYPE_CHECKING, Any

from kombu.clocks import LamportClock
from kombu.common import oid_from
from kombu.entity import Exchange, Queue
from kombu.pidbox.node import Node
from kombu.pidbox.wire import Wire
from kombu.producer import Producer
from kombu.utils.functional import maybe_evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("REPLY_QUEUE_EXPIRES", "Mailbox")

#: Seconds that a reply queue outlives its use.
REPLY_QUEUE_EXPIRES = 10


class Mailbox(Wire):
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
