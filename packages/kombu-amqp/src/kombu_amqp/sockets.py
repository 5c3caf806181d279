"""The socket under a connection: every wait has an end.

Writing tries first and waits when the kernel takes no more. It is for one thread at a time (``write_lock``), so
heartbeats go out between frames and never inside of one. Reading waits with the socket's own timeout, which is
Python's and costs nothing while it stays the same; the descriptor itself never blocks. With TLS, whose object would be
held while it waits, reading tries first as well. A program may set the socket's timeout too (oslo.messaging does before
each publish): that changes no wait, because it is set back before the next one.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from threading import Lock, RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from amqp.transport import AMQP_PROTOCOL_HEADER, _AbstractTransport

from kombu.exceptions import DeadlineExceeded
from kombu.utils.compat import detect_environment
from kombu.utils.deadline import remaining
from kombu_amqp.errors import ConnectionLost, NoReply
from kombu_amqp.lookup import addresses

if TYPE_CHECKING:
    from kombu_amqp.tls import Tls

__all__ = ("WRITE_TIMEOUT", "Socket", "wait_for")

#: Seconds that the broker may take to accept what is written, when neither a deadline nor ``write_timeout`` is set.
WRITE_TIMEOUT = 30.0

#: Bytes asked of the kernel at a time.
CHUNK = 1 << 16

#: Seconds that ``poll`` takes at most (24 days).
LONGEST = 2e6

_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def wait_for(sock: Any, writing: bool, seconds: float | None) -> bool:
    """Wait until the socket can be read or written; whether it can."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLOUT if writing else select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0, int(min(seconds, LONGEST) * 1000 + 0.999))))
    ready = select.select([] if writing else [sock], [sock] if writing else [], [], seconds)
    return any(ready)


class Socket(_AbstractTransport):
    """A connected socket, plain or with TLS, that reads what there is and writes all it is given.

    Arguments:
        host: ``name:port``.
        connect_timeout: seconds for looking up, connecting and the TLS handshake together.
        tls: how to verify the broker; None is a plain connection.
        write_timeout: seconds that one write may take when no deadline is in force.
    """

    def __init__(self, host: str, connect_timeout: float | None, tls: Tls | None, **options: Any) -> None:
        self.sock: Any = None
        self.connected = False
        super().__init__(host, connect_timeout=connect_timeout, **options)
        self.tls = tls
        self.write_lock = RLock()
        # Whether writes go by the descriptor, so that the socket's timeout is the reader's alone. (eventlet's os.write
        # waits for as long as it takes.)
        self._direct = tls is None and os.name == "posix" and detect_environment() != "eventlet"
        self._timeout = 0.0
        # What the socket makes of it (in nanoseconds).
        self._set = 0.0
        # OpenSSL's object is for one thread at a time; reading and writing only ever hold this for a moment.
        self._io_lock = Lock()
        #: What to raise in place of "connection lost": set by who shuts the socket down and knows why.
        self.fault: BaseException | None = None

    # -- connecting

    def connect(self) -> None:
        """Connect, try each address of the host in turn, all within ``connect_timeout``."""
        if self.connected:
            return
        until = None if self.connect_timeout is None else monotonic() + self.connect_timeout
        try:
            self._connect_by(until)
            self._set_socket_options(self.socket_settings)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.tls is not None:
                self.sock.settimeout(_left(until))
                self.sock = self.tls.wrap(self.sock, self.host)
            self.sock.setblocking(False)  # (settimeout(0) is not enough for eventlet's TLS)
            self.connected = True
            self.write(AMQP_PROTOCOL_HEADER)
        except BaseException:
            self.connected = False
            if self.sock is not None:
                self.sock.close()
                self.sock = None
            raise

    def _connect_by(self, until: float | None) -> None:
        error: OSError | None = None
        for family, kind, protocol, _, address in addresses(self.host, self.port, until):
            self.sock = socket.socket(family, kind, protocol)
            try:
                self.sock.settimeout(_left(until))
                self.sock.connect(address)
                return
            except OSError as exc:
                error = exc
                self.sock.close()
                self.sock = None
        raise error or OSError(f"{self.host!r} has no address")

    # -- reading

    def receive(self, seconds: float | None) -> bytes | None:
        """What has come, at most :data:`CHUNK` bytes; None when nothing has within ``seconds`` (None: for ever).

        Raises:
            ConnectionLost: the broker closed the connection.
        """
        sock = self.sock
        if sock is None or not self.connected:
            self._raise_lost(None)
        limit = LONGEST if seconds is None else seconds
        try:
            if self._direct:
                if limit != self._timeout or sock.gettimeout() != self._set:
                    self._timeout = min(max(limit, 0.0), LONGEST)
                    sock.settimeout(self._timeout)
                    self._set = sock.gettimeout()
                chunk: bytes = sock.recv(CHUNK)
            else:
                chunk = self._try_receive(sock, limit)
        except (TimeoutError, BlockingIOError) as exc:
            if exc.errno == errno.ETIMEDOUT:  # the kernel's: the peer's host is gone
                self._raise_lost(exc)
            return None if seconds is not None else self.receive(None)
        except (OSError, ValueError) as exc:
            self._raise_lost(exc)
        if not chunk:
            self._raise_lost(None)
        return chunk

    def _try_receive(self, sock: Any, limit: float) -> bytes:
        until = monotonic() + limit
        while True:
            try:
                with self._io_lock:
                    if sock.gettimeout() != 0:
                        sock.setblocking(False)
                    return sock.recv(CHUNK)  # type: ignore[no-any-return]
            except _AGAIN as exc:
                left = until - monotonic()
                if left <= 0 or not wait_for(sock, isinstance(exc, ssl.SSLWantWriteError), left):
                    raise TimeoutError from None

    # -- writing

    def write(self, data: Any) -> None:
        """Write all of ``data``, which is one or more whole frames.

        Raises:
            DeadlineExceeded, NoReply: the broker did not take it in time; the connection is given up, since
                nobody knows how much of it arrived.
        """
        lock = self.write_lock
        if not lock.acquire(False) and not lock.acquire(timeout=remaining(self._patience) or 0):
            raise NoReply("another thread is still writing to this connection")
        try:
            sent = self._try_send(data)
            if sent != len(data):
                self._send_rest(memoryview(data)[sent:])
        except (NoReply, DeadlineExceeded) as exc:
            self.shut(exc)
            raise
        except (OSError, ValueError) as exc:
            self._raise_lost(exc)
        finally:
            lock.release()

    def try_write(self, data: bytes) -> None:
        """Write ``data`` unless that would have to wait; the caller holds ``write_lock``."""
        sent = self._try_send(data)
        if 0 < sent < len(data):
            self.write(data[sent:])

    def _try_send(self, data: Any) -> int:
        sock = self.sock
        if sock is None or not self.connected:
            self._raise_lost(None)
        try:
            if self._direct:
                if sock.gettimeout() is None:
                    os.set_blocking(sock.fileno(), False)
                return os.write(sock.fileno(), data)
            with self._io_lock:
                if sock.gettimeout() != 0:
                    sock.setblocking(False)
                return int(sock.send(data))
        except _AGAIN:
            return 0

    def _send_rest(self, data: memoryview) -> None:
        limit = remaining(self._patience)
        until = monotonic() + (limit or 0)
        while data:
            left = until - monotonic()
            if left <= 0 or not wait_for(self.sock, True, left):
                remaining()
                raise NoReply(f"the broker did not take what was written within {limit:g} s")
            data = data[self._try_send(data) :]

    @property
    def _patience(self) -> float:
        return self.write_timeout or WRITE_TIMEOUT

    # -- the end

    def _raise_lost(self, error: BaseException | None) -> NoReturn:
        self.connected = False
        fault = self.fault
        if fault is not None and not isinstance(fault, TimeoutError):
            raise fault
        # (A time that was over was an earlier call's: to this one the connection is lost, and can be replaced.)
        error = fault or error
        lost = ConnectionLost(f"the connection to the broker is lost: {error or 'the broker closed it'}")
        lost.errno = getattr(error, "errno", None) or errno.ECONNRESET
        raise lost from error

    def shut(self, fault: BaseException | None = None) -> None:
        """Give the connection up, from any thread: who reads or writes is woken and told of ``fault``."""
        if self.fault is None:
            self.fault = fault
        self.connected = False
        sock = self.sock
        if sock is not None:
            _shut_down(sock)

    def close(self) -> None:
        """Close the socket; doing it twice does no harm."""
        self.connected = False
        sock = self.sock
        if sock is None:
            return
        held = self.write_lock.acquire(timeout=1)
        try:
            self.sock = None
            if self.tls is not None:
                try:
                    sock.unwrap()  # says goodbye and does not wait for the answer
                except (OSError, ValueError):
                    pass
            _shut_down(sock)
            sock.close()
        finally:
            if held:
                self.write_lock.release()


def _shut_down(sock: Any) -> None:
    """Wake who reads or writes; below TLS, whose own method makes a plain socket of it at once."""
    below: Any = super(ssl.SSLSocket, sock) if isinstance(sock, ssl.SSLSocket) else sock
    try:
        below.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError("timed out while connecting")
    return left
