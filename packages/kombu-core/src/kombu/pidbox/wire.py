"""What goes over the wire between mailboxes: commands, and the answers to them."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any

from kombu.common import maybe_declare
from kombu.consumer import Consumer
from kombu.entity import Exchange
from kombu.exceptions import InconsistencyError
from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from collections import defaultdict, deque
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from kombu.entity import Queue

__all__ = ("Wire",)


class Wire:
    """The part of a :class:`~kombu.pidbox.Mailbox` that sends and collects."""

    connection: Any
    clock: Any
    accept: Any
    serializer: Any
    exchange: Any
    reply_exchange: Any
    unclaimed: defaultdict[str, deque[Any]]
    producer_or_acquire: Callable[..., AbstractContextManager[Any]]

    @property
    def oid(self) -> str:
        raise NotImplementedError

    @property
    def reply_queue(self) -> Queue:
        raise NotImplementedError

    def _publish_reply(
        self,
        reply: Any,
        exchange: str,
        routing_key: str,
        ticket: str | None,
        channel: Any = None,
        producer: Any = None,
        **opts: Any,
    ) -> None:
        chan = channel or self.connection.default_channel
        where = Exchange(exchange, type="direct", delivery_mode="transient", durable=False)
        with self.producer_or_acquire(producer, chan) as producer:
            try:
                producer.publish(
                    reply,
                    exchange=where,
                    routing_key=routing_key,
                    declare=[where],
                    headers={"ticket": ticket, "clock": self.clock.forward()},
                    retry=True,
                    **opts,
                )
            except InconsistencyError:
                pass  # whoever asked is gone, and its queue with it

    def _publish(
        self,
        type: str,
        arguments: Any,
        destination: Any = None,
        reply_ticket: str | None = None,
        channel: Any = None,
        timeout: float | None = None,
        serializer: Any = None,
        producer: Any = None,
        pattern: Any = None,
        matcher: Any = None,
    ) -> None:
        message = {
            "method": type,
            "arguments": arguments,
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
        }
        chan = channel or self.connection.default_channel
        if reply_ticket:
            maybe_declare(self.reply_queue(chan))
            message.update(
                ticket=reply_ticket,
                reply_to={"exchange": self.reply_exchange.name, "routing_key": self.oid},
            )
        with self.producer_or_acquire(producer, chan) as producer:
            producer.publish(
                message,
                exchange=self.exchange.name,
                declare=[self.exchange],
                headers={"clock": self.clock.forward(), "expires": time() + timeout if timeout else 0},
                serializer=serializer or self.serializer,
                retry=True,
            )

    def _broadcast(
        self,
        command: str,
        arguments: Any = None,
        destination: Any = None,
        reply: bool = False,
        timeout: float | None = 1,
        limit: int | None = None,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
        serializer: Any = None,
        pattern: Any = None,
        matcher: Any = None,
    ) -> Any:
        if destination is not None and not isinstance(destination, (list, tuple)):
            raise ValueError(f"destination must be a list or tuple of names, not {destination!r}")
        if (pattern is not None and not isinstance(pattern, str)) or (
            matcher is not None and not isinstance(matcher, str)
        ):
            raise ValueError(f"pattern and matcher must be strings, not {pattern!r} and {matcher!r}")
        arguments = arguments or {}
        ticket = uuid() if reply else None
        chan = channel or self.connection.default_channel
        if limit is None and destination:
            limit = len(destination)
        self._publish(
            command,
            arguments,
            destination=destination,
            reply_ticket=ticket,
            channel=chan,
            timeout=timeout,
            serializer=serializer,
            pattern=pattern,
            matcher=matcher,
        )
        if ticket is not None:
            return self._collect(ticket, limit=limit, timeout=timeout, callback=callback, channel=chan)

    def _collect(
        self,
        ticket: str,
        limit: int | None = None,
        timeout: float | None = 1,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
        accept: Any = None,
    ) -> list[Any]:
        """The answers to ``ticket``: ``limit`` of them, or those that come in ``timeout`` seconds."""
        chan = channel or self.connection.default_channel
        answers: list[Any] = []
        unclaimed = self.unclaimed

        def take(body: Any) -> None:
            if callback:
                callback(body)
            answers.append(body)

        def on_message(body: Any, message: Any) -> None:
            headers = message.headers
            self.clock.adjust(headers.get("clock") or 0)
            expires = headers.get("expires")
            if expires and time() > expires:
                return
            its_ticket = headers.get("ticket", ticket)
            if its_ticket == ticket:
                take(body)
            else:
                unclaimed[its_ticket].append(body)

        for body in unclaimed.pop(ticket, ()):
            take(body)
        deadline = None if timeout is None else monotonic() + timeout
        queue = self.reply_queue
        consumer = Consumer(
            chan, [queue], callbacks=[on_message], accept=self.accept if accept is None else accept, no_ack=True
        )
        try:
            with consumer:
                while True:
                    if limit and len(answers) >= limit:
                        break
                    left = None if deadline is None else deadline - monotonic()
                    if left is not None and left <= 0:
                        break
                    try:
                        self.connection.drain_events(timeout=left)
                    except TimeoutError:
                        break
        finally:
            chan.after_reply_message_received(queue.name)
        return answers
