"""A channel at SQS: the hooks of a virtual channel over its API."""

from __future__ import annotations

from contextlib import contextmanager
from queue import Empty
from threading import get_ident
from time import time
from typing import TYPE_CHECKING, Any

from kombu.exceptions import AMQPError, BatchPublishError, KombuError, UnsupportedCapability
from kombu.log import get_logger
from kombu.transport import virtual

from . import backoff
from .codec import to_base64
from .errors import SettleError
from .historic import HistoricNames
from .qos import QoS
from .sending import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kombu.transport.virtual.ledger import Subscription
    from kombu.transport.virtual.policy import QueuePolicy

    from .broker import Broker
    from .lease import Held
    from .queues import Target
    from .session import Session

__all__ = ("Channel",)

logger = get_logger(__name__)

#: Purging so many messages or fewer takes them out one by one, which spares what comes meanwhile.
FEW = 1000
#: Characters of a MessageDeduplicationId (SendMessage).
DEDUPLICATION_LIMIT = 128


class Outgoing(dict[str, Any]):
    """A message with the objects it was made of, by which a second attempt to publish it is known."""

    __slots__ = ("origin",)
    origin: tuple[Any, Any, Any]


class Channel(HistoricNames, virtual.Channel):
    """AMQP's verbs over queues at SQS."""

    QoS = QoS
    #: Above 1, so that consumers are asked through :meth:`_get_fetched`.
    fetch_size = 10

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._session: Session = connection.session
        self._broker: Broker = self._session.broker
        self._format = self._session.options.format
        self._batch: Batch | None = None
        #: What goes back together, and whose thread collects it.
        self._released: tuple[int, list[Held]] | None = None
        self._closing = False
        self.supports_fanout = self._session.options.supports_fanout
        # A fanout exchange has no remembered route, so those that are remembered may be used at once.
        self._routes_by_state = True

    # -- publishing ----------------------------------------------------------------------------------------

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
        message = super().prepare_message(body, priority, content_type, content_encoding, headers, properties)
        outgoing = Outgoing(message)
        outgoing.origin = (body, headers, properties)
        return outgoing

    def _seal(self, message: dict[str, Any], info: dict[str, str]) -> None:
        properties = message["properties"]
        if "body_encoding" not in properties:
            body = message["body"]
            if self._format == "base64" or (self._format == "json" and not _is_text(body)):
                message["body"] = to_base64(body)
                properties["body_encoding"] = "base64"
            elif isinstance(body, (bytes, bytearray, memoryview)) and self._format == "json":
                message["body"] = bytes(body).decode()
        properties["delivery_info"] = info
        properties["delivery_tag"] = self._unique()
        if self._broker.has_fifo and "MessageDeduplicationId" not in properties:
            properties["MessageDeduplicationId"] = self._broker.earlier_id(message) or self._unique()

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
        """As for any virtual channel. Keywords also give SQS's own: ``message_attributes``, ``MessageGroupId``, ..."""
        if not isinstance(message, dict):
            message = self._prepared(message)
        try:
            super().basic_publish(message, exchange, routing_key, mandatory, immediate, delay, **kwargs)
        except (AMQPError, KombuError):
            self._broker.note_failure(message)
            raise

    def basic_publish_many(self, publications: Iterable[tuple[Any, str, str, dict[str, Any]]]) -> None:
        """Publish several messages, ten a request.

        Raises:
            BatchPublishError: some were not published; ``outcomes`` says which.
        """
        batch = self._batch = Batch()
        outcomes: list[BaseException | None] = []
        try:
            for message, exchange, routing_key, options in publications:
                batch.index = len(outcomes)
                outcomes.append(None)
                try:
                    self.basic_publish(message, exchange, routing_key, **options)
                except (AMQPError, KombuError) as exc:
                    outcomes[-1] = exc
        finally:
            self._batch = None
        self._session.sender.flush(batch, outcomes)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            text = f"{len(failures)} of {len(outcomes)} messages were not published: {failures[0]!r}"
            raise BatchPublishError(text, outcomes=tuple(outcomes)) from failures[0]

    def _put(self, queue: str, message: dict[str, Any]) -> None:
        self._session.sender.send(queue, message, self._my_batch())

    def _put_delayed(self, queue: str, message: dict[str, Any], due: float) -> None:
        self._session.sender.send(queue, message, self._my_batch(), _whole_seconds(due - time()))

    def _my_batch(self) -> Batch | None:
        """The batch that this thread is publishing, if any."""
        batch = self._batch
        return batch if batch is not None and batch.thread == get_ident() else None

    def _bury(self, queue: str, message: dict[str, Any], reason: str, rules: QueuePolicy) -> None:
        properties = message["properties"]
        if "MessageDeduplicationId" in properties:
            # A dead letter is another message, the same one if it is buried again because its original was not deleted.
            deaths = sum(int(death.get("count") or 0) for death in message["headers"].get("x-death") or ())
            name = f"{properties['MessageDeduplicationId']}.{deaths}"[-DEDUPLICATION_LIMIT:]
            message = {**message, "properties": {**properties, "MessageDeduplicationId": name}}
        super()._bury(queue, message, reason, rules)

    # SQS knows the length of a queue only about: no limit on it can be kept (not claimed: max_length)

    def _put_limited(self, queue: str, message: dict[str, Any], rules: QueuePolicy) -> None:
        self._put(queue, message)

    def _drop_head(self, queue: str, rules: QueuePolicy) -> None:
        """Nothing gives way."""

    # -- receiving -----------------------------------------------------------------------------------------

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        found = self._session.receiver.get(queue)
        if not found:
            raise Empty
        return found[0]

    def _get_fetched(self, subscription: Subscription) -> dict[str, Any]:
        limit = ahead = self.fetch_size
        room = self.qos.budget(subscription)
        if room is not None and room <= limit:
            limit, ahead = room, room - 1
        letter = self._session.pump.take(subscription.queue, limit, ahead)
        if letter is None:
            raise Empty
        return letter

    # -- settling ------------------------------------------------------------------------------------------

    def _ack(self, queue: str, message: dict[str, Any]) -> None:
        held: Held = message.held  # type: ignore[attr-defined]
        try:
            self._session.settler.delete(held)
        except (AMQPError, KombuError):
            self._session.leases.drop(held)  # nobody has it now, unless the ledger takes it back
            raise

    def hold(self, message: dict[str, Any]) -> None:
        """The message could not be settled: it is held as before."""
        self._session.leases.add(message.held)  # type: ignore[attr-defined]

    def _requeue(self, queue: str, message: dict[str, Any]) -> None:
        held: Held = message.held  # type: ignore[attr-defined]
        collected = self._released
        if collected is not None and collected[0] == get_ident():
            collected[1].append(held)
        else:
            self._session.leases.release([held])

    @contextmanager
    def releasing(self) -> Iterator[None]:
        """Inside, what goes back is collected, and goes back together at the end."""
        released: list[Held] = []
        self._released = get_ident(), released
        try:
            yield
        finally:
            self._released = None
            self._session.leases.release(reversed(released))

    def leave_to_sqs(self, queue: str, message: dict[str, Any]) -> bool:
        """Whether the queue has a backoff or redrive policy for a message that was rejected; then it is left there."""
        spec = self.state.queues.get(queue)
        if spec is not None and spec.policy.dead_letter_exchange is not None:
            return False
        held: Held = message.held  # type: ignore[attr-defined]
        entry = held.target.predefined
        if entry is not None:
            count = int(message["properties"].get("delivery_count", 0)) + 1
            delay = backoff.retry_delay(entry.backoff_policy, entry.backoff_tasks, message["headers"], count)
            if delay is not None:
                self._session.leases.release([held], delay)
                return True
        redrive = self._session.queues.has_redrive(held.target)
        if redrive:
            self._session.leases.release([held])
        elif redrive is None:
            self._session.warn_of_redrive(held.target)
            self._session.leases.drop(held)
        return redrive is not False

    def close(self) -> None:
        """Cancel the consumers, delete what is done with, and give back what was not settled."""
        if not self.closed:
            self._closing = True
            self._session.begin_stop([subscription.queue for subscription in self._consumers.values()])
        super().close()

    # -- queues --------------------------------------------------------------------------------------------

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return self._session.queues.exists(queue)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._session.queues.create(queue)
        self._session.redrive.apply(queue)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        if self._is_fanout(exchange):
            self._session.fanout.subscribe(exchange, self._session.queues.find(queue))
        self._session.redrive.exchange_changed(exchange)

    def _queue_unbind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        if self._is_fanout(exchange) and not any(
            source == exchange for source, _, _ in self.state.bindings_of(("queue", queue))
        ):
            self._session.fanout.unsubscribe(exchange, queue)

    def _size(self, queue: str) -> int:
        return self._session.queues.size(queue)

    def _size_delayed(self, queue: str) -> int:
        return self._session.queues.size_delayed(queue)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        try:
            self._session.fanout.forget_queue(queue)
        except AMQPError as exc:  # it does no harm, and remove_stale_sns_subscriptions finds it
            logger.warning("%s", exc)
        try:
            self._session.queues.delete(queue)
        except AMQPError as exc:
            if not (self._closing or self.connection.closing):
                raise
            logger.warning("Queue %r is left at SQS: %s", queue, exc)
        self._session.redrive.forget(queue)

    def _purge(self, queue: str) -> int:
        target: Target = self._session.queues.find(queue)
        size = self._session.queues.size(queue)
        if size > FEW:
            self._session.queues.call("purge_queue", target)
            return size
        count = 0
        while found := [letter.held for letter in self._session.receiver.get(queue, 10)]:
            try:
                self._session.settler.delete_now(found)
            except SettleError:
                held = self._session.leases.all()
                self._session.leases.release(one for one in found if one in held)
                raise
            count += len(found)
        return count

    # -- consumers -----------------------------------------------------------------------------------------

    def basic_cancel(self, consumer_tag: str, **kwargs: Any) -> None:
        """Stop a consumer; what was fetched for it and not delivered goes back."""
        subscription = self._consumers.get(consumer_tag)
        super().basic_cancel(consumer_tag, **kwargs)
        # (here and not in a hook, since those hold a lock of the whole process)
        if subscription is not None and not self.connection.consumes_from(subscription.queue):
            self._session.stop(subscription.queue)

    # -- fanout --------------------------------------------------------------------------------------------

    def _is_fanout(self, exchange: str) -> bool:
        spec = self.state.exchanges.get(exchange)
        return self.supports_fanout and spec is not None and spec.type == "fanout"

    def exchange_declare(
        self, exchange: str | None = None, type: str = "direct", *args: Any, **kwargs: Any
    ) -> None:
        """As for any virtual channel; a fanout exchange is a topic of SNS.

        Raises:
            UnsupportedCapability: a fanout exchange without the option ``supports_fanout``.
        """
        if type == "fanout" and not kwargs.get("passive"):
            if not self.supports_fanout:
                raise UnsupportedCapability(
                    f"exchange {exchange!r} is of type fanout, which takes SNS here: allow it with"
                    " transport_options={'supports_fanout': True}; docs/sqs.md lists the permissions"
                )
            super().exchange_declare(exchange, type, *args, **kwargs)
            self._session.fanout.topic(exchange or "")
            return
        super().exchange_declare(exchange, type, *args, **kwargs)

    def exchange_delete(self, exchange: str, *args: Any, **kwargs: Any) -> None:
        """As for any virtual channel; the topic of a fanout exchange goes as well."""
        is_fanout = self._is_fanout(exchange)
        super().exchange_delete(exchange, *args, **kwargs)
        if is_fanout:
            self._session.fanout.delete(exchange)

    def _unroutable(self, message: dict[str, Any], exchange: str, routing_key: str, mandatory: bool) -> None:
        """Bindings are known to the process that made them. Answers of a mailbox go to another one nevertheless: its
        queue is named after the key and the exchange (:mod:`kombu.pidbox`).
        """
        spec = self.state.exchanges.get(exchange)
        if self.supports_fanout and spec is not None and spec.type == "direct":
            queue = f"{routing_key}.{exchange}"
            if self._session.queues.exists(queue):
                self._put(queue, message)
                return
        super()._unroutable(message, exchange, routing_key, mandatory)

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:
        self._session.fanout.publish(exchange, message)

    def remove_stale_sns_subscriptions(self, exchange_name: str) -> list[str]:
        """Remove the subscriptions to a fanout exchange whose queue is gone; the ARNs of those queues."""
        return self._session.fanout.remove_stale(exchange_name)


def _is_text(body: Any) -> bool:
    if isinstance(body, (bytes, bytearray, memoryview)):
        try:
            bytes(body).decode()
        except UnicodeDecodeError:
            return False
    return True


def _whole_seconds(seconds: float) -> int:
    """The delay in whole seconds, not less than asked for; 0 when it is over."""
    return max(0, -int(-seconds // 1))
