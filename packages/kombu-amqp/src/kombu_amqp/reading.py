"""What a connection reads: one event for a consumer, or everything until an answer has come.

While a call waits for its answer, deliveries are kept for the next ``drain_events``, so that a callback never runs
inside of a declaration or a publish.
"""

from __future__ import annotations

from collections import deque
from logging import getLogger
from threading import Event, RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from amqp.exceptions import AMQPError

from kombu.utils.deadline import remaining
from kombu_amqp import errors
from kombu_amqp.replies import limit_for, out_of_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_amqp.sockets import Socket

__all__ = ("Reads",)

logger = getLogger("kombu.transport.pyamqp")

#: Seconds after which a publisher looks whether the broker has said anything.
LOOK_EVERY = 0.005


class Reads:
    """The reading half of :class:`kombu_amqp.Connection`."""

    host: str
    channels: dict[int, Any] | None
    bytes_recv: int
    reply_timeout: float
    blocked_timeout: float
    read_timeout: float | None
    on_blocked: Callable[[str], Any] | None
    on_unblocked: Callable[[], Any] | None
    _transport: Socket | None
    wire: Any
    _closed: Callable[[], BaseException]

    def _init_reading(self) -> None:
        #: What the broker said when it blocked this connection; None when it takes messages.
        self.blocked: str | None = None
        self.blocked_since: float | None = None
        self._unblocked = Event()
        self._unblocked.set()
        self._reading = RLock()
        #: Who waits for an answer, so that deliveries have to wait for ``drain_events``.
        self.waiting: Any = None
        self._deferred: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        #: Called when there is work that the descriptor does not announce; set by the event loop.
        self.on_deferred: Callable[[], Any] | None = None
        self._announced = False
        self._looked = 0.0
        #: Why a thread that waits has nothing more to wait for: another has closed the connection.
        self.ended: BaseException | None = None

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read and handle one frame; whether it made an event.

        Raises:
            TimeoutError: ``timeout`` seconds went by.
        """
        event = self._read_one(timeout)
        if event is None:
            raise TimeoutError("timed out")
        return event

    def _read_one(self, seconds: float | None) -> bool | None:
        """Handle one event; False when there was none in what came, None when nothing came within ``seconds``."""
        transport, wire = self._transport, self.wire
        if transport is None or self.channels is None:
            raise self._closed()
        if not (wire.events or wire.fault):
            if wire.held:
                wire.flush()
            data = transport.receive(seconds)
            if data is None:
                return None
            wire.feed(data)
        try:
            return bool(wire.dispatch())
        except AMQPError as exc:
            if isinstance(exc, errors._Both):
                raise
            self._malformed(exc)

    def _malformed(self, error: AMQPError) -> NoReturn:
        """The broker sent what is no AMQP, so nothing that follows can be understood."""
        try:
            errors.raise_translated(error)
        except AMQPError as exc:
            if self._transport is not None and isinstance(exc, errors.ConnectionError):
                self._transport.shut(exc)
            raise

    def drain_events(self, timeout: float | None = None) -> None:
        """Wait for one event and have it handled; an event loop that has this connection calls for the rest.

        Arguments:
            timeout: seconds; None waits for the option ``read_timeout``, which has no default.

        Raises:
            TimeoutError: nothing came in time, whatever else (heartbeats, parts of a message) came.
            ConnectionInUse: another thread waits on this connection.
        """
        try:
            self.handle_event(timeout)
        finally:
            self._announce()

    def handle_event(self, timeout: float | None = None) -> None:
        """The same for who goes on until there are no more events."""
        limit = remaining(self.read_timeout if timeout is None else timeout)
        if not self._reading.acquire(False):
            raise self._in_use()
        outer, self.waiting, self._announced = self.waiting, None, False
        try:
            if self._deferred:
                fun, args = self._deferred.popleft()
                fun(*args)
                return
            until = None if limit is None else monotonic() + limit
            while not (event := self._read_one(limit)):
                if event is None:
                    raise TimeoutError("timed out")
                limit = _left(until)
            if self.ended is not None:
                raise self.ended
        finally:
            self.waiting = outer
            self._reading.release()

    def may_read(self) -> bool:
        """Whether no other thread is reading at this moment."""
        if not self._reading.acquire(False):
            return False
        self._reading.release()
        return True

    def _in_use(self) -> BaseException:
        return errors.ConnectionInUse(
            "another thread is waiting for the broker on this connection: give each thread a connection of its own"
            " (kombu.pools)"
        )

    def defer(self, fun: Callable[..., Any], *args: Any) -> None:
        """Have ``fun(*args)`` called by the next :meth:`drain_events`."""
        self._deferred.append((fun, args))
        self._announce()

    def take_deferred(self, fun: Callable[..., Any], key: str) -> list[tuple[Any, ...]]:
        """The arguments of the calls ``fun(key, ...)`` that were to come, and now do not."""
        taken = []
        for _ in range(len(self._deferred)):
            call = self._deferred.popleft()
            if call[0] == fun and call[1][0] == key:
                taken.append(call[1])
            else:
                self._deferred.append(call)
        return taken

    def _announce(self) -> None:
        """Have the event loop call for what was read ahead: the descriptor may not become readable again."""
        if self.on_deferred is not None and not self._announced and self.has_pending:
            self._announced = True
            self.on_deferred()

    def _answered(self, outer: Any) -> None:
        """The end of a wait for something else than deliveries."""
        self.waiting = outer
        self._reading.release()
        self._announce()

    @property
    def has_pending(self) -> bool:
        """Whether there is work that the descriptor does not announce."""
        return bool(self._deferred) or (self.wire is not None and self.wire.has_buffered)

    def await_reply(
        self, waiter: Any, done: Callable[[], bool], timeout: float | None, method: Any
    ) -> None:
        """Read until ``done()``, keeping deliveries for later.

        A broker that says nothing at all meanwhile is taken for dead: the connection is given up.

        Raises:
            DeadlineExceeded, NoReply: see :meth:`Waits.wait`.
        """
        limit = limit_for(timeout, self.reply_timeout)
        until, heard = monotonic() + limit, self.bytes_recv
        if not self._reading.acquire(False):
            raise self._in_use()
        outer, self.waiting = self.waiting, waiter
        try:
            while not done():
                if self._read_one(_left(until)) is None:
                    error = out_of_time(method, limit)
                    if self.bytes_recv == heard and self.blocked is None and self._transport is not None:
                        self._transport.shut(error)
                    raise error
        finally:
            self._answered(outer)

    def look(self, waiter: Any) -> None:
        """Handle what has come meanwhile, without waiting; deliveries are kept for later."""
        self._looked = monotonic()
        if not self._reading.acquire(blocking=False):
            return  # (who is reading handles it)
        outer, self.waiting = self.waiting, waiter
        try:
            # (what one read brings: a consumer without a limit shall not fill the memory)
            while self._read_one(0.0) is not None and self.wire is not None and self.wire.has_buffered:
                pass
        finally:
            self._answered(outer)

    def before_publish(self, waiter: Any) -> None:
        """See whether the broker takes messages, and wait for it when it doesn't.

        Raises:
            ConnectionBlocked: it still doesn't after ``blocked_timeout``.
            DeadlineExceeded: the deadline in force has passed before that.
        """
        if monotonic() - self._looked > LOOK_EVERY:
            self.look(waiter)
        if self.blocked is not None:
            self._await_unblocked(waiter)

    def _await_unblocked(self, waiter: Any) -> None:
        limit = remaining(self.blocked_timeout) or 0.0
        if not self._reading.acquire(blocking=False):
            self._unblocked.wait(limit)  # another thread reads
        else:
            outer, self.waiting = self.waiting, waiter
            until = monotonic() + limit
            try:
                while self.blocked is not None and self._read_one(_left(until)) is not None:
                    pass
            finally:
                self._answered(outer)
        if self.blocked is not None:
            self.raise_blocked()

    def raise_blocked(self) -> None:
        """Raise the error for a broker that still takes no messages."""
        remaining()
        raise errors.ConnectionBlocked(
            f"the broker takes no messages: {self.blocked}; waited {self.blocked_timeout:g} s"
            " (transport option blocked_timeout)",
            self.blocked or "",
        )

    # -- blocked by the broker

    def _on_blocked(self, reason: str = "") -> Any:
        self.blocked, self.blocked_since = reason or "no reason given", monotonic()
        self._unblocked.clear()
        logger.warning("%s: the broker takes no messages on this connection: %s", self.host, self.blocked)
        if self.on_blocked:
            return self.on_blocked(self.blocked)

    def _on_unblocked(self) -> Any:
        since, self.blocked, self.blocked_since = self.blocked_since, None, None
        self._unblocked.set()
        logger.warning(
            "%s: the broker takes messages again, after %.1f s", self.host, monotonic() - (since or monotonic())
        )
        if self.on_unblocked:
            return self.on_unblocked()


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - monotonic())
