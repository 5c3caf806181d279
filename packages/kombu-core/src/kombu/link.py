"""The part of a connection that connects: its parameters, the brokers it may use, and the fork.

Mixed into :class:`kombu.Connection`, which adds channels and everything that is done with them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

from kombu.address import Address
from kombu.ensure import as_library_error, connect
from kombu.entity import Declarations
from kombu.exceptions import AMQPError, DeadlineExceeded, OperationalError
from kombu.failover import failover_strategies
from kombu.params import from_url
from kombu.retry import RetryPolicy
from kombu.utils.compat import maybe_fileno, register_after_fork
from kombu.utils.deadline import current, deadline_scope, grace_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

__all__ = ("Link",)

#: Seconds that saying goodbye to a broker may take: one that is there, and one that may be gone.
CLOSE_TIMEOUT = 5.0
COLLECT_TIMEOUT = 1.0

#: How ``default_channel`` connects unless ``transport_options`` says otherwise.
_CONNECT_DEFAULTS: dict[str, Any] = {
    "max_retries": 2,
    "interval_start": 2,
    "interval_step": 2,
    "interval_max": 30,
}

#: What a forked child has inherited and must neither use nor tidy up: destructors of drivers say goodbye to the broker.
_inherited: list[Any] = []


def abandon(transport: Any, connection: Any, channel: Any) -> None:
    """In a forked child: make sure that a connection of the parent is neither used nor closed from here.

    Its descriptors (``connection.fileno()``, and what ``transport.inherited_fds(connection)`` lists) are
    pointed at the null device, so that even a channel which somebody still holds cannot reach the parent's socket, and
    the broker sees the parent go when it goes.
    """
    _inherited.append((transport, connection, channel))
    fds: set[int | None] = {maybe_fileno(connection)}
    fds.update(transport.inherited_fds(connection))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in fds:
        if fd is not None:
            os.dup2(null, fd)
    os.close(null)


class Link(Address):
    """Connects to one broker out of a list, and lets go of it again."""

    # connecting

    def connect(self) -> Any:
        """Connect now, trying each broker once; the transport's connection object is returned.

        Raises:
            Exception: the driver's own, from the last broker tried.
        """
        self._ensure_connected(
            RetryPolicy(max_retries=max(0, len(self.alt) - 1), interval_start=0, interval_step=0)
        )
        return self._connection

    def ensure_connection(
        self,
        errback: Callable[[BaseException, float], object] | None = None,
        max_retries: int | None = None,
        interval_start: float = 2,
        interval_step: float = 2,
        interval_max: float = 30,
        callback: Callable[[], object] | None = None,
        reraise_as_library_errors: bool = True,
        timeout: float | None = None,
        jitter: float = 0,
    ) -> Self:
        """Connect, and keep trying until it works.

        Arguments:
            errback: called as ``errback(exc, interval)`` when an attempt failed, with the seconds of the pause.
            max_retries: attempts after the first; None is no limit.
            interval_start, interval_step, interval_max: seconds of the pause after all brokers have been tried, what
                each further one is longer, and the longest.
            callback: called before the pause and once a second during it; may raise to give up.
            reraise_as_library_errors: raise OperationalError in place of the driver's exceptions.
            timeout: seconds for everything together. The brokers of a list share what is left fairly, so that one
                that doesn't answer leaves time for the next.
            jitter: the part of each pause that is left to chance, 0 to 1.

        Raises:
            OperationalError: ``max_retries`` is used up.
            DeadlineExceeded: ``timeout``, or the deadline in force, has passed; the cause is the last failure.
        """
        policy = RetryPolicy(
            max_retries, interval_start, interval_step, interval_max, jitter=jitter, errback=errback
        )
        with deadline_scope(timeout):
            self._ensure_connected(policy, callback, reraise_as_library_errors)
        return self

    def _ensure_connected(
        self, policy: RetryPolicy, callback: Callable[[], object] | None = None, as_ours: bool = False
    ) -> None:
        if self.connected:
            return
        deadline = current()
        if not self._lock.acquire(timeout=-1 if deadline is None else deadline.remaining()):
            raise deadline.exceeded("waiting for another thread to connect")  # type: ignore[union-attr]
        try:
            if self.connected:
                return
            if self._connection is not None:
                self.collect()
            self._closed = False
            connect(self, policy, callback)
        except OperationalError:
            raise
        except Exception as exc:
            if as_ours and isinstance(exc, self._worth_connecting_again()):
                raise as_library_error(exc) from exc
            raise
        finally:
            self._lock.release()

    def _attempt(self, retries: int) -> None:
        """One attempt at the current broker, in its share of the time."""
        limit = self._connect_timeout or None
        deadline = current()
        if deadline is not None:
            brokers = len(self._urls)
            share = deadline.remaining() / (brokers - retries % brokers)
            if share <= 0:
                raise deadline.exceeded("connecting")
            limit = share if limit is None else min(limit, share)
        with deadline_scope(limit):
            try:
                self._connection_factory()
            except DeadlineExceeded as exc:
                if deadline is not None and deadline.expired:
                    raise
                raise TimeoutError(f"{self.as_uri()} did not answer within {limit:g} s") from exc

    def _connection_factory(self) -> Any:
        self.declared_entities.clear()
        self._default_channel = None
        self._connection = self._establish_connection()
        self._closed = False
        if not self._watched:
            register_after_fork(self, Link._forget_parent)
            self._watched = True
        return self._connection

    def _establish_connection(self) -> Any:
        return self.transport.establish_connection()

    def _worth_connecting_again(self) -> tuple[type[BaseException], ...]:
        return (*self.recoverable_connection_errors, TimeoutError)

    def _policy_of_options(self) -> tuple[RetryPolicy, Callable[[], object] | None, float | None]:
        """How to connect when a channel is asked for, from ``transport_options``."""
        options = self.transport_options or {}
        given = {name: options[name] for name in (*_CONNECT_DEFAULTS, "errback") if name in options}
        brokers = {"max_retries": max(2, len(self._urls) - 1)}
        policy = RetryPolicy(**{**_CONNECT_DEFAULTS, **brokers, **given})
        return policy, options.get("callback"), options.get("connect_retries_timeout")

    @property
    def connect_timeout(self) -> float | None:
        """Seconds that an attempt to connect may take; less than what was set when a deadline is nearer."""
        deadline = current()
        if deadline is None:
            return self._connect_timeout
        left = max(deadline.remaining(), 0.001)
        return min(self._connect_timeout, left) if self._connect_timeout else left

    @connect_timeout.setter
    def connect_timeout(self, seconds: float | None) -> None:
        self._connect_timeout = seconds

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as can be told without asking the broker."""
        connection = self._connection
        return (
            not self._closed and connection is not None and bool(self.transport.verify_connection(connection))
        )

    @property
    def connection(self) -> Any:
        """The transport's connection object, connecting if need be; None after :meth:`close`."""
        if self._closed:
            return None
        if not self.connected:
            self.connect()
        return self._connection

    # disconnecting

    def release(self) -> None:
        """Close the connection, or give it back to the pool it came from. Doing it twice does no harm."""
        self._close()

    def close(self) -> None:
        """Close the connection. It connects again when it is used again."""
        self._close()

    def _close(self) -> None:
        self._closed = True
        if self._connection is None:
            return self._disconnect(CLOSE_TIMEOUT)
        expected = self._gone_errors()
        try:
            self._disconnect(CLOSE_TIMEOUT)
        except expected:
            pass

    def _gone_errors(self) -> tuple[type[BaseException], ...]:
        """What closing may raise when there is nothing left to close."""
        return (*self.connection_errors, *self.channel_errors, OperationalError, AMQPError, OSError)

    def collect(self, socket_timeout: float | None = None) -> None:
        """Drop a connection that may be broken: what fails on the way is ignored.

        Arguments:
            socket_timeout: seconds that saying goodbye may take.
        """
        try:
            self._disconnect(COLLECT_TIMEOUT if socket_timeout is None else socket_timeout)
        except Exception as exc:
            import logging

            logging.getLogger("kombu.connection").debug("ignored while dropping a connection: %r", exc)

    def _disconnect(self, seconds: float) -> None:
        transport, connection = self._transport, self._connection
        self._transport = self._connection = self._default_channel = None
        self.declared_entities.clear()
        try:
            if connection is not None:
                with grace_scope(seconds):
                    transport.close_connection(connection)
        finally:
            if transport is not None:
                transport.client = None

    def _forget_parent(self) -> None:
        """In a forked child: let go of the parent's connection without a word to the broker."""
        self._lock = RLock()
        if self._transport is not None:
            abandon(self._transport, self._connection, self._default_channel)
        self._transport = self._connection = self._default_channel = None
        self.declared_entities = Declarations()

    @contextmanager
    def _reraise_as_library_errors(
        self,
        ConnectionError: type[Exception] = OperationalError,
        ChannelError: type[Exception] = OperationalError,
    ) -> Iterator[None]:
        """Inside, the driver's errors become ours, with the driver's as their cause; Celery publishes under it."""
        try:
            yield
        except OperationalError:
            raise
        except self.connection_errors as exc:
            raise ConnectionError(str(exc)) from exc
        except self.channel_errors as exc:
            raise ChannelError(str(exc)) from exc

    # failing over

    def switch(self, conn_str: str) -> None:
        """Point the connection, which is closed, at another URL or host; it does not connect."""
        self._switch(conn_str)
        self._home = from_url(conn_str, self._keywords, self._home)

    def _switch(self, conn_str: str) -> None:
        self._close()
        self._closed = False
        self._apply(from_url(conn_str, self._keywords, self._home))

    def maybe_switch_next(self) -> None:
        """Go on to the next broker of the failover strategy, if there is more than one."""
        cycle = self.cycle
        if cycle is not None:
            self._switch(next(cycle))

    @property
    def cycle(self) -> Iterator[str] | None:
        """The URLs to try next, without end; None when there is nothing to fail over to."""
        if self._cycle is None and (self.alt or self._failover_strategy not in failover_strategies):
            self._cycle = iter(self.failover_strategy(self._urls))
            next(self._cycle)
        return self._cycle

    @cycle.setter
    def cycle(self, urls: Iterator[str] | None) -> None:
        self._cycle = urls

    def completes_cycle(self, retries: int) -> bool:
        """Whether retry number ``retries``, counted from 0, is the last of a round through all brokers."""
        return not (retries + 1) % len(self.alt) if self.alt else True
