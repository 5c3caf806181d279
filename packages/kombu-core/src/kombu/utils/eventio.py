"""Waiting for many descriptors at once: epoll, kqueue or select behind one interface."""

from __future__ import annotations

import errno
import select
from typing import Any, Protocol

from kombu.utils.compat import detect_environment, fileno

__all__ = ("ERR", "READ", "WRITE", "Poller", "poll")

READ = 0x001
WRITE = 0x004
ERR = 0x008 | 0x010

#: Error numbers that say a descriptor is not (or no longer) one.
SELECT_BAD_FD = {errno.EBADF}
if hasattr(errno, "WSAENOTSOCK"):  # pragma: no cover - Windows
    SELECT_BAD_FD.add(errno.WSAENOTSOCK)


class Poller(Protocol):
    """What :func:`poll` returns."""

    def register(self, fd: Any, events: int) -> Any:
        """Watch ``fd`` (number or object with ``fileno()``) for ``events`` from now on, and for nothing else."""

    def unregister(self, fd: Any) -> None:
        """Watch ``fd`` no more; nothing happens when it is not watched or closed already."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]] | None:
        """Pairs (descriptor, READ | WRITE | ERR) that are ready, within ``timeout`` seconds (None, or below zero:
        no limit). None when a signal interrupted the wait."""

    def close(self) -> None:
        """Let the poller itself go."""


class _epoll:  # noqa: N801
    def __init__(self) -> None:
        self._epoll = select.epoll()

    def register(self, fd: Any, events: int) -> int:
        number = fileno(fd)
        try:
            self._epoll.register(number, events)
        except FileExistsError:
            self._epoll.modify(number, events)
        return number

    def unregister(self, fd: Any) -> None:
        try:
            self._epoll.unregister(fd)
        except (ValueError, KeyError, TypeError):
            pass
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.EPERM, errno.EBADF):
                raise

    def poll(self, timeout: float | None) -> list[tuple[int, int]] | None:
        try:
            return self._epoll.poll(-1 if timeout is None or timeout < 0 else timeout)
        except InterruptedError:
            return None

    def close(self) -> None:
        self._epoll.close()


class _kqueue:  # noqa: N801  # pragma: no cover - BSD and macOS
    def __init__(self) -> None:
        self._kqueue: Any = select.kqueue()  # type: ignore[attr-defined]
        self._watched: dict[int, int] = {}

    def _control(self, fd: int, events: int, flag: int) -> None:
        filters = []
        if events & WRITE:
            filters.append(select.KQ_FILTER_WRITE)  # type: ignore[attr-defined]
        if events & READ:
            filters.append(select.KQ_FILTER_READ)  # type: ignore[attr-defined]
        for which in filters:
            event = select.kevent(fd, filter=which, flags=flag)  # type: ignore[attr-defined]
            self._kqueue.control([event], 0, 0)

    def register(self, fd: Any, events: int) -> int:
        number = fileno(fd)
        gone = self._watched.get(number, 0) & ~events
        if gone:
            self._control(number, gone, select.KQ_EV_DELETE)  # type: ignore[attr-defined]
        self._control(number, events, select.KQ_EV_ADD)  # type: ignore[attr-defined]
        self._watched[number] = events
        return number

    def unregister(self, fd: Any) -> None:
        fd = fileno(fd)
        events = self._watched.pop(fd, 0)
        try:
            self._control(fd, events, select.KQ_EV_DELETE)  # type: ignore[attr-defined]
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.EBADF):
                raise

    def poll(self, timeout: float | None) -> list[tuple[int, int]] | None:
        if timeout is not None and timeout < 0:
            timeout = None
        try:
            ready = self._kqueue.control(None, max(1, 2 * len(self._watched)), timeout)
        except InterruptedError:
            return None
        events: dict[int, int] = {}
        for event in ready:
            flag = READ if event.filter == select.KQ_FILTER_READ else WRITE  # type: ignore[attr-defined]
            if event.flags & select.KQ_EV_ERROR:  # type: ignore[attr-defined]
                flag |= ERR
            events[event.ident] = events.get(event.ident, 0) | flag
        return list(events.items())

    def close(self) -> None:
        self._kqueue.close()


class _select:  # noqa: N801
    def __init__(self) -> None:
        self._rfd: set[int] = set()
        self._wfd: set[int] = set()
        self._efd: set[int] = set()

    def register(self, fd: Any, events: int) -> int:
        number = fileno(fd)
        self.unregister(number)
        if events & ERR:
            self._efd.add(number)
        if events & WRITE:
            self._wfd.add(number)
        if events & READ:
            self._rfd.add(number)
        return number

    def unregister(self, fd: Any) -> None:
        try:
            fd = fileno(fd)
        except (OSError, ValueError, AttributeError):
            return
        self._rfd.discard(fd)
        self._wfd.discard(fd)
        self._efd.discard(fd)

    def poll(self, timeout: float | None) -> list[tuple[int, int]] | None:
        if timeout is not None and timeout < 0:
            timeout = None
        try:
            read, write, error = select.select(self._rfd, self._wfd, self._efd, timeout)
        except InterruptedError:
            return None
        except (OSError, ValueError) as exc:
            if isinstance(exc, OSError) and exc.errno not in SELECT_BAD_FD:
                raise
            return self._remove_bad()
        events: dict[int, int] = {}
        for ready, flag in ((read, READ), (write, WRITE), (error, ERR)):
            for fd in ready:
                events[fd] = events.get(fd, 0) | flag
        return list(events.items())

    def _remove_bad(self) -> list[tuple[int, int]]:
        """Report every descriptor that is closed as being in error, and watch it no more."""
        bad = []
        for fd in self._rfd | self._wfd | self._efd:
            try:
                select.select([fd], [], [], 0)
            except (OSError, ValueError):
                bad.append((fd, ERR))
        for fd, _ in bad:
            self.unregister(fd)
        return bad

    def close(self) -> None:
        self._rfd.clear()
        self._wfd.clear()
        self._efd.clear()


def poll(*args: Any, **kwargs: Any) -> Poller:
    """The best poller here: epoll, kqueue, else select; always select under eventlet and gevent, which patch it."""
    if detect_environment() == "default":
        if hasattr(select, "epoll"):
            return _epoll()
        if hasattr(select, "kqueue"):  # pragma: no cover - BSD and macOS
            return _kqueue()
    return _select()
