"""A channel: the driver's verbs with kombu's additions, confirmed publishing, and a second life after an error.

The broker closes a channel to refuse an operation (AMQP 0-9-1 section 1.1). Such a channel is opened again by its
next use; its consumers and unacknowledged deliveries are gone, as the broker's are.
"""

from __future__ import annotations

from logging import getLogger
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar

import amqp
from amqp import spec

from kombu.transport.base import StdChannel
from kombu.utils.uuid import uuid
from kombu_amqp import errors
from kombu_amqp.message import Message, Outgoing, delivered, unreadable
from kombu_amqp.publish import PublishVerbs
from kombu_amqp.replies import Waits

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Channel",)

logger = getLogger("kombu.transport.pyamqp")

#: Methods that need no answer and may be sent from any thread, while another uses the channel.
_ANY_THREAD = frozenset(
    (spec.Basic.Ack, spec.Basic.Reject, spec.Basic.Nack, spec.Channel.CloseOk, spec.Channel.FlowOk)
)


class Channel(PublishVerbs, Waits, amqp.Channel, StdChannel):  # type: ignore[misc]
    """A channel of a :class:`kombu_amqp.Connection`."""

    Message: ClassVar[type[Any]] = Message
    events: dict[str, set[Any]]
    no_ack_consumers: set[str]

    def __init__(self, connection: Any, channel_id: int | None = None, on_open: Any = None) -> None:
        self._init_waiting()
        self._init_publishing()
        self._guard = RLock()
        #: What to add to the broker's delivery tags: it starts anew when the channel does, ours go on.
        self._tag_base = 0
        self._last_tag = 0
        self._global_prefetch = 0
        #: What the broker closed this channel with while another one was waiting.
        self._fault: BaseException | None = None
        super().__init__(connection, channel_id, auto_decode=False, on_open=on_open)
        self.__dict__.pop("basic_publish", None)  # (the driver's own way of confirming)

    # -- sending

    def send_method(self, sig: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a method of this channel, opening it again if the broker has closed it."""
        if sig in _ANY_THREAD:
            return Waits.send_method(self, sig, *args, **kwargs)
        self._take()
        try:
            if not self.is_open and sig != spec.Channel.Open:
                self._ready()
            return Waits.send_method(self, sig, *args, **kwargs)
        finally:
            self._guard.release()

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer; see :meth:`kombu_amqp.replies.Waits.wait`."""
        self._take()
        try:
            return Waits.wait(self, *args, **kwargs)
        finally:
            self._guard.release()

    def _take(self) -> None:
        if not self._guard.acquire(blocking=False):
            raise errors.ChannelInUse(
                f"channel {self.channel_id} is being used by another thread at this moment: open a channel for each"
                " thread, on a connection of its own if it waits for answers (kombu.pools)"
            )

    def _ready(self) -> None:
        """Make a channel usable that the broker has closed."""
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault
        connection = self.connection
        if connection is None or connection.channels is None:
            raise self._closed()
        if self.channel_id is None:
            self.channel_id = connection._get_free_channel_id()
            connection.channels[self.channel_id] = self
            self.closed_by = None
            self.open()

    # -- closing

    def _on_close(self, reply_code: int, reply_text: str, class_id: int, method_id: int) -> None:
        """The broker closes the channel, to refuse something."""
        connection = self.connection
        self.send_method(spec.Channel.CloseOk)
        if connection.is_closing:
            return
        if self.is_closing:  # both at once: that was the answer
            self._on_close_ok()
            return
        error = errors.error_for_code(reply_code, reply_text, (class_id, method_id), errors.ChannelError)
        self.closed_by = error
        self._release_number()
        if connection.waiting is None or connection.waiting is self:
            raise error
        self._fault = error
        connection.defer(self._raise_fault, error)

    def _raise_fault(self, error: BaseException) -> None:
        if self._fault is error:
            self._fault = None
            raise error

    def _release_number(self) -> None:
        """What was under way on the channel is over; its number is free."""
        connection, number = self.connection, self.channel_id
        self.is_open, self.channel_id = False, None
        self._tag_base = self._last_tag
        self._global_prefetch = 0
        if connection is not None and connection.channels is not None and number is not None:
            connection.channels.pop(number, None)
            if number in connection._used_channel_ids:
                connection._used_channel_ids.remove(number)
        error = self.closed_by or self._closed()
        self._fail_waiting(error)
        self._stop_confirming(error)
        self.callbacks.clear()
        self.cancel_callbacks.clear()
        self.no_ack_consumers.clear()

    def collect(self) -> None:
        """Let go of everything, for good; the broker is told nothing."""
        if self.connection is not None and self.closed_by is None:
            self.closed_by = getattr(self.connection, "closed_by", None)
        self._release_number()
        self.connection = None
        self.events.clear()

    forget = collect

    def close(self, *args: Any, **kwargs: Any) -> Any:
        """Close the channel; what it left unacknowledged goes back to the queues."""
        if self.connection is None:
            return None
        try:
            if not self.is_open or not self.connection.connected:
                return None
            return super().close(*args, **kwargs)
        finally:
            self.collect()

    # -- kombu's part

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: Any = None,
        properties: Any = None,
        _Message: Any = Outgoing,
    ) -> Any:
        """What :meth:`basic_publish` takes: any object with ``body`` and ``properties``."""
        return _Message(
            body,
            priority=priority,
            content_type=content_type,
            content_encoding=content_encoding,
            application_headers=headers,
            **properties or {},
        )

    def message_to_python(self, raw_message: Any) -> Any:
        """A delivery as :class:`kombu_amqp.Message`, which it is already when it comes from a consumer."""
        return raw_message if isinstance(raw_message, Message) else self.Message(raw_message, channel=self)

    def flow(self, active: bool = True) -> Any:
        """Ask the broker to go on sending. RabbitMQ cannot be asked to stop: limit it by :meth:`basic_qos`."""
        return super().flow(active)

    # -- declaring

    def queue_declare(self, queue: str = "", *args: Any, **kwargs: Any) -> Any:
        """Declare a queue; see the driver."""
        declared = super().queue_declare(queue, *args, **kwargs)
        arguments = kwargs.get("arguments") or {}
        if arguments.get("x-queue-type") == "quorum":
            self.connection.quorum_queues.add(queue)
        return declared

    # -- consuming

    def basic_qos(
        self,
        prefetch_size: int = 0,
        prefetch_count: int = 0,
        apply_global: bool = False,
        a_global: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Limit what is sent ahead of acknowledgements.

        Arguments:
            prefetch_size: bytes; RabbitMQ only takes 0.
            prefetch_count: messages; 0 is no limit.
            apply_global: for the channel; else for each consumer started from now on. RabbitMQ 4 deprecates the
                first, and quorum queues never knew it: there each consumer gets the limit.

        From any thread.
        """
        apply_global = apply_global if a_global is None else a_global
        if apply_global and self.connection is not None and self.connection.without_global_qos:
            apply_global = False
        self._global_prefetch = prefetch_count if apply_global else self._global_prefetch
        # Celery's workers with threads set it from several: who finds the channel busy does not wait for the answer.
        if not self._guard.acquire(blocking=False):
            return self._send_qos(prefetch_size, prefetch_count, apply_global)
        try:
            if not self.is_open or self.connection.may_read():
                return super().basic_qos(prefetch_size, prefetch_count, apply_global, **kwargs)
            return self._send_qos(prefetch_size, prefetch_count, apply_global)
        finally:
            self._guard.release()

    def _send_qos(self, *arguments: Any) -> None:
        connection = self.connection
        if connection is None or not self.is_open:
            raise self._closed()
        with connection.write_lock:  # (so the answer cannot come before it is expected)
            self._expect([spec.Basic.QosOk]).late = self._late_reply
            Waits.send_method(self, spec.Basic.Qos, "lBb", arguments)

    def basic_consume(
        self,
        queue: str = "",
        consumer_tag: str = "",
        no_local: bool = False,
        no_ack: bool = False,
        exclusive: bool = False,
        nowait: bool = False,
        callback: Callable[[Any], Any] | None = None,
        arguments: Any = None,
        on_cancel: Callable[[str], Any] | None = None,
        argsig: str = "BssbbbbF",
    ) -> str:
        """Start consuming; the consumer's tag is returned."""
        if self._global_prefetch and self.connection is not None and queue in self.connection.quorum_queues:
            count, self._global_prefetch = self._global_prefetch, 0
            super().basic_qos(0, 0, True)
            super().basic_qos(0, count, False)
        tag = consumer_tag or f"ctag-{uuid()}"
        self._take()
        try:
            if not self.is_open:
                self._ready()
            # Known before the broker is asked: deliveries may follow its answer at once.
            self.callbacks[tag] = callback
            if on_cancel:
                self.cancel_callbacks[tag] = on_cancel
            if no_ack:
                self.no_ack_consumers.add(tag)
            try:
                self.send_method(
                    spec.Basic.Consume,
                    argsig,
                    (0, queue, tag, no_local, no_ack, exclusive, nowait, arguments),
                    wait=None if nowait else spec.Basic.ConsumeOk,
                )
            except BaseException:
                self._remove_tag(tag)
                raise
        finally:
            self._guard.release()
        return tag

    def basic_cancel(self, consumer_tag: str, nowait: bool = False, argsig: str = "sb") -> None:
        """Stop a consumer; one with ``no_ack`` gets what had come before: the broker has forgotten it."""
        if self.connection is None:
            return
        forgotten = consumer_tag in self.no_ack_consumers
        wait = None if nowait else spec.Basic.CancelOk
        self.send_method(spec.Basic.Cancel, argsig, (consumer_tag, nowait), wait=wait)
        for delivery in self.connection.take_deferred(self._deliver, consumer_tag) if forgotten else ():
            self._deliver(*delivery)

    def on_delivery(
        self,
        consumer_tag: str,
        delivery_tag: int,
        redelivered: bool,
        exchange: str,
        routing_key: str,
        properties: dict[str, Any],
        body: bytes,
        fault: Exception | None = None,
    ) -> None:
        """A message for a consumer; ``fault`` is what is wrong with its properties."""
        if self.is_closing:
            return
        tag = self._last_tag = delivery_tag + self._tag_base
        info = {"consumer_tag": consumer_tag, "delivery_tag": tag, "redelivered": redelivered}
        info["exchange"], info["routing_key"] = exchange, routing_key
        message = delivered(self.Message, self, body, tag, properties, info)
        if fault is not None:
            message.errors = unreadable(fault)
        if self.connection.waiting is None:
            callback = self.callbacks.get(consumer_tag)
            if callback is not None:
                return callback(message)  # type: ignore[no-any-return]
        forgotten = self.callbacks.get(consumer_tag) if consumer_tag in self.no_ack_consumers else None
        self.connection.defer(self._deliver, consumer_tag, message, forgotten)

    def _deliver(self, consumer_tag: str, msg: Any, forgotten: Callable[[Any], Any] | None) -> None:
        """``forgotten``: who gets it although cancelled meanwhile, since the broker does not have it any more."""
        callback = self.callbacks.get(consumer_tag) or forgotten
        if callback is not None:
            callback(msg)
        elif self.is_open and msg.delivery_info["delivery_tag"] > self._tag_base:
            # Cancelled meanwhile: somebody else shall have it.
            self.basic_reject(msg.delivery_info["delivery_tag"], requeue=True)

    def _on_basic_cancel(self, consumer_tag: str) -> None:
        """The broker has ended a consumer: its queue is gone."""
        callback = self._remove_tag(consumer_tag)
        if self.connection.waiting is not None:
            return self.connection.defer(self._cancelled, callback, consumer_tag)  # type: ignore[no-any-return]
        self._cancelled(callback, consumer_tag)

    def _cancelled(self, callback: Any, consumer_tag: str) -> None:
        if callback is None:
            raise errors.ConsumerCancelled(consumer_tag, spec.Basic.Cancel)
        callback(consumer_tag)

    def _on_get_ok(self, delivery_tag: int, *args: Any) -> Any:
        tag = self._last_tag = delivery_tag + self._tag_base
        return super()._on_get_ok(tag, *args)

    def _late_reply(self, sig: tuple[int, int], args: list[Any]) -> None:
        if sig == spec.Basic.GetOk and self.is_open:
            # (a message for somebody who gave up; refusing one got with no_ack would be an error)
            self._last_tag = args[0] + self._tag_base
            if not self._get_no_ack:
                self.basic_reject(self._last_tag, requeue=True)

    _get_no_ack = False

    def basic_get(self, queue: str = "", no_ack: bool = False, argsig: str = "Bsb") -> Any:
        """The next message of the queue, or None."""
        self._get_no_ack = no_ack
        return super().basic_get(queue, no_ack, argsig)

    # -- settling

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Acknowledge a delivery."""
        number: int | None = delivery_tag - self._tag_base
        if delivery_tag <= self._tag_base or self.channel_id is None:
            number = self._current(delivery_tag, "acknowledged")
        if number is not None:
            self._wire().ack(self.channel_id, number, multiple)

    def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Refuse a delivery: to be dropped or dead-lettered, or with ``requeue`` delivered again."""
        number = self._current(delivery_tag, "rejected")
        if number is not None:
            self._wire().reject(self.channel_id, number, requeue)

    def _wire(self) -> Any:
        if self.connection is None or self.connection.wire is None:
            raise self._closed()
        return self.connection.wire

    def _current(self, delivery_tag: int, what: str) -> int | None:
        """The broker's number for the tag; None when it has forgotten the delivery."""
        if delivery_tag and delivery_tag <= self._tag_base:
            logger.warning(
                "delivery %s cannot be %s any more: the channel was closed since it came (%s), and the broker delivers"
                " the message again",
                delivery_tag,
                what,
                self.closed_by or "and opened again",
            )
            return None
        if self.channel_id is None and self.connection is not None:
            self._take()
            try:
                self._ready()
            finally:
                self._guard.release()
        return delivery_tag - self._tag_base if delivery_tag else 0
