"""The session of a client: connecting, noticing that the server is gone, and a fork.

A connection of redis-py does the work: the socket, TLS, the login, the protocol. It is used below the level of
``redis.Redis``, because a command sent now whose reply is read later saves half of the round trips. Looking up a host's
name is the system's affair and has no time limit but the resolver's own (``options timeout`` in resolv.conf).
"""

from __future__ import annotations

from functools import partial
from logging import getLogger
from math import inf
from os import getpid
from socket import SHUT_RDWR
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from redis import exceptions as driver

from kombu.utils.deadline import current, deadline_scope, remaining
from kombu_redis import errors
from kombu_redis.credentials import Credentials, Fixed, log_in
from kombu_redis.resp import pack
from kombu_redis.wire import kept, wait_readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_redis.address import Address
    from kombu_redis.options import Options

__all__ = ("USELESS", "Session", "Then", "read_replies")

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
        provider = options.credential_provider
        self._credentials = None if provider is None else Credentials(provider)
        #: What this session is logged in with, if there is a provider.
        self._login: Any = ()
        #: When the provider is asked again, by the monotonic clock.
        self.ask_at = inf
        #: The driver's connection class and its arguments.
        self.arguments = address.connection(options, name, provider and Credentials(provider))
        self._pid = getpid()
        self._ended = False
        #: The driver's connection, never used again once it is lost.
        self._wire: Any = None
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
        wire = login = None
        try:
            with deadline_scope(options.socket_connect_timeout):
                left = remaining()
                kind, arguments = self.arguments
                limits: dict[str, Any] = {"socket_connect_timeout": left, "socket_timeout": left}
                make: Any = partial(kept(kind), **{**arguments, **limits})  # type: ignore[arg-type, misc]
                if self._credentials is None:
                    wire = make()
                    wire.connect()
                else:
                    wire, login = log_in(
                        lambda provider: make(credential_provider=provider), self._credentials, options.accepted
                    )
                self._greet(wire)
        except BaseException as exc:
            if wire is not None:
                wire.disconnect()
            if isinstance(exc, (TimeoutError, driver.TimeoutError)) and outer is not None and outer.expired:
                raise outer.exceeded(f"connecting to {self.address}") from exc
            if not isinstance(exc, (driver.RedisError, TimeoutError)):
                raise
            raise self._not_connected(exc) from exc
        if self._ended:
            wire.disconnect()
            raise errors.ConnectionLost(f"the connection to {self.address} was closed")
        if self._credentials is not None:
            self._logged_in(login)
        wire.sock.timeout = options.socket_timeout
        self._wire = wire
        self.connects += 1
        self._used = monotonic()

    def _greet(self, wire: Any) -> None:
        """The driver has logged in; a PING says whether the server serves us at all."""
        wire.sock.limit()
        wire.send_packed_command((_PING,), False)
        try:
            wire.read_response(True)
        except driver.NoPermissionError:
            pass  # who may not PING is as welcome as any

    def _not_connected(self, exc: BaseException) -> BaseException:
        """What to raise when connecting failed."""
        where, text = self.address, str(exc)
        if isinstance(exc, (TimeoutError, driver.TimeoutError)):
            what = "no TLS connection" if where.tls is not None else "no connection"
            limit = f"{self._options.socket_connect_timeout:g} s (socket_connect_timeout)"
            return errors.NoReply(f"{what} to {where} within {limit}")
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return errors.ConnectionError(
                f"the certificate of {where} is not accepted: {text} ssl_ca_certs names the authorities to trust"
            )
        if isinstance(exc.__context__, FileNotFoundError) and where.tls is not None:
            return errors.ConnectionError(
                f"a file that the ssl options of {where} name does not exist: {text}"
            )
        error = errors.error_from_driver(exc, str(where))
        if isinstance(error, errors.ConnectionLost):
            return errors.ConnectionLost(f"no connection to {where}: {text}")
        return error  # type: ignore[no-any-return]

    # -- a login that is renewed

    def _logged_in(self, login: Any) -> None:
        self._login, self.ask_at = login, monotonic() + self._options.lease / 3

    def outdated(self) -> bool:
        """Whether the credential provider, asked now, gives others than at the last login, and they are accepted.

        While they are not (yet), the old login holds as far as the server is concerned; the provider is asked again.
        """
        credentials = self._credentials
        if credentials is None or not self.connected:
            return False
        self._logged_in(self._login)
        try:
            fresh = credentials.get_credentials()
        except Exception as exc:  # a program's own, which may well be working again the next time
            logger.warning("%s: the credential_provider failed with %s", self.address, type(exc).__name__)
            return False
        return bool(fresh) and fresh != self._login and self._is_accepted(credentials.last)

    def reauthenticate(self) -> None:
        """AUTH again when the credential provider gives others than at the last login; otherwise nothing.

        A connection outlives the validity of a token, unless the server is told the new one.
        """
        lock = self._take()
        try:
            if not self.outdated():
                return
            assert self._credentials is not None
            login = self._credentials.last
            self._wire.sock.limit()
            (reply,) = self._exchange(self._take_outgoing() + pack("AUTH", *login), 1)
            if isinstance(reply, Exception):
                raise reply
            self._options.accepted.login = login
            self._logged_in(login)
        finally:
            lock.release()

    def _is_accepted(self, login: Any) -> bool:
        """Whether a connection of its own can log in: one that is refused is of no use to the driver any more."""
        kind, arguments = self.arguments
        probe = kind(**{**arguments, "credential_provider": Fixed(login)})
        try:
            probe.connect()
        except driver.RedisError as exc:
            logger.warning("%s does not accept new credentials (yet): %s", self.address, exc)
            return False
        finally:
            probe.disconnect()
        return True

    def readable(self, timeout: float | None = 0) -> bool:
        """Whether a reply has come, or the connection has ended, within ``timeout`` seconds; None waits for ever."""
        lock = self._take()
        try:
            wire = self._wire
            if wire is None:
                return False
            if wire.has_read():
                return True
        finally:
            lock.release()
        return bool(wait_readable(timeout, wire.sock.fileno()))

    # -- letting go

    def abandon(self) -> None:
        """Close at once, from any thread: a call in progress fails, nothing more is sent."""
        if self._pid != getpid():
            self._after_fork()
            return
        wire, self._wire = self._wire, None
        self._forget()
        if wire is None:
            return
        try:
            wire.sock.shutdown(SHUT_RDWR)
        except OSError:
            pass
        # (a thread that is reading finds the end and closes)
        if self.lock.acquire(False):
            wire.disconnect()
            self.lock.release()

    def end(self) -> None:
        """As :meth:`abandon`, for good: a thread that still uses it does not connect again."""
        self._ended = True
        self.abandon()

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        self._owed = []
        if wire is not None:
            wire.disconnect()

    def _after_fork(self) -> None:
        """The socket, the lock and what is on the way are the parent's."""
        wire, self._wire = self._wire, None
        self.lock = RLock()
        self._pid = getpid()
        self._forget()
        if wire is not None:
            wire.disconnect()  # (says nothing to the server: the driver knows that this is another process)

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

    def _ready(self) -> Any:
        """The connection, ready for use; a new one when the server has closed the last one while nobody used it.

        Raises:
            DeadlineExceeded: the deadline in force has passed; nothing was sent.
        """
        if self._wire is not None and self.checks:
            now = monotonic()
            if now - self._used > IDLE:
                self._look_after()
            if now > self.ask_at:
                self.reauthenticate()
        if self._wire is None:
            self._connect()
        wire = self._wire
        wire.sock.limit()
        return wire

    def _look_after(self) -> None:
        """After a pause: is the server still there? If not, nothing is lost by connecting anew."""
        interval = self._options.health_check_interval
        self._wire.sock.limit()
        try:
            if interval is not None and monotonic() - self._used > interval:
                self._exchange(_PING, 1)
            elif self.readable():
                self._exchange(b"", 0)
                if self.readable():
                    self._drop()
        except errors.ConnectionLost as exc:
            logger.info("%s: connecting again", exc)
        except errors.NoReply as exc:
            logger.warning("%s: connecting again", exc)

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        wire = self._wire
        try:
            if packed:
                wire.send_packed_command((packed,), False)
            self._collect(wire)
            replies = read_replies(wire, count)
        except BaseException as exc:
            self._fail(wire, exc)
        self._used = monotonic()
        return replies

    def _take_outgoing(self) -> bytes:
        if not self._outgoing:
            return b""
        packed = b"".join(self._outgoing)
        self._owed += self._promised
        self._outgoing, self._promised = [], []
        return packed

    def _collect(self, wire: Any) -> None:
        """Read the replies that are owed, and hand them to who wants them."""
        while self._owed:
            count, then = self._owed.pop(0)
            replies = read_replies(wire, count)
            if then is not None:
                then(replies)
                continue
            for reply in replies:
                if isinstance(reply, Exception):
                    self.on_late_error(reply)

    def _fail(self, wire: Any, exc: BaseException) -> NoReturn:
        """The stream may be out of step: close it, and say what happened."""
        wire.disconnect()
        if self._wire is wire:
            self._drop()
        if not isinstance(exc, (driver.RedisError, ValueError)):
            raise exc
        raise self._lost(wire, exc) from exc

    def _lost(self, wire: Any, exc: BaseException) -> BaseException:
        """What to raise when a connection failed."""
        if isinstance(exc, driver.TimeoutError):
            deadline = current()
            if deadline is not None and wire.sock.by_deadline:
                return deadline.exceeded(f"a command to {self.address}")
            limit = f"{self._options.socket_timeout:g} s (socket_timeout)"
            return errors.NoReply(f"{self.address} did not answer within {limit}")
        error = errors.error_from_driver(exc)
        if isinstance(error, errors.ConnectionLost):
            return errors.ConnectionLost(f"the connection to {self.address} is lost: {exc}")
        return error  # type: ignore[no-any-return]


def read_replies(wire: Any, count: int) -> list[Any]:
    """So many replies, with the errors among them."""
    replies: list[Any] = []
    for _ in range(count):
        try:
            replies.append(wire.read_response(True))
        except driver.ResponseError as exc:
            replies.append(errors.error_from_driver(exc))
    return replies
