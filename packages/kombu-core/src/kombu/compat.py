"""What programs written for carrot, kombu's predecessor, use. New ones take :mod:`kombu.messaging`."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from kombu import consumer as messaging
from kombu.entity import Exchange, Queue
from kombu.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ("Consumer", "ConsumerSet", "Publisher")


class Publisher(Producer):
    """Publishes to one exchange, which it describes itself.

    Arguments:
        connection: a connection; its default channel is used, unless ``channel`` is given.
        exchange: its name, or an :class:`kombu.Exchange`, which settles the next three by itself.
        exchange_type, durable, auto_delete: of the exchange.
    """

    exchange: Any = ""
    exchange_type = "direct"
    durable = True
    auto_delete = False

    def __init__(
        self,
        connection: Any,
        exchange: Any = None,
        routing_key: str | None = None,
        exchange_type: str | None = None,
        durable: bool | None = None,
        auto_delete: bool | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        self.exchange_type = exchange_type or self.exchange_type
        self.durable = self.durable if durable is None else durable
        self.auto_delete = self.auto_delete if auto_delete is None else auto_delete
        exchange = exchange or self.exchange
        if not isinstance(exchange, Exchange):
            exchange = Exchange(
                exchange, self.exchange_type, durable=self.durable, auto_delete=self.auto_delete
            )
        super().__init__(channel or connection, exchange, routing_key or self.routing_key, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """The same as :meth:`publish`."""
        return self.publish(*args, **kwargs)

    @property
    def backend(self) -> Any:
        """The channel."""
        return self.channel


def _drained(consumer: messaging.Consumer, limit: int | None, no_ack: bool | None) -> Iterator[Any]:
    """Consume, and wait for one event after the other; what the callbacks did with it is theirs."""
    consumer.consume(no_ack=no_ack)
    for done in count():
        if limit is not None and done >= limit:
            return
        yield consumer.connection.drain_events()


class _OwnChannel(messaging.Consumer):
    """A consumer that closes its channel in the end, giving back what it holds."""

    def close(self) -> None:
        """Stop consuming, and close the channel."""
        self.cancel()
        self.channel.close()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def iterconsume(self, limit: int | None = None, no_ack: bool | None = None) -> Iterator[Any]:
        """Consume: each step waits for an event, ``limit`` times or for ever. Messages go to the callbacks."""
        return _drained(self, limit, no_ack)


class Consumer(_OwnChannel):
    """Receives from one queue, which it describes itself, on a channel of its own.

    Arguments:
        connection: a connection.
        queue, exchange, routing_key: names; the queue is bound to the exchange.
        exchange_type: of the exchange.
        durable, auto_delete: of both.
        exclusive: of the queue, which goes with its connection then.
    """

    queue = ""
    exchange = ""
    routing_key = ""
    exchange_type = "direct"
    durable = True
    exclusive = False
    auto_delete = False

    def __init__(
        self,
        connection: Any,
        queue: str | None = None,
        exchange: str | None = None,
        routing_key: str | None = None,
        exchange_type: str | None = None,
        durable: bool | None = None,
        exclusive: bool | None = None,
        auto_delete: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.queue = queue or self.queue
        self.exchange = exchange or self.exchange
        self.routing_key = routing_key or self.routing_key
        self.exchange_type = exchange_type or self.exchange_type
        self.durable = self.durable if durable is None else durable
        self.exclusive = self.exclusive if exclusive is None else exclusive
        self.auto_delete = self.auto_delete if auto_delete is None else auto_delete
        source = Exchange(
            self.exchange, self.exchange_type, durable=self.durable, auto_delete=self.auto_delete
        )
        described = Queue(
            self.queue,
            source,
            self.routing_key,
            durable=self.durable,
            exclusive=self.exclusive,
            auto_delete=self.auto_delete,
        )
        super().__init__(connection.channel(), described, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        return self.iterqueue(infinite=True)

    def fetch(self, no_ack: bool | None = None, enable_callbacks: bool = False) -> Any:
        """One message that is there already, or None; ``enable_callbacks`` calls those with it as well."""
        message = self.queues[0].get(self.no_ack if no_ack is None else no_ack)
        if message is not None and enable_callbacks:
            self.receive(message.payload, message)
        return message

    def process_next(self) -> None:
        """Was carrot's; raises NotImplementedError."""
        raise NotImplementedError("process_next went with carrot: call fetch(enable_callbacks=True)")

    def discard_all(self, filterfunc: Any = None) -> int:
        """Delete all messages that are ready; how many. ``filterfunc`` raises NotImplementedError."""
        if filterfunc is not None:
            raise NotImplementedError("discard_all deletes all: it has no filter, consume and acknowledge instead")
        return self.purge()

    def wait(self, limit: int | None = None) -> list[Any]:
        """Wait for ``limit`` events."""
        return list(self.iterconsume(limit))

    def iterqueue(self, limit: int | None = None, infinite: bool = False) -> Iterator[Any]:
        """The messages that are there, at most ``limit``; ``infinite`` yields None when there is none, and goes on."""
        for _ in range(limit) if limit else count():
            message = self.fetch()
            if message is None and not infinite:
                return
            yield message


class ConsumerSet(_OwnChannel):
    """Receives from several queues.

    Arguments:
        connection: a connection; a channel of its own is opened unless ``channel`` is given.
        from_dict: names of queues with their options, see :meth:`kombu.Queue.from_dict`.
        consumers: the queues of these are added.
    """

    def __init__(
        self,
        connection: Any,
        from_dict: Mapping[str, Mapping[str, Any]] | None = None,
        consumers: Iterable[messaging.Consumer] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        self._closes_channel = channel is None
        queues = [queue for consumer in consumers or () for queue in consumer.queues]
        queues += [Queue.from_dict(name, **options) for name, options in (from_dict or {}).items()]
        super().__init__(connection.channel() if channel is None else channel, queues, **kwargs)

    def add_consumer(self, consumer: messaging.Consumer) -> None:
        """Receive from its queues too, after the next :meth:`consume`."""
        for queue in consumer.queues:
            self.add_queue(queue)

    def add_consumer_from_dict(self, queue: str, **options: Any) -> Any:
        """The same for a queue that options describe; it is returned."""
        return self.add_queue(Queue.from_dict(queue, **options))

    def discard_all(self) -> int:
        """Delete all messages that are ready; how many."""
        return self.purge()

    def close(self) -> None:
        """Stop consuming, and close the channel unless it was given."""
        self.cancel()
        if self._closes_channel:
            self.channel.close()
