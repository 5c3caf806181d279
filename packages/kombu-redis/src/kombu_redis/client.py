"""Commands to a Redis server over one connection: out in order, and so the replies."""

from __future__ import annotations

from logging import getLogger
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from kombu.exceptions import DeadlineExceeded
from kombu_redis import errors
from kombu_redis.resp import Argument, pack
from kombu_redis.scripts import called_by
from kombu_redis.session import USELESS, Session, Then

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_redis.scripts import Script

__all__ = ("Client",)

logger = getLogger("kombu.transport.redis")

#: What closing swallows.
_OURS = (DeadlineExceeded, errors.InvalidReply, errors.CommandError)


class Client(Session):
    """A connection that is made at the first call, and anew after a failure.

    It may be used by several threads: each call holds ``lock``, and a caller does so around calls that belong together.
    A forked child lets go of the parent's socket without a byte and connects anew.

    Every call may raise :class:`~kombu_redis.errors.ConnectionLost`, :class:`~kombu_redis.errors.NoReply` or
    ``DeadlineExceeded``: whether the command was carried out is not known then, and the connection is gone.

    Arguments:
        name: what CLIENT LIST shows in place of the option ``client_name``.
    """

    # -- commands

    def call(self, *command: Argument) -> Any:
        """The reply to a command: bytes, int, list or None.

        Raises:
            CommandError, AccessRefused, Unavailable: the server refused; see :mod:`kombu_redis.errors`.
        """
        return self.request(pack(*command))

    def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument] = ()) -> Any:
        """The reply to a script, which is sent as a whole when the server does not know it yet."""
        return self.request(script.pack(keys, arguments))

    def request(self, packed: bytes) -> Any:
        """The reply to one command that is packed already, sent behind all that was buffered."""
        lock = self._take()
        try:
            wire = self._ready()
            try:
                wire.send_packed_command(
                    (packed if not self._outgoing else self._take_outgoing() + packed,), False
                )
                if self._owed:
                    self._collect(wire)
                reply = wire.read_response(True)
            except ResponseError as exc:
                error = errors.error_from_driver(exc)
            except BaseException as exc:
                self._fail(wire, exc)
            else:
                self._used = monotonic()
                return reply
            return self._refused(error, packed)
        finally:
            lock.release()

    def pipeline(self, commands: Sequence[Sequence[Argument] | bytes]) -> list[Any]:
        """The replies to several commands (packed or not) in one round trip; they are not a transaction.

        Raises:
            CommandError: the first error among the replies, when all have been read.
        """
        replies = self.attempt(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def attempt(self, commands: Sequence[Sequence[Argument] | bytes]) -> list[Any]:
        """As :meth:`pipeline`, with errors among the replies."""
        if not commands:
            return []
        packed = [command if isinstance(command, bytes) else pack(*command) for command in commands]
        lock = self._take()
        try:
            self._ready()
            return self._completed(
                packed, self._exchange(self._take_outgoing() + b"".join(packed), len(packed))
            )
        finally:
            lock.release()

    def stream(self, commands: Iterable[bytes]) -> list[Any]:
        """As :meth:`attempt`, each command being sent when it is there: the server works while the next one is made."""
        packed: list[bytes] = []
        replies: list[Any] = []
        lock = self._take()
        try:
            for command in commands:
                packed.append(command)
                self.write(command, 1, replies.extend)
            self.flush()
            if len(replies) < len(packed):
                raise errors.ConnectionLost(f"the connection to {self.address} was lost meanwhile")
            return self._completed(packed, replies)
        finally:
            lock.release()

    def _completed(self, packed: list[bytes], replies: list[Any]) -> list[Any]:
        """The replies, those of commands whose script the server did not know replaced by those to a second try."""
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, errors.NoScript)]
        if unknown:
            again = [packed[at] for at in unknown]
            scripts = {script.load(): None for script in map(called_by, again) if script is not None}
            answers = self._exchange(b"".join((*scripts, *again)), len(scripts) + len(again))
            for at, reply in zip(unknown, answers[len(scripts) :], strict=True):
                replies[at] = reply
        if any(isinstance(reply, USELESS) for reply in replies):
            self._drop()
        return replies

    def _refused(self, error: Exception, packed: bytes) -> Any:
        if isinstance(error, errors.NoScript):
            script = called_by(packed)
            if script is not None:
                answers = self._exchange(script.load() + packed, 2)
                for answer in answers:
                    if isinstance(answer, Exception):
                        raise answer
                return answers[1]
        if isinstance(error, USELESS):
            self._drop()
        raise error

    # -- commands whose replies are read later

    def buffer(self, packed: bytes, replies: int, then: Then = None) -> None:
        """Send ``packed``, which is answered by ``replies`` replies, together with the next call.

        Arguments:
            then: called with the replies (errors among them, NOSCRIPT too) when they have been read; without it
                errors go to ``on_late_error``. It is not called when the connection fails meanwhile. It must not
                use the client.
        """
        lock = self._take()
        self._outgoing.append(packed)
        self._promised.append((replies, then))
        lock.release()

    def write(self, packed: bytes, replies: int, then: Then = None) -> None:
        """Send ``packed`` now, and all that was buffered; the replies are read before those of the next call."""
        lock = self._take()
        try:
            wire = self._ready()
            self.buffer(packed, replies, then)
            try:
                wire.send_packed_command((self._take_outgoing(),), False)
            except BaseException as exc:
                self._fail(wire, exc)
            self._used = monotonic()
        finally:
            lock.release()

    def flush(self) -> None:
        """Send what is buffered, and read all replies that are owed."""
        lock = self._take()
        try:
            if self._outgoing:
                self._ready()
            wire = self._wire
            if wire is not None and (self._outgoing or self._owed):
                wire.sock.limit()
                self._exchange(self._take_outgoing(), 0)
        finally:
            lock.release()

    # -- waiting for a reply

    def read(self) -> Any:
        """The next reply, to what was sent by ``write(packed, 0)``; waits for it as long as a call would."""
        lock = self._take()
        try:
            wire = self._wire
            if wire is None:
                raise errors.ConnectionLost(f"not connected to {self.address}")
            wire.sock.limit()
            try:
                reply = wire.read_response(True)
            except ResponseError as exc:
                error = errors.error_from_driver(exc)
                if isinstance(error, (*USELESS, errors.Unavailable)):
                    self._drop()
                raise error from None
            except BaseException as exc:
                self._fail(wire, exc)
            self._used = monotonic()
            return reply
        finally:
            lock.release()

    # -- the session

    def close(self) -> None:
        """Send what is buffered, if that can be done, and close."""
        try:
            if self._wire is not None:
                self.flush()
        except (OSError, *_OURS) as exc:
            logger.debug("%s was closed before everything was sent: %s", self.address, exc)
        finally:
            self.abandon()
