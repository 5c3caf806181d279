"""How a connection sleeps until there may be a message, and is woken once for each.

An idle connection has ``BRPOP <wake-up list of each queue> ... 0.5`` under way on a socket of its own. Whoever makes
a message ready leaves one token in the queue's wake-up list, and Redis gives it to the one that has waited longest. A
token is no message: losing one costs time only, since every connection looks again after :data:`LOOK_AGAIN` seconds.
That is also how messages of producers that know nothing of tokens (kombu 5) are found. A connection with many queues
is told by pub/sub instead (see :mod:`.enlisting`).
"""

from __future__ import annotations

import os
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from .errors import NoReply
from .outlet import bulk
from .resp import pack
from .wire import wait_readable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .fanout import Broadcasts
    from .transport import Transport

__all__ = ("LOOK_AGAIN", "Waiter")

#: Seconds that a wait for a token lasts at most.
LOOK_AGAIN = 0.5


class Waiter:
    """What one connection waits on: the answer to its BRPOP, broadcasts, and :meth:`wake`.

    One thread waits at a time, the one that drains the connection; any thread may call :meth:`wake`.
    """

    def __init__(self, transport: Transport, broadcasts: Broadcasts) -> None:
        self._pipe: tuple[int, int] | None = None
        self._transport = transport
        self._broadcasts = broadcasts
        self._private = transport.keys.private_wake(transport.identity)
        self._line: Any = None
        self._roll = transport.roll
        self._tokens: list[str] = []
        #: The queues that were last waited for, by their wake-up lists, and the BRPOP but for its last argument.
        self._queues: dict[str, str] = {}
        self._packed = b""
        #: Whether the BRPOP is under way.
        self._asked = False
        self._overdue = 0.0
        self._piping = Lock()
        self._closed = False

    # -- asking --------------------------------------------------------------------------------------------

    def ask(self, queues: Iterable[str]) -> None:
        """Have a BRPOP under way for these queues; one that waits for others is made to end."""
        if self._roll.is_used:
            if any(True for _ in queues):
                self._roll.sleep()
            return
        wanted = set(queues)
        if not wanted:
            return
        if self._asked:
            if not wanted.issubset(self._queues.values()):
                self._transport.store.nudge(self._private)
            return
        if len(wanted) != len(self._queues) or not wanted.issuperset(self._queues.values()):
            keys = self._transport.keys
            self._queues = {keys.wake(queue): queue for queue in wanted}
            # (of hundreds of queues it is long, so it is kept)
            self._packed = pack("BRPOP", *self._queues, self._private, "").removesuffix(bulk(""))
        if self._line is None:
            self._line = self._transport.open_client("wait")
        line = self._line
        line.connect()
        line.write(self._packed + bulk(self._transport.lulls.left), 0)
        self._asked = True
        self._overdue = monotonic() + LOOK_AGAIN + self._transport.patience

    @property
    def is_listening(self) -> bool:
        """Whether the server knows that this connection waits, or tells it anyway."""
        return self._asked or (self._roll.is_used and not self._roll.missing)

    @property
    def overdue(self) -> bool:
        """Whether nobody is waiting at the server for this connection: time to look for messages again."""
        return self._transport.lulls.is_due if self._roll.is_used else not self._asked

    @property
    def needs_a_clock(self) -> bool:
        """Whether an event loop has to end the sleep by itself when it is time to look again."""
        return self._roll.is_used

    def _answered(self) -> None:
        """Read the answer to the BRPOP, which names the queue whose token was taken."""
        self._asked = False  # also when the connection is lost
        reply = self._line.read()
        if reply is not None and (key := reply[0].decode("utf-8", "surrogateescape")) in self._queues:
            self._tokens.append(self._queues[key])

    def tokens(self) -> list[str]:
        """The queues of which something was heard."""
        tokens, self._tokens = self._tokens, []
        if self._roll.told:
            tokens, self._roll.told = [*tokens, *self._roll.told], []
        return tokens

    # -- sleeping ------------------------------------------------------------------------------------------

    def filenos(self) -> list[int]:
        """The descriptors to wait for: any of them readable means that :meth:`read` has something to do."""
        found = [self._pipe_ends()[0]]
        if self._asked:
            found.append(self._line.fileno())
        if self._broadcasts.listening:
            found.append(self._broadcasts.fileno())
        return found

    def sleep(self, timeout: float | None) -> list[int]:
        """Wait until a descriptor is readable, at most ``timeout`` seconds: those that are.

        Raises:
            ConnectionError: the server owes an answer for too long.
        """
        longest = self._transport.lulls.left if self._roll.is_used else LOOK_AGAIN
        if timeout is not None:
            longest = min(timeout, longest)
        ready = wait_readable(max(longest, 0), *self.filenos())
        if not ready:
            self.check()
        return ready

    def check(self) -> None:
        """Whether the server still answers; to be called now and then while nothing is readable."""
        if self._asked and monotonic() > self._overdue and not self._line.readable(0):
            self._asked = False
            self._line.abandon()
            raise NoReply("the server did not answer a BRPOP in time: it is gone or stopped")
        self._broadcasts.check()

    def read(self, ready: Iterable[int]) -> None:
        """Take in what is readable; see :meth:`tokens`."""
        for fileno in ready:
            if self._pipe is not None and fileno == self._pipe[0]:
                drain(fileno)
            elif self._asked and fileno == self._line.fileno():
                self._answered()
            elif self._broadcasts.listening and fileno == self._broadcasts.fileno():
                self._broadcasts.read()

    def wake(self) -> None:
        """End the sleep, from any thread."""
        with self._piping:  # or it could be closed, and the number be another file's
            if self._closed:
                return
            try:
                os.write(self._pipe_ends()[1], b"\0")
            except BlockingIOError:
                pass  # full: it is awake already

    def _pipe_ends(self) -> tuple[int, int]:
        if self._pipe is None:
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
        return self._pipe

    def clients(self) -> list[Any]:
        """The client it uses, if any."""
        return [self._line] if self._line is not None else []

    @property
    def pipe(self) -> tuple[int, ...]:
        """The two ends of the pipe, when there is one."""
        return self._pipe or ()

    # -- end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the sockets, for good; a token under way is lost, which costs another consumer time only."""
        self._asked = False
        if self._line is not None:
            self._line.close()
        with self._piping:
            self._closed = True
            self._close_pipe()

    def _close_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        for end in pipe or ():
            os.close(end)

    #: Nobody closed it. (Sockets close themselves.)
    __del__ = _close_pipe


def drain(fileno: int) -> None:
    try:  # (once: what is left wakes it again, and eventlet's read waits where there is nothing)
        os.read(fileno, 1 << 16)
    except BlockingIOError:
        pass
