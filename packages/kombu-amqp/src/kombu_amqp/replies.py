"""Waiting for the broker's answers: in order, with an end, and without mistaking a late one for the next.

What a connection (channel 0) and a channel have in common. Answers to one method come in the order of the
questions, so each kind of answer has a queue of those who wait. Who gives up stays in the queue and takes the late
answer away.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from amqp.exceptions import METHOD_NAME_MAP, AMQPError
from amqp.serialization import dumps, loads
from vine import promise

from kombu.utils.deadline import current, remaining
from kombu_amqp.errors import (
    AMQPNotImplementedError,
    NoReply,
    RecoverableConnectionError,
    raise_translated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Reply", "Waits")


class Reply:
    """An answer that is waited for."""

    __slots__ = ("args", "error", "late", "ready", "sig")

    def __init__(self) -> None:
        self.ready = False
        self.error: BaseException | None = None
        #: Called with (sig, args) when nobody waits any more.
        self.late: Callable[[tuple[int, int], list[Any]], None] | None = None
        self.sig: tuple[int, int] = (0, 0)
        self.args: list[Any] = []

    def fill(self, sig: tuple[int, int], args: list[Any]) -> None:
        self.sig, self.args, self.ready = sig, args, True
        if self.late is not None:
            self.late(sig, args)

    def fail(self, error: BaseException) -> None:
        self.error, self.ready = error, True


def _nothing(sig: tuple[int, int], args: list[Any]) -> None:
    """A late answer that changes nothing."""


class Waits:
    """The mixin for both."""

    connection: Any
    channel_id: int | None
    is_closing: bool
    _METHODS: Any
    _ALLOWED_METHODS_WHEN_CLOSING: Any
    _callbacks: dict[Any, Any]
    #: What the broker said when it closed this, or what else ended it.
    closed_by: BaseException | None = None

    def _init_waiting(self) -> None:
        self._awaiting: dict[tuple[int, int], deque[Reply]] = {}

    def send_method(
        self,
        sig: Any,
        format: str | None = None,
        args: Any = None,
        content: Any = None,
        wait: Any = None,
        callback: Any = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Send a method, and with ``wait`` return its answer."""
        connection = self.connection
        if connection is None:
            raise self._closed()
        payload = dumps(format, args) if format else b""
        try:
            with connection.write_lock:
                connection.frame_writer(1, self.channel_id, sig, payload, content)
        except AMQPError as exc:
            raise_translated(exc)
        if wait:
            return self.wait(wait, callback=callback, returns_tuple=returns_tuple)
        done = promise()
        if callback:
            done.then(callback)
        done()
        return done

    def wait(
        self, method: Any, callback: Any = None, timeout: float | None = None, returns_tuple: bool = False
    ) -> Any:
        """Wait for the answer ``method`` (or one of several).

        Raises:
            DeadlineExceeded: the deadline in force has passed.
            NoReply: there was no answer within ``timeout``, by default the option ``reply_timeout``.
        """
        connection = self.connection
        if connection is None:
            raise self._closed()
        reply = self._expect(method if isinstance(method, list) else [method])
        try:
            connection.await_reply(self, lambda: reply.ready, timeout, method)
        finally:
            if not reply.ready:
                reply.late = self._late_reply
        if reply.error is not None:
            raise reply.error
        if callback is not None:
            callback(reply.sig, *reply.args)
        return tuple(reply.args) if returns_tuple else (reply.args and reply.args[0])

    def _expect(self, methods: list[Any]) -> Reply:
        reply = Reply()
        queue = self._awaiting.get(methods[0])
        if queue is None:
            queue = deque()
            for method in methods:
                self._awaiting[method] = queue
        queue.append(reply)
        return reply

    def _late_reply(self, sig: tuple[int, int], args: list[Any]) -> None:
        """An answer has come after whoever asked gave up."""

    def _fail_waiting(self, error: BaseException) -> None:
        """There will be no more answers."""
        for queue in self._awaiting.values():
            while queue:
                queue.popleft().fail(error)
        self._awaiting.clear()

    def dispatch_method(self, method_sig: tuple[int, int], payload: bytes, content: Any) -> None:
        """Have a method that came from the broker handled."""
        if self.is_closing and method_sig not in self._ALLOWED_METHODS_WHEN_CLOSING:
            return  # (AMQP 0-9-1 section 1.4.2.4 of channel.close: all else is discarded)
        method = self._METHODS.get(method_sig)
        if method is None:
            raise AMQPNotImplementedError(f"the broker sent a method that is not known: {method_sig!r}")
        args: list[Any] = loads(method.args, payload, 4)[0] if method.args else []
        if method.content:
            args.append(content)
        queue = self._awaiting.get(method_sig)
        reply = queue.popleft() if queue else None
        listener = self._callbacks.get(method_sig)
        if listener is not None:
            listener(*args)
        if reply is not None:
            reply.fill(method_sig, args)

    def _closed(self) -> BaseException:
        """The error for using this after its end."""
        what = "connection" if self.channel_id == 0 else "channel or its connection"
        why = f": {self.closed_by}" if self.closed_by is not None else ""
        error = RecoverableConnectionError(f"this {what} is closed{why}")
        error.__cause__ = self.closed_by
        return error


def out_of_time(method: Any, limit: float) -> BaseException:
    """The error when the broker did not answer: the caller's deadline, or the default that is documented."""
    first = method[0] if isinstance(method, list) else method
    name = METHOD_NAME_MAP.get(first, str(first)).lower()
    deadline = current()
    if deadline is not None and deadline.expired:
        return deadline.exceeded(f"waiting for {name} from the broker")
    return NoReply(f"the broker did not answer within {limit:g} s: {name}")


def limit_for(timeout: float | None, default: float) -> float:
    """Seconds that a wait may take."""
    limit = remaining(default if timeout is None else timeout)
    assert limit is not None
    return limit
