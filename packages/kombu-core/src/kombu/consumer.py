"""Receiving messages."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, Any

from kombu.abstract import channel_of
from kombu.entity import Queue, name_of
from kombu.exceptions import ContentDisallowed
from kombu.message import Message
from kombu.serialization import prepare_accept_content

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from typing_extensions import Self

__all__ = ("Consumer",)


class Consumer:
    """Receives messages from queues.

    Messages come while events of the connection are drained; see :meth:`kombu.Connection.drain_events`.

    Arguments:
        channel: a channel, or a connection, whose default channel is then used.
        queues: a :class:`~kombu.Queue` or several; bound copies of them are kept.
        no_ack: messages count as acknowledged when the broker sends them: faster, and lost when this process
            dies. Default: what each queue says.
        auto_declare: declare the queues now, and again after :meth:`revive` (the default).
        callbacks: called in turn with ``(body, message)``, the decoded body and the
            :class:`~kombu.message.Message`.
        on_decode_error: called with ``(message, exc)`` when a body cannot be decoded. Without it the error is
            raised from ``drain_events``. Either way the message stays unacknowledged until it is settled.
        on_message: called with the message alone, undecoded, in the place of the callbacks.
        accept: content types or names of serializers that may be decoded. Default: those that are enabled
            (JSON, text and binary unless changed).
        prefetch_count: how many messages the broker may send before one has to be acknowledged.
        tag_prefix: what the consumer tags start with.
        on_cancel: called with the consumer tag when the broker cancels, as when the queue was deleted.
    """

    ContentDisallowed = ContentDisallowed

    channel: Any = None
    no_ack: bool | None = None
    auto_declare: bool = True
    #: A list; it may be added to or replaced at any time.
    callbacks: Any = None
    on_message: Callable[[Message], Any] | None = None
    on_decode_error: Callable[[Message, Exception], Any] | None = None
    on_cancel: Callable[[str], Any] | None = None
    accept: Collection[str] | None = None
    prefetch_count: int | None = None

    def __init__(
        self,
        channel: Any,
        queues: Queue | Iterable[Queue] | None = None,
        no_ack: bool | None = None,
        auto_declare: bool | None = None,
        callbacks: list[Callable[[Any, Message], Any]] | None = None,
        on_decode_error: Callable[[Message, Exception], Any] | None = None,
        on_message: Callable[[Message], Any] | None = None,
        accept: Collection[str] | None = None,
        prefetch_count: int | None = None,
        tag_prefix: str | None = None,
        on_cancel: Callable[[str], Any] | None = None,
    ) -> None:
        self.channel = channel
        given = [queues] if isinstance(queues, Queue) else list(queues or ())
        for queue in given:
            if not isinstance(queue, Queue):
                raise TypeError(f"queues must be kombu.Queue objects, not {queue!r}: write Queue({queue!r})")
        self._queues: dict[str, Queue] = {queue.name: queue for queue in given}
        self.no_ack = self.no_ack if no_ack is None else no_ack
        if callbacks is None:
            callbacks = list(self.callbacks or ())
        self.callbacks = callbacks
        self.on_message = on_message or self.on_message
        self.on_cancel = on_cancel or self.on_cancel
        self.tag_prefix = tag_prefix
        if auto_declare is not None:
            self.auto_declare = auto_declare
        if on_decode_error is not None:
            self.on_decode_error = on_decode_error
        self.accept = prepare_accept_content(accept)
        self.prefetch_count = prefetch_count or self.prefetch_count
        #: tag of each queue that is being consumed, and how it acknowledges
        self._active_tags: dict[str, str] = {}
        self._active_no_ack: dict[str, bool | None] = {}
        self._serial = count(1)
        self._token = os.urandom(5).hex()
        self._qos: tuple[int, int, bool] | None = None
        if channel is not None:
            self.revive(channel)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.queues!r}>"

    @property
    def queues(self) -> list[Queue]:
        """The queues, bound to the channel."""
        return list(self._queues.values())

    @property
    def connection(self) -> Any:
        """The :class:`kombu.Connection`, or None when the channel knows none."""
        return getattr(getattr(self.channel, "connection", None), "client", None)

    def revive(self, channel: Any) -> None:
        """Go on with another channel, after the old one was lost.

        What was being consumed is consumed again, nothing else; declarations and prefetch are made anew. When that
        fails, the error is raised, and another call with a better channel tries the same again.
        """
        active, self._active_tags = self._active_tags, {}
        try:
            self._go_on(channel, active)
        except BaseException:
            # What could not be consumed again stays on the list: the next revive() has to know.
            self._active_tags = {**active, **self._active_tags}
            raise

    def _go_on(self, channel: Any, active: Collection[str]) -> None:
        channel = self.channel = channel_of(channel)
        self._queues = {name: queue(channel) for name, queue in self._queues.items()}
        if self.auto_declare:
            self.declare()
        if self._qos is not None:
            channel.basic_qos(*self._qos)
        elif self.prefetch_count is not None:
            self.qos(prefetch_count=self.prefetch_count)
        again = [queue for name, queue in self._queues.items() if name in active]
        self._consume(again, [self._active_no_ack.get(queue.name) for queue in again])

    def declare(self) -> None:
        """Declare the queues, their exchanges and bindings."""
        for name, queue in list(self._queues.items()):
            queue.declare()
            if queue.name != name:  # chosen by the broker
                self._queues = {q.name: q for q in self._queues.values()}

    def register_callback(self, callback: Callable[[Any, Message], Any]) -> None:
        """Have ``callback(body, message)`` called as well, from the next message on."""
        self.callbacks.append(callback)

    def __enter__(self) -> Self:
        self.consume()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: Any = None
    ) -> None:
        connection = self.connection
        lost = getattr(connection, "connection_errors", ())
        if connection is None or isinstance(exc, lost):
            self._active_tags.clear()  # the broker has forgotten them
            return
        try:
            self.cancel()
        except Exception as failure:
            if exc is None and not isinstance(failure, (*lost, *getattr(connection, "channel_errors", ()))):
                raise

    def add_queue(self, queue: Queue) -> Queue:
        """Take one more queue; :meth:`consume` then starts it. The bound copy is returned."""
        queue = queue(self.channel)
        if self.auto_declare:
            queue.declare()
        self._queues[queue.name] = queue
        return queue

    # -- starting and stopping

    def consume(self, no_ack: bool | None = None) -> None:
        """Start consuming from all queues, or from those that were added since.

        Arguments:
            no_ack: default: the consumer's, else each queue's.
        """
        no_ack = self.no_ack if no_ack is None else no_ack
        self._consume([queue for queue in self.queues if queue.name not in self._active_tags], no_ack)

    def _consume(self, queues: list[Queue], no_ack: bool | None | list[bool | None]) -> None:
        for position, queue in enumerate(queues, 1):
            self._basic_consume(
                queue,
                no_ack[position - 1] if isinstance(no_ack, list) else no_ack,
                nowait=position < len(queues),  # wait for the broker once, after the last
            )

    def _basic_consume(self, queue: Queue, no_ack: bool | None, nowait: bool) -> None:
        tag = f"{self.tag_prefix or ''}{self._token}-{next(self._serial)}"
        self._active_tags[queue.name] = tag
        self._active_no_ack[queue.name] = no_ack
        on_cancel = None if self.on_cancel is None else self._cancelled
        forgotten = queue.no_ack if no_ack is None else no_ack
        receive = self._receive_forgotten if forgotten else self._receive_callback
        try:
            queue.consume(tag, receive, no_ack=no_ack, nowait=nowait, on_cancel=on_cancel)
        except BaseException:
            self._active_tags.pop(queue.name, None)
            raise

    def _cancelled(self, consumer_tag: str) -> Any:
        """The broker has ended one of the consumers."""
        self._active_tags = {name: tag for name, tag in self._active_tags.items() if tag != consumer_tag}
        if self.on_cancel is not None:
            return self.on_cancel(consumer_tag)

    def cancel(self) -> None:
        """Stop consuming. Messages that were delivered already are still to be settled."""
        tags, self._active_tags = list(self._active_tags.values()), {}
        for tag in tags:
            self.channel.basic_cancel(tag)

    close = cancel

    def cancel_by_queue(self, queue: Queue | str) -> None:
        """Stop consuming from one queue and forget it; unknown queues are ignored."""
        name = name_of(queue)
        tag = self._active_tags.pop(name, None)
        self._queues.pop(name, None)
        if tag is not None:
            self.channel.basic_cancel(tag)

    def consuming_from(self, queue: Queue | str) -> bool:
        """Whether messages of ``queue`` are being received."""
        return name_of(queue) in self._active_tags

    def purge(self) -> int:
        """Remove all ready messages from all queues, for good; their number is returned."""
        return sum(queue.purge() for queue in self.queues)

    def flow(self, active: bool) -> Any:
        """Ask the broker to stop sending (False) or to go on (True). Many brokers cannot; use prefetch."""
        return self.channel.flow(active)

    def qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> Any:
        """Limit what the broker sends ahead of acknowledgements. Kept over :meth:`revive`.

        Arguments:
            prefetch_size: bytes; 0 is no limit, and all that most brokers take.
            prefetch_count: messages; 0 is no limit.
            apply_global: for the whole channel; else for each consumer started from now on (RabbitMQ's
                reading).
        """
        self._qos = (prefetch_size, prefetch_count, apply_global)
        return self.channel.basic_qos(prefetch_size, prefetch_count, apply_global)

    def recover(self, requeue: bool = False) -> Any:
        """Have everything unacknowledged on the channel delivered again, with ``requeue`` maybe to others."""
        return self.channel.basic_recover(requeue=requeue)

    # -- receiving

    def receive(self, body: Any, message: Message) -> None:
        """Give a decoded message to the callbacks.

        Raises:
            NotImplementedError: there are none.
        """
        callbacks = self.callbacks
        if not callbacks:
            raise NotImplementedError("Consumer does not have any callbacks: give callbacks= or on_message=")
        for callback in callbacks:
            callback(body, message)

    def _receive_forgotten(self, message: Any) -> Any:
        """A delivery with ``no_ack``: also when the consumer has ended, nothing may be sent to settle it."""
        if not isinstance(message, Message):
            message = self.channel.message_to_python(message)
        message._state = "NO_ACK"
        return self._receive_callback(message)

    def _receive_callback(self, message: Any) -> Any:
        """What the channel calls for each delivery; the hot path of consuming."""
        if not isinstance(message, Message):
            message = self.channel.message_to_python(message)
        accept = self.accept
        if accept is not None:
            message.accept = accept
        on_message = self.on_message
        if on_message is not None:
            return on_message(message)
        try:
            body = message.decode()
        except Exception as exc:
            on_decode_error = self.on_decode_error
            if on_decode_error is None:
                raise
            return on_decode_error(message, exc)
        self.receive(body, message)
