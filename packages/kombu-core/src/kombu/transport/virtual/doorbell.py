"""A descriptor that one thread makes readable for another that waits for it, alone or in an event loop."""

from __future__ import annotations

import socket
from threading import RLock
from typing import TYPE_CHECKING

from kombu.utils.eventio import READ, poll

if TYPE_CHECKING:
    from kombu.utils.eventio import Poller

__all__ = ("Doorbell",)


class Doorbell:
    """Readable from :meth:`ring` until :meth:`clear`. The descriptor is made when it is first needed."""

    def __init__(self) -> None:
        self._lock = RLock()  # (a signal's handler may ring it)
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._poller: Poller | None = None
        self._rung = False
        self._waiting = False
        self._closed = False

    def fileno(self) -> int:
        """The descriptor.

        Raises:
            ValueError: it is closed.
        """
        with self._lock:
            return self._open()[0].fileno()

    def _open(self) -> tuple[socket.socket, socket.socket]:
        if self._closed:
            raise ValueError("it is closed: nothing comes from it any more")
        if self._pair is None:
            self._pair = socket.socketpair()
            for end in self._pair:
                end.setblocking(False)
            self._poller = poll()
            self._poller.register(self._pair[0].fileno(), READ)
            if self._rung:
                self._pair[1].send(b"\0")
        return self._pair

    def ring(self) -> None:
        """Make it readable; from any thread."""
        with self._lock:
            if not self._rung and not self._closed:
                self._rung = True
                if self._pair is not None:
                    self._pair[1].send(b"\0")

    def clear(self) -> None:
        """It is no longer readable. Look at what there is to do afterwards, not before."""
        with self._lock:
            if self._rung and not self._closed:
                self._rung = False
                if self._pair is not None:
                    self._pair[0].recv(16)

    def wait(self, timeout: float | None) -> bool:
        """Wait until it is readable, and clear it; False after ``timeout`` seconds (None: no limit).

        Raises:
            ValueError: it is closed, or was while waiting.
        """
        with self._lock:
            self._open()
            poller, self._waiting = self._poller, True
        try:
            ready = poller is not None and bool(poller.poll(timeout))
        finally:
            with self._lock:
                self._waiting = False
                if self._closed:
                    self._let_go()
        if self._closed:
            raise ValueError("it was closed while waiting: nothing comes from it any more")
        if ready:
            self.clear()
        return ready

    def close(self) -> None:
        """End a wait in another thread, and let go of the descriptor."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if not self._waiting:
                self._let_go()
            elif self._pair is not None and not self._rung:  # (who waits lets go of it)
                self._pair[1].send(b"\0")

    def abandon(self) -> None:
        """In a forked child, where other threads are not: let go of the descriptor only."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        if self._poller is not None:
            self._poller.close()
        for end in self._pair or ():
            end.close()
        self._poller = self._pair = None
