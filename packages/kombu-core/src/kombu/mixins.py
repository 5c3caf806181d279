"""Programs that consume until they are told to stop."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from kombu.common import ignore_errors
from kombu.consumer import Consumer
from kombu.exceptions import DeadlineExceeded, OperationalError
from kombu.log import get_logger
from kombu.producer import Producer
from kombu.utils.encoding import safe_repr
from kombu.utils.limits import TokenBucket
from kombu.utils.objects import cached_property

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kombu.message import Message

__all__ = ("ConsumerMixin", "ConsumerProducerMixin")

logger = get_logger(__name__)


class ConsumerMixin:
    """A consumer program: connects, consumes, and starts over when the connection is lost.

    A subclass sets ``connection`` (a :class:`kombu.Connection`, which is cloned) and defines
    :meth:`get_consumers`; then ``run()`` returns when ``should_stop`` is true. The methods whose names
    begin with ``on_`` are there to be overridden.
    """

    connection: Any

    #: How often to try to reconnect; None tries for ever.
    connect_max_retries: int | None = None

    #: Set it, from any thread, to have :meth:`run` return, also while the broker is away.
    should_stop: bool = False

    # -- to be overridden

    def get_consumers(self, Consumer: Callable[..., Consumer], channel: Any) -> Sequence[Any]:
        """The consumers, made with ``Consumer(queues=..., callbacks=...)``, which is bound to ``channel``.

        Called after each connecting. Consumers of further channels are fine.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define get_consumers(Consumer, channel) and return a list of consumers"
        )

    def on_connection_revived(self) -> None:
        """The connection is there, the first time and after each loss."""

    def on_consume_ready(
        self, connection: Any, channel: Any, consumers: Sequence[Any], **kwargs: Any
    ) -> None:
        """The consumers are started; ``kwargs`` are those of :meth:`run` or :meth:`consume`."""

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """The consumers were cancelled."""

    def on_iteration(self) -> None:
        """Called before each wait for events."""

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """A body cannot be decoded: logs it and acknowledges the message; an override has to settle it."""
        logger.error(
            "Can't decode message body: %r (type:%r encoding:%r raw:%s)",
            exc,
            message.content_type,
            message.content_encoding,
            safe_repr(message.body),
        )
        message.ack()

    def on_connection_error(self, exc: BaseException, interval: float) -> None:
        """Connecting failed and is tried again in ``interval`` seconds: logs it."""
        logger.warning(
            "Broker connection error, trying again in %s seconds: %r.", interval, exc, exc_info=exc
        )

    @contextmanager
    def extra_context(self, connection: Any, channel: Any) -> Iterator[None]:
        """A context to consume in, entered when the consumers are started."""
        yield

    # -- running

    def run(self, _tokens: int = 1, **kwargs: Any) -> None:
        """Consume until ``should_stop``, connecting again (once a second at most) after each loss."""
        restart_limit = self.restart_limit
        errors = (*self.connection_errors, *self.channel_errors)
        while not self.should_stop:
            try:
                if restart_limit.can_consume(_tokens):
                    for _ in self.consume(limit=None, **kwargs):
                        pass
                else:
                    sleep(restart_limit.expected_time(_tokens))
            except errors:
                logger.warning(
                    "Connection to broker lost, trying to re-establish connection...", exc_info=True
                )
            except OperationalError:
                if not self.should_stop:
                    raise

    def consume(
        self,
        limit: int | None = None,
        timeout: float | None = None,
        safety_interval: float = 1,
        **kwargs: Any,
    ) -> Iterator[None]:
        """Consume, yielding after each event.

        Arguments:
            limit: waits for events, those in vain included; None goes on for ever.
            timeout: seconds without an event after which to give up.
            safety_interval: seconds after which ``should_stop`` and the heartbeat are looked at.

        Raises:
            TimeoutError: nothing came in ``timeout`` seconds.
        """
        with self.consumer_context(**kwargs) as (connection, _, _):
            since = monotonic()
            for _ in range(limit) if limit else count():
                if self.should_stop:
                    break
                self.on_iteration()
                wait = safety_interval
                if timeout:
                    wait = max(0, min(wait, timeout - (monotonic() - since)))
                try:
                    connection.drain_events(timeout=wait)
                except DeadlineExceeded:
                    raise
                except TimeoutError:
                    connection.heartbeat_check()
                    if timeout and monotonic() - since >= timeout:
                        raise
                except OSError:
                    if not self.should_stop:
                        raise
                else:
                    yield
                    since = monotonic()
        logger.debug("consume exiting")

    @contextmanager
    def consumer_context(self, **kwargs: Any) -> Iterator[tuple[Any, Any, Sequence[Any]]]:
        """A connection, its channel and started consumers, ready for events to be drained."""
        with self.Consumer() as (connection, channel, consumers):
            with self.extra_context(connection, channel):
                self.on_consume_ready(connection, channel, consumers, **kwargs)
                yield connection, channel, consumers

    @contextmanager
    def Consumer(self) -> Iterator[tuple[Any, Any, Sequence[Any]]]:
        """A connection, its channel and started consumers."""
        with self.establish_connection() as connection:
            self.on_connection_revived()
            logger.info("Connected to %s", connection.as_uri())
            channel = connection.default_channel
            make = partial(Consumer, channel, on_decode_error=self.on_decode_error)
            consumers = self.get_consumers(make, channel)
            with ExitStack() as started:
                for consumer in consumers:
                    started.enter_context(consumer)
                yield connection, channel, consumers
            logger.debug("Consumers canceled")
            self.on_consume_end(connection, channel)
        logger.debug("Connection closed")

    def create_connection(self) -> Any:
        """A connection of one's own, like ``connection``."""
        return self.connection.clone()

    @contextmanager
    def establish_connection(self) -> Iterator[Any]:
        """A connection of one's own that is connected."""
        with self.create_connection() as connection:
            self._connect(connection)
            yield connection

    def _connect(self, connection: Any) -> None:
        """Connect, and keep trying until it works or ``should_stop``, which is looked at once a second, is set."""
        failures: list[BaseException] = []

        def failed(exc: BaseException, interval: float) -> None:
            failures[:] = [exc]
            self.on_connection_error(exc, interval)

        def while_wanted() -> None:
            if self.should_stop:
                raise failures[0]

        connection.ensure_connection(failed, self.connect_max_retries, callback=while_wanted)

    def maybe_conn_error(self, fun: Callable[[], Any]) -> Any:
        """Call ``fun`` and let connection and channel errors pass: :func:`kombu.common.ignore_errors`."""
        return ignore_errors(self, fun)

    @cached_property
    def restart_limit(self) -> TokenBucket:
        """How often :meth:`run` may start over: once a second."""
        return TokenBucket(1)

    @cached_property
    def connection_errors(self) -> tuple[type[BaseException], ...]:
        """What ``connection`` raises when it is lost."""
        errors: tuple[type[BaseException], ...] = self.connection.connection_errors
        return errors

    @cached_property
    def channel_errors(self) -> tuple[type[BaseException], ...]:
        """What ``connection`` raises when a channel is lost."""
        errors: tuple[type[BaseException], ...] = self.connection.channel_errors
        return errors


class ConsumerProducerMixin(ConsumerMixin):
    """A consumer program that also publishes, on a connection of its own.

    Publishing on the consumer's connection would wait for it, and would be held up with it by a broker
    that is short of memory.
    """

    _producer_connection: Any = None

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """The consumers were cancelled: closes the producer's connection."""
        if self._producer_connection is not None:
            self._producer_connection.close()
            self._producer_connection = None
        super().on_consume_end(connection, channel)

    @property
    def producer(self) -> Producer:
        """A producer on :attr:`producer_connection`."""
        return Producer(self.producer_connection)

    @property
    def producer_connection(self) -> Any:
        """A second connection, connected when first asked for."""
        if self._producer_connection is None:
            connection = self.connection.clone()
            self._connect(connection)
            self._producer_connection = connection
        return self._producer_connection
