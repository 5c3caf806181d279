"""The way of a message from ``basic_publish`` to the queues of a virtual channel."""

from __future__ import annotations

import warnings
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ChannelError, MessageNacked, NotFound, PreconditionFailed
from kombu.log import get_logger

from . import envelope, policy
from .declare import DeclareVerbs
from .policy import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .policy import QueuePolicy
    from .routing import QueueSpec

__all__ = ("PublishVerbs", "UndeliverableWarning")

logger = get_logger(__name__)

NO_ROUTE = 312


class UndeliverableWarning(UserWarning):
    """A message matched no queue and was kept in, or dropped for want of, a dead-letter queue."""


class PublishVerbs(DeclareVerbs):
    """Prepare, route, and put; everything a queue's policy says about a new message."""

    #: Queue for what no binding matches; None: such messages are returned, or warned about and dropped.
    deadletter_queue: str | None = None
    #: How bodies travel: a name in ``codecs``, or None to leave them as they are.
    body_encoding: str | None = "base64"
    codecs: dict[str, Any] = {"base64": envelope.Base64()}
    #: Callbacks by event; ``basic_return`` gets (exception, exchange, routing key, message).
    events: dict[str, set[Callable[..., Any]]]

    #: Smallest, largest and default message priority, for transports with levels of their own.
    min_priority = 0
    max_priority = 9
    default_priority = 0

    #: Set by ``__init_subclass__``: the class lists its bindings itself, or broadcasts at the backend.
    _routes_by_table = False
    _broadcasts = False
    #: Neither of them: the topology in ``state`` says it all.
    _routes_by_state = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._routes_by_table = cls.get_table is not DeclareVerbs.get_table
        cls._broadcasts = cls._put_fanout is not DeclareVerbs._put_fanout
        own_lookup = cls._lookup is not PublishVerbs._lookup
        cls._routes_by_state = not (cls._routes_by_table or cls._broadcasts or own_lookup)

    # -- preparing -----------------------------------------------------------------------------------------

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A message that ``basic_publish`` takes; the given dictionaries are copied."""
        props = properties.copy() if properties else {}
        props["priority"] = priority or 0
        return {
            "body": body,
            "content-encoding": content_encoding,
            "content-type": content_type,
            "headers": headers.copy() if headers else {},
            "properties": props,
        }

    def _prepared(self, body: str | bytes) -> dict[str, Any]:
        """The message that a bare body becomes: persistent, ``text/plain`` or ``application/data``."""
        kind = ("text/plain", "utf-8") if isinstance(body, str) else ("application/data", "binary")
        return self.prepare_message(body, None, *kind, None, {"delivery_mode": 2})

    def encode_body(self, body: Any, encoding: str | None = None) -> tuple[Any, str | None]:
        """The body as it travels, and the name of its encoding."""
        if encoding and encoding != "utf-8":
            return self._codec(encoding).encode(body), encoding
        return body, encoding

    def decode_body(self, body: Any, encoding: str | None = None) -> Any:
        """The body as it was published."""
        if encoding and encoding != "utf-8":
            return self._codec(encoding).decode(body)
        return body

    def _codec(self, encoding: str) -> Any:
        """The codec of this name; ValueError when there is none."""
        try:
            return self.codecs[encoding]
        except KeyError:
            known = ", ".join(map(repr, (*self.codecs, "utf-8", None)))
            raise ValueError(f"body_encoding is {encoding!r}, which is none of {known}") from None

    def _seal(self, message: dict[str, Any], info: dict[str, str]) -> None:
        """Stamp what travels with the message: encoded body, where it was published (``info``), a tag of its own."""
        properties = message["properties"]
        if "body_encoding" not in properties:
            message["body"], properties["body_encoding"] = self.encode_body(
                message["body"], self.body_encoding
            )
        properties["delivery_info"] = info
        properties["delivery_tag"] = self._unique()

    # -- publishing ----------------------------------------------------------------------------------------

    def basic_publish(
        self,
        message: dict[str, Any] | str | bytes,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        delay: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Put the message on every queue its exchange routes it to.

        Arguments:
            message: from :meth:`prepare_message`, or a body alone, as ``celery amqp`` publishes it.
            mandatory: return the message through ``events["basic_return"]`` when no queue gets it.
            delay: seconds before it can be received; needs the capability ``delay``.

        Raises:
            NotFound: there is no such exchange.
            MessageNacked: a queue is full and refuses new messages.
        """
        if self.closed:
            self._check_open()
        if not isinstance(message, dict):
            message = self._prepared(message)
        route = self.state.routes.get((exchange, routing_key))
        if route is not None and route.only is not None and delay is None and self._routes_by_state:
            self._seal(message, route.info)
            if "expiration" not in message["properties"]:
                self._put(route.only, message)
                return
        try:
            self._publish(message, exchange, routing_key, mandatory, delay)
        except ChannelError:
            self.close()
            raise

    def _publish(
        self, message: dict[str, Any], exchange: str, routing_key: str, mandatory: bool, delay: float | None
    ) -> None:
        """Publish where there is something to decide."""
        queues = self._lookup(exchange, routing_key, message=message)
        self._seal(message, {"exchange": exchange, "routing_key": routing_key})
        if queues:
            self._spread(queues, message, delay)
        elif not self._broadcast(exchange, message, routing_key):
            self._unroutable(message, exchange, routing_key, mandatory)

    def _spread(self, queues: Iterable[str], message: dict[str, Any], delay: float | None) -> None:
        """One copy for each queue; all get theirs before a refusal is reported."""
        refusal: MessageNacked | None = None
        first, *others = queues
        if not others:
            self._enqueue(first, message, delay)
            return
        # Copied before the first is put: from then on a consumer may have it, and change it.
        copies = [(queue, envelope.another(message)) for queue in others]
        for queue, letter in ((first, message), *copies):
            if letter is not message and "delivery_tag" in letter["properties"]:
                letter["properties"]["delivery_tag"] = self._unique()
            try:
                self._enqueue(queue, letter, delay)
            except MessageNacked as exc:
                refusal = exc
        if refusal is not None:
            raise refusal

    def _enqueue(self, queue: str, message: dict[str, Any], delay: float | None = None) -> None:
        """Put the message on one queue as the queue's policy says."""
        spec = self.state.queues.get(queue)
        rules = spec.policy if spec is not None else PLAIN
        properties = message["properties"]
        now = time()
        try:
            when = policy.expires_at(properties.get("expiration"), rules, now)
        except ValueError as exc:
            raise PreconditionFailed(f"PRECONDITION_FAILED - {exc}", (60, 40), "Basic.publish") from exc
        if delay is not None:
            self._put_delayed(queue, message, now + delay)
            return
        if when is not None and not (when <= now and self._somebody_waits(spec)):
            properties["expires_at"] = when
        if not rules.limits_length:
            self._put(queue, message)
            return
        with self.lock:
            self._put_limited(queue, message, rules)

    @staticmethod
    def _somebody_waits(spec: QueueSpec | None) -> bool:
        """Whether a consumer is ready for a message: one that lives for no time at all is still delivered then."""
        consumers = spec.consumers if spec is not None else ()
        return any(subscription.channel.has_room(subscription) for subscription in consumers)

    def _put_limited(self, queue: str, message: dict[str, Any], rules: QueuePolicy) -> None:
        """Put on a queue with a length limit; the oldest give way unless the queue refuses."""
        size = envelope.body_size(message)
        if rules.refuses and self._is_over(queue, rules, more=1, more_bytes=size):
            if rules.overflow == "reject-publish-dlx":
                self._bury(queue, message, "maxlen", rules)
            raise MessageNacked(
                f"queue {queue!r} is full: x-max-length reached, x-overflow is {rules.overflow!r}"
            )
        self._put(queue, message)
        self._drop_head(queue, rules)

    def _drop_head(self, queue: str, rules: QueuePolicy) -> None:
        """The oldest give way until the queue keeps its limit; one that refuses what is too much keeps what it has."""
        while not rules.refuses and self._is_over(queue, rules):
            oldest = self._oldest(queue)
            if oldest is None:
                return
            self._discard(queue, oldest, "maxlen")

    def _is_over(self, queue: str, rules: QueuePolicy, more: int = 0, more_bytes: int = 0) -> bool:
        if rules.max_length is not None and self._size(queue) + more > rules.max_length:
            return True
        limit = rules.max_length_bytes
        return limit is not None and self._size_bytes(queue) + more_bytes > limit

    def _oldest(self, queue: str) -> dict[str, Any] | None:
        """Take the next message out, to be dropped."""
        found = self._get_many(queue, 1)
        return found[0] if found else None

    # -- routing -------------------------------------------------------------------------------------------

    def _lookup(
        self, exchange: str, routing_key: str, default: Any = None, *, message: dict[str, Any] | None = None
    ) -> Iterable[str] | Any:
        """The queues for a message: a sized collection of names."""
        if exchange == "":
            if routing_key in self.state.queues:
                return self.state.route(exchange, routing_key)  # remembered
            return (routing_key,) if self._has_queue(routing_key) else ()
        if self._broadcasts or self._routes_by_table:
            spec = self.state.exchanges.get(exchange)
            kind = spec.type if spec is not None else "direct"
            if self._broadcasts and kind == "fanout":
                return ()
            if self._routes_by_table:
                table = self.get_table(exchange)
                return tuple(self.typeof(exchange).lookup(table, exchange, routing_key, default))
        queues = self.state.route(exchange, routing_key, message["headers"] if message else None)
        if not queues:
            kind = self.state.exchanges[exchange].type
            if kind not in STANDARD:
                table = self.get_table(exchange)
                return tuple(self.typeof(exchange).lookup(table, exchange, routing_key, default))
        return queues

    def _broadcast(self, exchange: str, message: dict[str, Any], routing_key: str) -> bool:
        """Hand the message to the backend's own broadcast, where it has one and this is a fanout exchange."""
        spec = self.state.exchanges.get(exchange)
        if not self._broadcasts or spec is None or spec.type != "fanout":
            return False
        self._put_fanout(exchange, message, routing_key)
        return True

    def _unroutable(self, message: dict[str, Any], exchange: str, routing_key: str, mandatory: bool) -> None:
        """Return the message, or keep it in the channel's dead-letter queue, or say that it is lost."""
        where = f"exchange {exchange!r} with routing key {routing_key!r}"
        if mandatory:
            self._return_to_sender(message, exchange, routing_key)
        elif self.deadletter_queue:
            self._new_queue(self.deadletter_queue)
            self._put(self.deadletter_queue, message)
            warnings.warn(
                f"message for {where} matched no queue: kept in {self.deadletter_queue!r}",
                UndeliverableWarning,
                stacklevel=4,
            )
        else:
            # (some are published again and again, such as the events of a worker that nobody watches)
            count = self.connection.unroutable.count((exchange, routing_key), monotonic())
            if count:
                more = f" ({count - 1} more since the last warning)" if count > 1 else ""
                logger.warning("Message for %s matched no queue and is dropped%s", where, more)

    def _return_to_sender(self, message: dict[str, Any], exchange: str, routing_key: str) -> None:
        listeners = list(self.events["basic_return"])
        if not listeners:
            logger.warning(
                "Message for exchange %r with routing key %r came back and there is no on_return",
                exchange,
                routing_key,
            )
        error = ChannelError("NO_ROUTE", (60, 50), "Basic.return", NO_ROUTE)
        returned = self.Message(message, channel=self)
        for listener in listeners:
            listener(error, exchange, routing_key, returned)

    # -- leaving a queue for good --------------------------------------------------------------------------

    def _discard(self, queue: str, message: dict[str, Any], reason: str) -> None:
        """The taken message leaves the queue: to the dead-letter exchange if it has one, then it is settled."""
        spec = self.state.queues.get(queue)
        if spec is not None and spec.policy.dead_letter_exchange is not None:
            self._bury(queue, message, reason, spec.policy)
        elif reason != "rejected":
            logger.info("Message in queue %r dropped: %s", queue, reason)
        self._ack(queue, message)

    def _bury(self, queue: str, message: dict[str, Any], reason: str, rules: QueuePolicy) -> None:
        """Publish the message to the queue's dead-letter exchange."""
        dead = policy.dead_letter(message, queue, reason, rules, time())
        if dead is None:
            return
        exchange, routing_key, letter = dead
        try:
            found = self._lookup(exchange, routing_key, message=letter)
        except NotFound:
            found = ()
        queues = [
            name for name in found if not (reason != "rejected" and policy.goes_in_circles(letter, name))
        ]
        self._seal(letter, {"exchange": exchange, "routing_key": routing_key})
        if not queues:
            if self._broadcast(exchange, letter, routing_key):
                return
            logger.warning(
                "Dead letter (%s) of queue %r is dropped: exchange %r with key %r leads to no queue",
                reason,
                queue,
                exchange,
                routing_key,
            )
            return
        try:
            self._spread(queues, letter, None)
        except MessageNacked as exc:  # whoever settles or consumes here did not publish it
            logger.warning("Dead letter (%s) of queue %r is refused: %s", reason, queue, exc)

    Message: Any = envelope.Message


STANDARD = frozenset({"direct", "topic", "fanout", "headers"})
