"""The driver's connection as a client uses it: with a descriptor to wait on, and no wait beyond the deadline."""

from __future__ import annotations

import errno
import select
from functools import cache
from typing import TYPE_CHECKING, Any

import redis

from kombu.utils.deadline import remaining

if TYPE_CHECKING:
    import ssl

__all__ = ("ContextConnection", "kept", "wait_readable")


class Bounded:
    """The socket that the driver gets: a read or write waits for ``timeout`` seconds, or until a nearer deadline.

    Reading one reply may take the driver many reads, so with a deadline the time left is looked at before each.
    """

    def __init__(self, sock: Any, timeout: float) -> None:
        self.sock = sock
        self.timeout = timeout
        #: A deadline is nearer than ``timeout``.
        self.by_deadline = False
        self._in_force = 0.0
        self._looking = False
        self.sendall = sock.sendall
        self.limit()

    def limit(self) -> None:
        """Take the deadline in force into account, or that there is none; before each use.

        Raises:
            DeadlineExceeded: it has passed.
        """
        seconds = remaining()
        if seconds is None or seconds >= self.timeout:
            self.by_deadline = False
            seconds = self.timeout
        else:
            self.by_deadline = True
        if seconds != self._in_force:
            self._in_force = seconds
            self.sock.settimeout(seconds)

    def settimeout(self, seconds: float | None) -> None:
        """The driver sets 0 to look whether it has something to read, and then what it was told at first.

        Looking must not read from the socket: what has come would be gone for those who wait for the descriptor. It
        tells what the driver has kept. (TLS keeps nothing: a record is at most a quarter of what is read at a time.)
        """
        self._looking = seconds == 0

    def recv(self, *size: int) -> Any:
        if self._looking or self.by_deadline:
            self._before_read()
        return self.sock.recv(*size)

    def recv_into(self, *buffer: Any) -> Any:
        if self._looking or self.by_deadline:
            self._before_read()
        return self.sock.recv_into(*buffer)

    def _before_read(self) -> None:
        if self._looking:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing was kept")
        self.limit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class _Kept:
    """Keeps the socket, and connects once: a connection that was lost is replaced, with what was said over it.

    ``_connect`` is where every connection class of redis-py makes its socket: AbstractConnection declares it abstract.
    It is the only protected name used here; the driver has no public way to the descriptor.
    """

    sock: Bounded | None = None
    socket_connect_timeout: float

    def _connect(self) -> Bounded:
        if self.sock is not None:
            raise redis.ConnectionError("the connection was closed")
        sock = super()._connect()  # type: ignore[misc]
        try:
            self.sock = Bounded(sock, self.socket_connect_timeout)
        except BaseException:  # the deadline has passed
            sock.close()
            raise
        return self.sock

    def has_read(self) -> bool:
        """Whether the driver has read more than it has given out; or, with some of its parsers, also the end."""
        try:
            return bool(self.can_read(0))  # type: ignore[attr-defined]
        except redis.ConnectionError:
            return True


@cache
def kept(kind: type[Any]) -> type[Any]:
    """The driver's connection class ``kind`` with the attribute ``sock``, a :class:`Bounded`."""
    return type(f"Kept{kind.__name__}", (_Kept, kind), {})


class ContextConnection(redis.Connection):
    """TLS by an ``ssl.SSLContext`` of the program's own, which the driver's class for TLS does not take."""

    def __init__(
        self, *, ssl_context: ssl.SSLContext, ssl_server_hostname: str | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)  # type: ignore[no-untyped-call]
        self.context = ssl_context
        self.server_hostname = ssl_server_hostname

    def _connect(self) -> Any:
        sock = super()._connect()  # type: ignore[no-untyped-call]
        try:
            return self.context.wrap_socket(sock, server_hostname=self.server_hostname or self.host)
        except BaseException:
            sock.close()
            raise


def wait_readable(seconds: float | None, *filenos: int) -> list[int]:
    """The descriptors that can be read, or whose connection has ended, within ``seconds``; None waits for ever."""
    if hasattr(select, "poll"):  # (eventlet takes it away)
        poll = select.poll()
        for fileno in filenos:
            poll.register(fileno, select.POLLIN)
        ready = poll.poll(None if seconds is None else max(0, int(seconds * 1000 + 0.999)))
        return [fileno for fileno, _ in ready]
    return select.select(filenos, [], [], seconds)[0]
