"""The socket under a client: every wait on it has an end.

A plain socket on Linux stays blocking and the kernel keeps the time (SO_RCVTIMEO, SO_SNDTIMEO), which saves a poll
before each read and write. TLS, other systems and the sockets of gevent and eventlet keep Python's own timeout.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.utils.deadline import current, remaining
from kombu_redis.errors import ConnectionError, ConnectionLost, NoReply
from kombu_redis.lookup import addresses
from kombu_redis.resp import CHUNK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_redis.address import Address

__all__ = ("Wire",)

_KERNEL_KEEPS_TIME = sys.platform == "linux" and sys.maxsize > 2**32


class Wire:
    """A connected socket.

    Arguments:
        until: moment of the monotonic clock at which connecting gives up.
        timeout: seconds that one read or write may wait when no deadline is nearer.
        keepalive: whether TCP keep-alive is on; ``keepalive_options`` maps options of IPPROTO_TCP to their values.

    Raises:
        ConnectionLost, NoReply: nobody listens there, or not in time.
        ConnectionError: the server's certificate was not accepted.
    """

    def __init__(
        self,
        address: Address,
        until: float,
        timeout: float,
        keepalive: bool | None = True,
        keepalive_options: Mapping[int, int] | None = None,
    ) -> None:
        self.timeout = timeout
        self._address = address
        #: The socket's time-out is what a deadline left; and that was looked at just now.
        self._by_deadline = self._fresh = False
        try:
            self.sock: Any = _open(address, until, keepalive, keepalive_options or {})
        except (TimeoutError, BlockingIOError) as exc:
            raise NoReply(f"no connection to {address} in time") from exc
        except OSError as exc:
            if "CERTIFICATE_VERIFY_FAILED" in str(exc):
                raise ConnectionError(
                    f"the certificate of {address} is not accepted: {exc}. ssl_ca_certs names the authorities to trust"
                ) from exc
            raise ConnectionLost(f"no connection to {address}: {exc}") from exc
        kind = type(self.sock)
        self._kernel = _KERNEL_KEEPS_TIME and (kind.__module__, kind.__name__) == ("socket", "socket")
        if self._kernel:
            self.sock.settimeout(None)
        self._set(timeout)
        #: Writes all it is given.
        self.send = self.sock.sendall

    def limit(self) -> None:
        """Take the deadline in force into account, or that there is none; before each use.

        Raises:
            DeadlineExceeded: it has passed.
        """
        left = remaining()
        if left is not None and left < self.timeout:
            self._by_deadline = self._fresh = True
            self._set(left)
        elif self._by_deadline:
            self._by_deadline = False
            self._set(self.timeout)

    def receive(self, size: int = CHUNK) -> bytes:
        """What has come, at most ``size`` bytes and at least one.

        A record of TLS has 16 KB at most (RFC 8446 section 5.1), and ``size`` is never less: so nothing stays in the
        TLS layer, where :meth:`readable` would not see it.
        """
        if self._by_deadline:
            if not self._fresh:
                self.limit()
            self._fresh = False
        data: bytes = self.sock.recv(size)
        if not data:
            raise ConnectionLost(f"{self._address} closed the connection")
        return data

    def readable(self, seconds: float | None) -> bool:
        """Whether something can be read, or the connection has ended, within ``seconds``; None waits for ever."""
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            return bool(poll.poll(None if seconds is None else max(0, int(seconds * 1000 + 0.999))))
        return bool(select.select([self.sock], [], [], seconds)[0])

    def error(self, exc: OSError) -> BaseException:
        """What to raise for ``exc``, which a read or write raised."""
        if isinstance(exc, (ConnectionLost, NoReply)):
            return exc
        if not isinstance(exc, (TimeoutError, BlockingIOError)):
            return ConnectionLost(f"the connection to {self._address} is lost: {exc}")
        deadline = current()
        if deadline is not None and self._by_deadline:
            return deadline.exceeded(f"a command to {self._address}")
        return NoReply(f"{self._address} did not answer within {self.timeout:g} s (socket_timeout)")

    def close(self, shutdown: bool = True) -> None:
        """Close, and with ``shutdown`` wake whoever waits for it in another thread.

        A forked child closes without it: the connection is its parent's.
        """
        if shutdown:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        try:
            self.sock.close()
        except OSError:
            pass

    def _set(self, seconds: float) -> None:
        if not self._kernel:
            self.sock.settimeout(seconds)
            return
        # (a time of 0 would be no limit)
        value = struct.pack("@ll", *divmod(max(1, int(seconds * 1e6)), 1_000_000))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def _open(address: Address, until: float, keepalive: bool | None, options: Mapping[int, int]) -> Any:
    if address.path is not None:
        return _connected(socket.AF_UNIX, socket.SOCK_STREAM, 0, address.path, until)
    error: OSError | None = None
    for family, kind, protocol, _, where in addresses(address.host, address.port, until):
        try:
            sock = _connected(family, kind, protocol, where, until)
        except OSError as exc:
            error = exc
            continue
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if keepalive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in options.items():
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            if address.tls is not None:
                sock.settimeout(_left(until))
                return address.tls.wrap(sock, address.host)
            return sock
        except BaseException:
            sock.close()
            raise
    raise error or OSError(f"{address.host!r} has no address")


def _connected(family: int, kind: int, protocol: int, where: Any, until: float) -> Any:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(_left(until))
        sock.connect(where)
        return sock
    except BaseException:
        sock.close()
        raise


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
