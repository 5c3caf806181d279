"""Queues that look like those of the standard library."""

from __future__ import annotations

from collections import deque
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.abstract import channel_of
from kombu.consumer import Consumer
from kombu.entity import Exchange, Queue
from kombu.exceptions import DeadlineExceeded
from kombu.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from typing_extensions import Self

    from kombu.message import Message

__all__ = ("SimpleBuffer", "SimpleQueue")


class SimpleBase:
    """A producer and a consumer of one queue.

    Arguments:
        channel: a channel or a connection.
        producer: what :meth:`put` publishes with.
        consumer: of one queue; its messages are kept for :meth:`get` instead of going to callbacks.
        no_ack: messages count as acknowledged when the broker sends them.
    """

    Empty = Empty

    def __init__(self, channel: Any, producer: Producer, consumer: Consumer, no_ack: bool = False) -> None:
        self.channel = channel_of(channel)
        self.producer = producer
        self.consumer = consumer
        self.no_ack = no_ack
        self.queue = consumer.queues[0]
        #: Messages that came and were not asked for yet.
        self.buffer: deque[Message] = deque()
        consumer.on_message = self._receive

    def _receive(self, message: Message) -> None:
        self.buffer.append(message)

    def get(self, block: bool = True, timeout: float | None = None) -> Message:
        """The next message; its ``payload`` is what was put. Acknowledge it when it is done with.

        Arguments:
            block: wait for one.
            timeout: seconds to wait at most; None waits until there is one.

        Raises:
            Empty: there was none in time.
        """
        if not block:
            return self.get_nowait()
        if not self.consumer.consuming_from(self.queue):
            self.consumer.consume(no_ack=self.no_ack)
        end = None if timeout is None else monotonic() + timeout
        client = self.channel.connection.client
        while not self.buffer:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise self.Empty
            try:
                client.drain_events(timeout=left)
            except DeadlineExceeded:
                raise
            except TimeoutError:
                if end is not None and not self.buffer:
                    raise self.Empty from None
        return self.buffer.popleft()

    def get_nowait(self) -> Message:
        """The next message, if there is one now.

        Raises:
            Empty: there is none.
        """
        consuming = self.consumer.consuming_from(self.queue)
        while consuming and not self.buffer:  # (the consumer may have been sent what the queue does not have any more)
            try:
                self.channel.connection.client.drain_events(timeout=0)
            except DeadlineExceeded:
                raise
            except TimeoutError:
                break
        if self.buffer:
            return self.buffer.popleft()
        message: Message | None = self.queue.get(no_ack=self.no_ack, accept=self.consumer.accept)
        if message is None:
            raise self.Empty
        return message

    def put(
        self,
        message: Any,
        serializer: str | None = None,
        headers: Mapping[str, Any] | None = None,
        compression: str | None = None,
        routing_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Publish to the queue; the arguments are those of :meth:`kombu.Producer.publish`."""
        self.producer.publish(
            message,
            serializer=serializer,
            routing_key=routing_key,
            headers=headers,
            compression=compression,
            **kwargs,
        )

    def clear(self) -> int:
        """Remove all messages that nobody has got yet; their number is returned."""
        count = self.queue.purge() + len(self.buffer)
        while self.buffer:
            self.buffer.popleft().ack()
        return count

    def qsize(self) -> int:
        """How many messages wait: those in the broker, and those that came but were not asked for yet."""
        _, size, _ = self.queue.queue_declare(passive=True)
        return int(size) + len(self.buffer)

    def close(self) -> None:
        """Stop consuming; what came and was not asked for goes back to the queue."""
        self.consumer.cancel()
        while self.buffer:
            message = self.buffer.pop()  # the youngest first: each goes back to the front
            if not self.no_ack:
                message.requeue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True


class SimpleQueue(SimpleBase):
    """A durable queue with persistent messages.

    Arguments:
        channel: a channel or a connection.
        name: of the queue, its exchange and the routing key; or a :class:`~kombu.Queue`.
        no_ack: messages count as acknowledged when the broker sends them.
        queue_opts, exchange_opts: further options of :class:`~kombu.Queue` and :class:`~kombu.Exchange`.
        queue_args: arguments of ``queue.declare``.
        serializer, compression: of what is put.
        accept: content types or names of serializers that may be decoded.
    """

    no_ack: bool = False
    queue_opts: ClassVar[dict[str, Any]] = {}
    queue_args: ClassVar[dict[str, Any]] = {}
    exchange_opts: ClassVar[dict[str, Any]] = {"type": "direct"}

    def __init__(
        self,
        channel: Any,
        name: str | Queue,
        no_ack: bool | None = None,
        queue_opts: Mapping[str, Any] | None = None,
        queue_args: Mapping[str, Any] | None = None,
        exchange_opts: Mapping[str, Any] | None = None,
        serializer: str | None = None,
        compression: str | None = None,
        accept: Collection[str] | None = None,
    ) -> None:
        if isinstance(name, Queue):
            queue = name
        else:
            exchange = Exchange(name, **{**self.exchange_opts, **(exchange_opts or {})})
            arguments = {**self.queue_args, **(queue_args or {})}
            options = {**self.queue_opts, **(queue_opts or {})}
            queue = Queue(name, exchange, name, queue_arguments=arguments, **options)
        consumer = Consumer(channel, queue, accept=accept)
        queue = consumer.queues[0]
        to_exchange = queue.exchange is not None and bool(queue.exchange.name)
        producer = Producer(
            channel,
            queue.exchange if to_exchange else None,
            serializer=serializer,
            routing_key=queue.routing_key if to_exchange else queue.name,
            compression=compression,
        )
        super().__init__(channel, producer, consumer, self.no_ack if no_ack is None else no_ack)


class SimpleBuffer(SimpleQueue):
    """A queue of this connection alone, gone with it, with transient messages that need no
    acknowledgement."""

    no_ack = True
    queue_opts: ClassVar[dict[str, Any]] = {"durable": False, "auto_delete": True, "exclusive": True}
    exchange_opts: ClassVar[dict[str, Any]] = {
        "durable": False,
        "delivery_mode": "transient",
        "auto_delete": True,
    }
