"""The session of a client: connecting, logging in, noticing that the server is gone, and a fork.

The driver, redis-py, lends its errors and its credential providers. The socket is ours, because each wait on it has to
respect the deadline in force, and because a command sent now whose reply is read later saves half of the round trips.
"""

from __future__ import annotations

from logging import getLogger
from os import getpid
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from kombu.exceptions import DeadlineExceeded
from kombu.utils.deadline import current, deadline_scope, remaining
from kombu_redis import errors
from kombu_redis.credentials import Credentials, credentials_of
from kombu_redis.resp import Argument, Reader, pack
from kombu_redis.sockets import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_redis.address import Address
    from kombu_redis.options import Options

__all__ = ("USELESS", "Session", "Then")

logger = getLogger("kombu.transport.redis")

#: Seconds without use after which a client looks whether the server has closed the connection.
IDLE = 1.0

#: Replies that say the connection is of no use any more.
USELESS = (errors.ReadOnly, errors.MasterDown, errors.AuthenticationError, errors.ConnectionLost)

#: What is called with replies that are read later.
Then: TypeAlias = "Callable[[list[Any]], object] | None"

_PING = pack("PING")


def _log_late(error: Exception) -> None:
    logger.warning("A command that was not waited for failed: %s", error)


class Session:
    """A socket with a login, made when it is needed, and what is on the way in both directions."""

    def __init__(self, address: Address, options: Options, name: str | None = None) -> None:
        self.address = address
        self.lock = RLock()
        #: Called with the error the server answered to what :meth:`write` and :meth:`buffer` sent.
        self.on_late_error: Callable[[Exception], object] = _log_late
        #: How often it has connected; who keeps something in the session (subscriptions) sees that it is new.
        self.connects = 0
        #: Look after a pause whether the server is still there. Not where it sends what was not asked for: whoever
        #: listens to that has to look.
        self.checks = True
        self._options = options
        self._name = name or options.client_name
        self._ask = credentials_of(address, options.credential_provider)
        self._credentials: Credentials = ()
        self._pid = getpid()
        self._ended = False
        self._wire: Wire | None = None
        self._reader: Any = None
        self._used = 0.0
        self._forget()

    def _forget(self) -> None:
        """No bytes are to be sent, no replies to be read."""
        self._outgoing: list[bytes] = []
        self._promised: list[tuple[int, Then]] = []
        self._owed: list[tuple[int, Then]] = []

    # -- connecting

    @property
    def connected(self) -> bool:
        """Whether there is a socket, as far as is known."""
        return self._wire is not None and self._pid == getpid()

    def fileno(self) -> int:
        """The socket's file descriptor; ValueError when there is none."""
        wire = self._wire
        if wire is None:
            raise ValueError(f"not connected to {self.address}")
        return int(wire.sock.fileno())

    def connect(self) -> None:
        """Connect and log in unless connected, within ``socket_connect_timeout`` and the deadline in force.

        Raises:
            AuthenticationError: wrong user name or password.
            ConnectionError: the certificate is not accepted, or there is no such database.
            Loading, MasterDown: the server cannot serve yet.
        """
        lock = self._take()
        try:
            if self._wire is None:
                self._connect()
        finally:
            lock.release()

    def _connect(self) -> None:
        options = self._options
        outer = current()
        try:
            with deadline_scope(options.socket_connect_timeout):
                self._wire = Wire(
                    self.address,
                    monotonic() + (remaining() or 0.0),
                    options.socket_timeout,
                    options.socket_keepalive,
                    options.socket_keepalive_options,
                )
                self._reader = Reader(self._wire.receive)
                self._log_in()
            if self._ended:
                raise errors.ConnectionLost(f"the connection to {self.address} was closed")
        except (DeadlineExceeded, errors.NoReply) as exc:
            self._drop()
            if outer is not None and outer.expired:
                raise outer.exceeded(f"connecting to {self.address}") from exc
            what = "no TLS connection" if self.address.tls is not None else "no connection"
            limit = f"{options.socket_connect_timeout:g} s (socket_connect_timeout)"
            raise errors.NoReply(f"{what} to {self.address} within {limit}") from exc
        except BaseException:
            self._drop()
            raise
        self.connects += 1
        self._used = monotonic()

    def _log_in(self) -> None:
        """AUTH, SELECT and a name in one round trip; a PING says whether the server serves us at all."""
        self._credentials = self._ask()
        commands: list[tuple[Argument, ...]] = []
        if self._credentials:
            commands.append(("AUTH", *self._credentials))
        if self.address.db:
            commands.append(("SELECT", self.address.db))
        vital = len(commands)
        commands.append(("PING",))
        if self._name:
            commands.append(("CLIENT", "SETNAME", self._name))
        replies = self._exchange(b"".join([pack(*command) for command in commands]), len(commands))
        for reply in replies[: vital + 1]:
            # (a user who may not PING is as welcome as any)
            if isinstance(reply, Exception) and not isinstance(reply, errors.AccessRefused):
                raise type(reply)(f"{self.address}: {reply}")
        if isinstance(replies[-1], Exception) and self._name:
            logger.debug("%s does not take the name %r: %s", self.address, self._name, replies[-1])

    # -- letting go

    def abandon(self) -> None:
        """Close at once, from any thread: a call in progress fails, nothing more is sent."""
        if self._pid != getpid():
            self._after_fork()
            return
        self._drop()
        self._forget()

    def end(self) -> None:
        """As :meth:`abandon`, for good: a thread that still uses it does not connect again."""
        self._ended = True
        self.abandon()

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        self._owed = []
        if wire is not None:
            wire.close()

    def _after_fork(self) -> None:
        """The socket, the lock and what is on the way are the parent's."""
        wire, self._wire = self._wire, None
        self.lock = RLock()
        self._pid = getpid()
        self._forget()
        if wire is not None:
            wire.close(shutdown=False)

    # -- inside, with the lock held

    def _take(self) -> Any:
        """Hold the lock, within the deadline in force; the caller releases what is returned."""
        if self._pid != getpid():
            self._after_fork()
        lock = self.lock
        if not lock.acquire(False):
            deadline = current()
            if not lock.acquire(timeout=-1 if deadline is None else deadline.remaining()):
                assert deadline is not None
                raise deadline.exceeded(f"waiting for another thread's command to {self.address}")
        return lock

    def _ready(self) -> Wire:
        """The socket; a new one when the server has closed the last one while nobody used it."""
        if self._wire is not None and self.checks and monotonic() - self._used > IDLE:
            self._look_after()
        if self._wire is None:
            self._connect()
        assert self._wire is not None
        return self._wire

    def _look_after(self) -> None:
        """After a pause: is the server still there? If not, nothing is lost by connecting anew."""
        wire, interval = self._wire, self._options.health_check_interval
        assert wire is not None
        try:
            if interval is not None and monotonic() - self._used > interval:
                self._exchange(_PING, 1)
            elif wire.readable(0):
                self._exchange(b"", 0)
                if wire.readable(0):
                    self._drop()
        except errors.ConnectionLost as exc:
            logger.info("%s: connecting again", exc)
        except errors.NoReply as exc:
            logger.warning("%s: connecting again", exc)

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        wire = self._wire
        assert wire is not None
        try:
            wire.limit()
            wire.send(packed)
            self._collect()
            replies = [self._reader.read() for _ in range(count)]
        except BaseException as exc:
            self._fail(exc)
        self._used = monotonic()
        return replies

    def _take_outgoing(self) -> bytes:
        if not self._outgoing:
            return b""
        packed = b"".join(self._outgoing)
        self._owed += self._promised
        self._outgoing, self._promised = [], []
        return packed

    def _collect(self) -> None:
        """Read the replies that are owed, and hand them to who wants them."""
        while self._owed:
            count, then = self._owed.pop(0)
            replies = [self._reader.read() for _ in range(count)]
            if then is not None:
                then(replies)
                continue
            for reply in replies:
                if isinstance(reply, Exception):
                    self.on_late_error(reply)

    def _fail(self, exc: BaseException) -> NoReturn:
        """The stream may be out of step: close it, and say what happened."""
        wire = self._wire
        self._drop()
        if wire is not None and isinstance(exc, OSError):
            error = wire.error(exc)
            if error is not exc:
                raise error from exc
        raise exc
