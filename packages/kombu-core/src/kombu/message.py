"""A received message and what became of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from kombu import exceptions
from kombu.compression import decompress
from kombu.exceptions import reraise
from kombu.serialization import loads

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from logging import Logger

__all__ = ("Message",)

ACKNOWLEDGED_STATES = frozenset(("ACK", "REJECTED", "REQUEUED"))


class Message:
    """A message as it came from the broker.

    It starts in the state ``RECEIVED`` and is settled once, by :meth:`ack`, :meth:`reject` or
    :meth:`requeue`. One got with ``no_ack`` needs no settling: the state is ``NO_ACK``, and ``ack()`` does
    nothing.

    Arguments:
        body: the bytes received (or already text).
        delivery_tag: how the channel names this delivery.
        content_type, content_encoding: of the body, by which :meth:`decode` finds the serializer.
        delivery_info: ``exchange``, ``routing_key``, ``consumer_tag``, ``redelivered`` and the like.
        properties: AMQP properties, such as ``reply_to`` and ``correlation_id``.
        headers: the application's headers; ``compression`` says that the body is compressed.
        postencode: encoding to turn a text body into bytes with.
        accept: content types that may be decoded; None leaves the choice to the serializer registry.
        channel: where it came from, and where it is settled.
    """

    MessageStateError: ClassVar[type[exceptions.MessageStateError]] = exceptions.MessageStateError

    #: What went wrong before decoding, as ``(type, exception, traceback)``: raised again by :meth:`decode`.
    errors: Sequence[Any] = ()

    __slots__ = (
        "__dict__",
        "_decoded_cache",
        "_state",
        "accept",
        "body",
        "channel",
        "content_encoding",
        "content_type",
        "delivery_info",
        "delivery_tag",
        "headers",
        "properties",
    )

    def __init__(
        self,
        body: Any = None,
        delivery_tag: Any = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        delivery_info: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        postencode: str | None = None,
        accept: Collection[str] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        self.body = body
        self.delivery_tag = delivery_tag
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.delivery_info = {} if delivery_info is None else delivery_info
        self.properties = {} if properties is None else properties
        self.accept = accept
        self.channel = channel
        self._decoded_cache: Any = None
        self._state = "RECEIVED"
        if headers is None:
            self.headers: dict[str, Any] = {}
        else:
            self.headers = headers
            if "compression" in headers:
                self._decompress(headers["compression"])
        if postencode is not None and isinstance(self.body, str):
            self._postencode(postencode)

    def _decompress(self, compression: str | None) -> None:
        """Replace the body by its decompressed form; a failure is kept and raised by :meth:`decode`."""
        if not compression:
            return
        try:
            self.body = decompress(self.body, compression)
        except Exception:
            self.errors = [*self.errors, sys.exc_info()]

    def _postencode(self, encoding: str) -> None:
        try:
            self.body = self.body.encode(encoding)
        except Exception:
            self.errors = [*self.errors, sys.exc_info()]

    def _reraise_error(self, callback: Any = None) -> None:
        """Raise the first error kept, or give it to ``callback(message, exc)``."""
        tp, exc, tb = self.errors[0]
        if callback is None:
            reraise(tp, exc, tb)
        callback(self, exc)

    # -- settling

    def ack(self, multiple: bool = False) -> None:
        """Tell the broker that the message is done with, so that it is removed from its queue.

        Nothing happens for a consumer that does not acknowledge (``no_ack``).

        Arguments:
            multiple: acknowledge every earlier message of this channel as well.

        Raises:
            MessageStateError: it was settled before, or came from no channel.
        """
        channel = self.channel
        if channel is None or self._state != "RECEIVED":
            if self._state == "NO_ACK":
                return
            raise self._cannot("acknowledge")
        if channel.no_ack_consumers and self.delivery_info.get("consumer_tag") in channel.no_ack_consumers:
            return
        channel.basic_ack(self.delivery_tag, multiple=multiple)
        self._state = "ACK"

    def reject(self, requeue: bool = False) -> None:
        """Refuse the message: the broker drops or dead-letters it, or puts it back with ``requeue``.

        Raises:
            MessageStateError: it was settled before, or came from no channel.
        """
        if self.channel is None or self._state != "RECEIVED":
            raise self._cannot("reject")
        self.channel.basic_reject(self.delivery_tag, requeue=requeue)
        self._state = "REJECTED"

    def requeue(self) -> None:
        """Put the message back where it came from. Not a way to pick messages: it may come back at once.

        Raises:
            MessageStateError: it was settled before, or came from no channel.
        """
        if self.channel is None or self._state != "RECEIVED":
            raise self._cannot("requeue")
        self.channel.basic_reject(self.delivery_tag, requeue=True)
        self._state = "REQUEUED"

    def ack_log_error(
        self,
        logger: Logger,
        errors: type[BaseException] | tuple[type[BaseException], ...],
        multiple: bool = False,
    ) -> None:
        """:meth:`ack`, but ``errors`` are logged as critical instead of raised."""
        try:
            self.ack(multiple=multiple)
        except errors as exc:
            logger.critical("Couldn't ack %r, reason:%r", self.delivery_tag, exc, exc_info=True)

    def reject_log_error(
        self,
        logger: Logger,
        errors: type[BaseException] | tuple[type[BaseException], ...],
        requeue: bool = False,
    ) -> None:
        """:meth:`reject`, but ``errors`` are logged as critical instead of raised."""
        try:
            self.reject(requeue=requeue)
        except errors as exc:
            logger.critical("Couldn't reject %r, reason: %r", self.delivery_tag, exc, exc_info=True)

    def _counts_as_acknowledged(self) -> bool:
        """Whether the broker forgot the message when it sent it."""
        tag = self.delivery_info.get("consumer_tag")
        return self._state == "NO_ACK" or tag in (getattr(self.channel, "no_ack_consumers", None) or ())

    def _cannot(self, verb: str) -> exceptions.MessageStateError:
        if self.channel is None:
            return self.MessageStateError("This message does not have a receiving channel")
        if self._state == "NO_ACK":
            return self.MessageStateError(
                f"Cannot {verb} a message got with no_ack: the broker has forgotten it"
            )
        return self.MessageStateError(
            f"Message already acknowledged with state: {self._state} (delivery tag {self.delivery_tag!r});"
            f" it can be settled only once, so this attempt to {verb} it was not sent"
        )

    @property
    def acknowledged(self) -> bool:
        """Whether it was settled, in whatever way."""
        return self._state in ACKNOWLEDGED_STATES

    # -- reading

    def decode(self) -> Any:
        """The body turned back into what was sent; done once and remembered.

        Raises:
            DecodeError: the bytes do not fit the content type.
            ContentDisallowed: the content type is not accepted.
        """
        decoded = self._decoded_cache
        if decoded is None:
            decoded = self._decoded_cache = self._decode()
        return decoded

    def _decode(self) -> Any:
        """The same, anew each time."""
        if self.errors:
            self._reraise_error()
        return loads(self.body, self.content_type, self.content_encoding, self.accept)

    @property
    def payload(self) -> Any:
        """The decoded body."""
        return self._decoded_cache if self._decoded_cache is not None else self.decode()

    @property
    def redelivered(self) -> bool:
        """Whether the broker delivered it before, to anyone."""
        return bool(self.delivery_info.get("redelivered"))

    @property
    def delivery_count(self) -> int:
        """How many times it was delivered before; 0 the first time.

        Read from RabbitMQ's header ``x-delivery-count`` or the property ``delivery_count``. Where the broker
        does not count, it is 1 for a message that is known to be a redelivery.
        """
        count = self.headers.get("x-delivery-count")
        if count is None:
            count = self.properties.get("delivery_count")
        return int(count) if count is not None else int(self.redelivered)

    def __repr__(self) -> str:
        details = {
            "state": self._state,
            "content_type": self.content_type,
            "delivery_tag": self.delivery_tag,
            "body_length": len(self.body) if self.body is not None else None,
            "properties": _only(self.properties, "correlation_id", "type"),
            "delivery_info": _only(self.delivery_info, "exchange", "routing_key"),
        }
        return f"<{type(self).__name__} object at {id(self):#x} with details {details!r}>"


def _only(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}
