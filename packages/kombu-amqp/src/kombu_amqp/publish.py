"""Publishing: one by one or many, with the broker's confirmation where the connection asks for it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from amqp import spec
from amqp.exceptions import AMQPError

from kombu.exceptions import BatchPublishError, UnsupportedCapability
from kombu.utils.deadline import deadline_scope
from kombu_amqp import errors
from kombu_amqp.confirms import Confirms

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("PublishVerbs",)


class PublishVerbs:
    """The publishing half of a channel."""

    connection: Any
    channel_id: int | None
    is_open: bool
    events: dict[str, set[Any]]
    _guard: Any

    def _init_publishing(self) -> None:
        self.confirms = Confirms()
        self._confirm_selected = False

    def _stop_confirming(self, error: BaseException) -> None:
        self._confirm_selected = False
        self.confirms.fail_all(error)

    def basic_publish(
        self,
        msg: Any,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        delay: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Publish a prepared message.

        Arguments:
            mandatory: have it returned when no queue gets it.
            timeout: seconds for everything, the confirmation included.
            confirm_timeout: seconds that the broker may take to confirm, where the connection asks for that.

        Raises:
            MessageNacked: the broker refused it.
            ConnectionBlocked: the broker is short of memory or disk; the message may still be stored later.
            DeadlineExceeded, NoReply: it was not written, or not confirmed, in time.
            ChannelInUse: another thread uses this channel now.
        """
        if delay is not None:
            _refuse_delay()
        if not self._guard.acquire(blocking=False):
            self._take()  # type: ignore[attr-defined]
        try:
            if timeout is not None:
                with deadline_scope(timeout):
                    return self._publish(msg, exchange, routing_key, mandatory, immediate, confirm_timeout)
            self._publish(msg, exchange, routing_key, mandatory, immediate, confirm_timeout)
        finally:
            self._guard.release()

    def basic_publish_confirm(self, *args: Any, **kwargs: Any) -> None:
        """Publish and wait until the broker has the message, whatever the connection's option says."""
        self._take()  # type: ignore[attr-defined]
        try:
            self._prepare(confirm=True)
            self.basic_publish(*args, **kwargs)
        finally:
            self._guard.release()

    def _publish(
        self,
        msg: Any,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        confirm_timeout: float | None,
    ) -> None:
        self._prepare()
        if not self._confirm_selected:
            return self._write(msg, exchange, routing_key, mandatory, immediate)
        tag = self.confirms.sent(exchange, routing_key)
        try:
            self._write(msg, exchange, routing_key, mandatory, immediate)
            self._await_confirms((tag,), confirm_timeout)
            error = self.confirms.outcome(tag)
        finally:
            self.confirms.forget((tag,))
        if error is not None:
            raise error

    def basic_publish_many(self, publications: Iterable[tuple[Any, str, str, dict[str, Any]]]) -> None:
        """Publish several messages in few writes, and wait once for all confirmations.

        Raises:
            BatchPublishError: not all were published; its ``outcomes`` say which.
        """
        messages = list(publications)
        self._take()  # type: ignore[attr-defined]
        tags: list[int] = []
        try:
            self._prepare()
            try:
                self._write_many(messages, tags)
                if self._confirm_selected:
                    self._await_confirms(tags, None)
            except BaseException as exc:
                if not isinstance(exc, Exception):
                    raise
                error = self._batch_error(messages, tags, exc)
                assert error is not None
                raise error from exc
            error = self._batch_error(messages, tags, None)
        finally:
            self.confirms.forget(tags)
            self._guard.release()
        if error is not None:
            raise error

    def _write_many(self, messages: list[Any], tags: list[int]) -> None:
        parts = []
        for message, exchange, routing_key, options in messages:
            if options.get("delay") is not None:
                _refuse_delay()
            flags = options.get("mandatory", False), options.get("immediate", False)
            parts.append((exchange, routing_key, *flags, message.properties, message.body))
        connection = self.connection
        if self._confirm_selected:
            tags += [self.confirms.sent(part[0], part[1]) for part in parts]
        try:
            connection.wire.publish_many(self.channel_id, parts)
        except AMQPError as exc:
            if isinstance(exc, errors.NoReply) and connection.blocked is not None:
                connection.raise_blocked()
            errors.raise_translated(exc)

    def _batch_error(
        self, messages: list[Any], tags: list[int], cause: Exception | None
    ) -> BatchPublishError | None:
        """What to raise for a batch; None when the broker has all of it."""
        outcomes: list[BaseException | None] = [
            cause if cause is not None and tag in self.confirms else self.confirms.outcome(tag) for tag in tags
        ]
        outcomes += [cause] * (len(messages) - len(tags)) if cause is not None else []
        failed = [outcome for outcome in outcomes if outcome is not None]
        if not failed and cause is None:
            return None
        why = failed[0] if failed else cause
        return BatchPublishError(
            f"{len(failed)} of {len(messages)} messages were not published, or nobody knows: {why}",
            outcomes=tuple(outcomes) if tags or cause is not None else (),
        )

    def _prepare(self, confirm: bool = False) -> None:
        """The channel is open, confirms if it shall, and the broker takes messages."""
        if not self.is_open:
            self._ready()  # type: ignore[attr-defined]
        connection = self.connection
        connection.before_publish(self)
        if not self.is_open:
            self._ready()  # type: ignore[attr-defined]
        if not self._confirm_selected and (connection.confirm_publish or confirm):
            self.confirm_select()  # type: ignore[attr-defined]
            self._confirm_selected = True

    def _write(self, msg: Any, exchange: str, routing_key: str, mandatory: bool, immediate: bool) -> None:
        connection = self.connection
        if connection is None or connection.wire is None:
            raise self._closed()  # type: ignore[attr-defined]
        try:
            connection.wire.publish(
                self.channel_id, exchange, routing_key, mandatory, immediate, msg.properties, msg.body
            )
        except AMQPError as exc:
            if isinstance(exc, errors.NoReply) and connection.blocked is not None:
                connection.raise_blocked()
            errors.raise_translated(exc)

    def _await_confirms(self, tags: Iterable[int], confirm_timeout: float | None) -> None:
        pending, connection = self.confirms.pending, self.connection
        awaited = [tag for tag in tags if tag in pending]
        if not awaited:
            return
        last = awaited[-1] if len(awaited) == 1 else None

        def done() -> bool:
            if last is not None:
                return last not in pending
            while awaited and awaited[-1] not in pending:
                awaited.pop()
            return not awaited

        limit = confirm_timeout
        since = monotonic()
        while not done():
            try:
                connection.await_reply(
                    self, lambda: done() or connection.blocked is not None, limit, spec.Basic.Ack
                )
            except errors.NoReply:
                if connection.blocked is not None:
                    connection.raise_blocked()
                raise
            if connection.blocked is not None and not done():
                connection._await_unblocked(self)
                limit = None if confirm_timeout is None else max(0.0, confirm_timeout - monotonic() + since)

    def on_confirm(self, delivery_tag: int, multiple: bool, taken: bool) -> None:
        """The broker has taken, or refused, what was published."""
        self.confirms.settle(delivery_tag, multiple, refused=not taken)
        for callback in list(self.events.get("basic_ack" if taken else "basic_nack", ())):
            callback(delivery_tag, multiple)

    def _on_basic_return(
        self, reply_code: int, reply_text: str, exchange: str, routing_key: str, message: Any
    ) -> None:
        """A mandatory message that no queue gets comes back."""
        error = errors.error_for_code(reply_code, reply_text, spec.Basic.Return, errors.ChannelError)
        handlers = self.events.get("basic_return")
        if handlers:
            for callback in list(handlers):
                callback(error, exchange, routing_key, message)
        elif self._confirm_selected:
            self.confirms.returned(exchange, routing_key, error)
        else:
            raise error


def _refuse_delay() -> None:
    raise UnsupportedCapability(
        "RabbitMQ cannot delay messages by itself: publish without delay=, through"
        " kombu.transport.native_delayed_delivery, or use a transport whose capability `delay` is set"
    )
