"""The rig that a conformance test drives a broker with: names of its own, bounded waits, and cleaning up.

Everything goes through the AMQP verbs of a channel, by keyword and with the defaults written out, so that the
same script runs on a virtual transport and on a real AMQP broker.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from kombu import Connection
from kombu.testing.claims import is_claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ("Inbox", "Rig")

#: Seconds between two looks at something that no event announces.
POLL = 0.01


class Inbox:
    """What one consumer received: ``messages`` in the order of arrival, and its ``tag``."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.tag = ""
        self.messages: list[Any] = []

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def payloads(self) -> list[Any]:
        """The decoded bodies."""
        return [message.payload for message in self.messages]

    def receive(self, raw: Any) -> None:
        """The consumer's callback."""
        self.messages.append(self.channel.message_to_python(raw))


class Rig:
    """Drives the broker at ``url``.

    Arguments:
        options: keyword arguments for each :class:`kombu.Connection`.
        patience: seconds that something may take to happen before the test fails.
        lull: seconds in which nothing may happen for "nothing more comes" to be believed.
    """

    def __init__(
        self, url: str, options: Mapping[str, Any] | None = None, *, patience: float = 5.0, lull: float = 0.1
    ) -> None:
        self.url = url
        self.options = dict(options or {})
        self.patience = patience
        self.lull = lull
        self._prefix = f"kombu-conformance.{uuid4().hex[:12]}"
        self._numbers = count(1)
        self._connections: list[Any] = []
        self._consuming: list[Any] = []
        self._channel: Any = None
        self._anchor = ""
        self._queues: list[str] = []
        self._exchanges: list[str] = []

    # -- connections and channels

    def connect(self) -> Any:
        """A connection of its own, released when the test ends."""
        connection = Connection(self.url, **self.options)
        self._connections.append(connection)
        connection.connect()
        return connection

    @property
    def connection(self) -> Any:
        """The connection that is used when a test names none."""
        return self._connections[0] if self._connections else self.connect()

    @property
    def channel(self) -> Any:
        """The channel that is used when a test names none."""
        if self._channel is None:
            self._channel = self.connection.channel()
        return self._channel

    def new_channel(self, connection: Any = None) -> Any:
        """Another channel, on ``connection`` or the usual one."""
        return (connection or self.connection).channel()

    def skip_without(self, capability: str) -> None:
        """Skip one case of a parametrized test whose capability (if any) another test looks at."""
        if capability and not is_claimed(self.connection.transport.implements, capability):
            pytest.skip(f"{capability} is not claimed")

    # -- declarations

    def name(self, kind: str = "name") -> str:
        """A name that nobody else uses."""
        return f"{self._prefix}.{kind}.{next(self._numbers)}"

    def queue(
        self,
        name: str | None = None,
        *,
        channel: Any = None,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        **arguments: Any,
    ) -> str:
        """Declare a queue; ``arguments`` with ``_`` for ``-`` and without ``x-``: ``max_length=3``."""
        name = self.name("queue") if name is None else name
        self._queues.append(name)
        (channel or self.channel).queue_declare(
            queue=name,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments={f"x-{key.replace('_', '-')}": value for key, value in arguments.items()},
        )
        return name

    def exchange(
        self,
        type: str = "direct",
        name: str | None = None,
        *,
        channel: Any = None,
        durable: bool = True,
        auto_delete: bool = False,
        **arguments: Any,
    ) -> str:
        """Declare an exchange; ``arguments`` with ``_`` for ``-``: ``alternate_exchange="other"``."""
        name = self.name("exchange") if name is None else name
        self._exchanges.append(name)
        (channel or self.channel).exchange_declare(
            exchange=name,
            type=type,
            durable=durable,
            auto_delete=auto_delete,
            arguments={key.replace("_", "-"): value for key, value in arguments.items()},
        )
        return name

    def bind(self, queue: str, exchange: str, routing_key: str = "", arguments: Any = None) -> str:
        """Bind ``queue`` to ``exchange`` and return the queue."""
        self.channel.queue_bind(queue=queue, exchange=exchange, routing_key=routing_key, arguments=arguments)
        return queue

    def bound(self, exchange: str, *routing_keys: str, **arguments: Any) -> str:
        """A new queue bound to ``exchange`` with each of the keys (with the empty key when there is none)."""
        queue = self.queue(**arguments)
        for key in routing_keys or ("",):
            self.bind(queue, exchange, key)
        return queue

    def exists(self, queue: str) -> bool:
        """Whether the queue is there, asked on a channel of its own, since a "no" closes it."""
        channel = self.new_channel()
        try:
            channel.queue_declare(queue=queue, passive=True)
        except self.connection.channel_errors as error:
            if getattr(error, "reply_code", None) != 404:
                raise
            return False
        channel.close()
        return True

    def count(self, queue: str) -> int:
        """Messages ready in the queue, by passive declaration."""
        return int(self.channel.queue_declare(queue=queue, passive=True).message_count)

    # -- publishing

    def publish(
        self,
        body: Any,
        exchange: str = "",
        routing_key: str = "",
        *,
        channel: Any = None,
        mandatory: bool = False,
        delay: float | None = None,
        priority: int | None = None,
        headers: Mapping[str, Any] | None = None,
        **properties: Any,
    ) -> None:
        """Publish text (as ``text/plain``) or bytes (as they are)."""
        channel = channel or self.channel
        text = isinstance(body, str)
        message = channel.prepare_message(
            body.encode() if text else body,
            priority=priority,
            content_type="text/plain" if text else "application/data",
            content_encoding="utf-8" if text else "binary",
            headers=dict(headers or {}),
            properties=properties,
        )
        extra = {} if delay is None else {"delay": delay}
        channel.basic_publish(
            message, exchange=exchange, routing_key=routing_key, mandatory=mandatory, **extra
        )

    def send(self, queue: str, *bodies: Any, **options: Any) -> None:
        """Publish to a queue by the default exchange."""
        for body in bodies:
            self.publish(body, routing_key=queue, **options)

    # -- receiving

    def get_now(self, queue: str, *, no_ack: bool = True, channel: Any = None) -> Any:
        """The next message if there is one now, else None."""
        channel = channel or self.channel
        raw = channel.basic_get(queue=queue, no_ack=no_ack)
        return None if raw is None else channel.message_to_python(raw)

    def get(self, queue: str, *, no_ack: bool = True, channel: Any = None) -> Any:
        """The next message, which has to come."""
        found: list[Any] = []

        def arrived() -> bool:
            message = self.get_now(queue, no_ack=no_ack, channel=channel)
            if message is not None:
                found.append(message)
            return bool(found)

        self.until(arrived, f"a message in {queue}")
        return found[0]

    def payloads(self, queue: str, expected: int) -> list[Any]:
        """Take ``expected`` messages, then see that there is no more; the decoded bodies in order."""
        found = [self.get(queue).payload for _ in range(expected)]
        extra = self.get_now(queue)
        assert extra is None, f"besides {found!r} there was {extra.payload!r} in {queue}"
        return found

    def consume(
        self,
        *queues: str,
        channel: Any = None,
        no_ack: bool = False,
        exclusive: bool = False,
        on_cancel: Callable[[str], None] | None = None,
    ) -> Inbox:
        """Start consuming; one inbox for all queues named."""
        channel = channel or self.channel
        inbox = Inbox(channel)
        for queue in queues:
            inbox.tag = channel.basic_consume(
                queue=queue,
                no_ack=no_ack,
                callback=inbox.receive,
                consumer_tag=self.name("tag"),
                exclusive=exclusive,
                on_cancel=on_cancel,
            )
        connection = channel.connection.client
        if connection not in self._consuming:
            self._consuming.append(connection)
        return inbox

    # -- waiting

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Ask ``happened`` again and again, between events, until it is so; fail after ``patience``."""
        deadline = monotonic() + self.patience
        while not happened():
            assert monotonic() < deadline, f"did not happen within {self.patience:g} s: {what}"
            self._drain(POLL)

    def receive(self, expected: int, *inboxes: Inbox) -> None:
        """Drain until the inboxes hold ``expected`` messages together."""
        deadline = monotonic() + self.patience
        while sum(map(len, inboxes)) < expected:
            left = deadline - monotonic()
            assert left > 0, f"{sum(map(len, inboxes))} of {expected} messages within {self.patience:g} s"
            self._drain(left if len(self._consuming) == 1 else POLL)

    def elapse(self, seconds: float) -> None:
        """Let time pass, taking whatever comes."""
        deadline = monotonic() + seconds
        while (left := deadline - monotonic()) > 0:
            self._drain(left if len(self._consuming) == 1 else min(left, POLL))

    def quiet(self) -> None:
        """Let a moment pass in which what should not come would come."""
        self.elapse(self.lull)

    def _drain(self, timeout: float) -> None:
        """One event, or ``timeout`` seconds, on each connection that consumes (else on the usual one)."""
        for connection in self._consuming or [self.connection]:
            with suppress(TimeoutError):
                connection.drain_events(timeout=timeout)

    # -- errors

    def sync(self, channel: Any) -> None:
        """A round trip: the broker has handled all that was sent on this channel before."""
        if not self._anchor:
            self._anchor = self.queue(self.name("anchor"))
        channel.queue_declare(queue=self._anchor, passive=True)

    @contextmanager
    def refuses(
        self, error: type[Exception], match: str | None = None, connection: Any = None
    ) -> Iterator[Any]:
        """Inside, on the channel given, the broker has to answer with ``error`` (and with its reply code).

        The channel is not to be used afterwards: AMQP closes it.
        """
        self.sync(self.channel)
        channel = self.new_channel(connection)
        with pytest.raises(error, match=match) as caught:
            yield channel
            self.sync(channel)
        assert caught.value.reply_code == error.code  # type: ignore[attr-defined]

    # -- the end

    def close(self) -> None:
        """Release every connection and delete what was declared."""
        for connection in self._connections:
            with suppress(Exception):
                connection.release()
        with suppress(Exception), Connection(self.url, **self.options) as connection:
            for verb, names in (("queue_delete", self._queues), ("exchange_delete", self._exchanges)):
                for name in names:
                    try:
                        getattr(connection.default_channel, verb)(name)
                    except connection.channel_errors:
                        connection.close()
