"""Which descriptors an event loop waits for, and whom it calls when they are ready."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from queue import Empty
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from kombu.asynchronous import debug
from kombu.log import get_logger
from kombu.utils.compat import fileno
from kombu.utils.eventio import ERR, READ, WRITE, poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.utils.eventio import Poller

__all__ = ("Descriptors",)

logger = get_logger(__name__)


class Descriptors:
    """The part of a :class:`~kombu.asynchronous.hub.Hub` that has to do with descriptors."""

    def __init__(self) -> None:
        #: Descriptor -> (callback, args).
        self.readers: dict[int, tuple[Any, tuple[Any, ...]]] = {}
        #: None: ready ones are consolidated.
        self.writers: dict[int, tuple[Any, tuple[Any, ...]] | None] = {}
        #: Descriptors of which those ready to write are given as one list to ``consolidate_callback``.
        self.consolidate: set[int] = set()
        self.consolidate_callback: Callable[[list[int]], Any] | None = None
        self._poller: Poller | None = None
        #: Both ends of a pipe: what is written to it wakes the poller.
        self._waker: tuple[int, int] | None = None

    @property
    def poller(self) -> Poller:
        """What waits for the descriptors; made when it is first needed, and after :meth:`reset`."""
        if self._poller is None:
            self._poller = poll()
            self._waker = os.pipe()
            for end in self._waker:
                os.set_blocking(end, False)
            self._poller.register(self._waker[0], READ | ERR)
        return self._poller

    @poller.setter
    def poller(self, poller: Poller | None) -> None:
        self._poller = poller

    def add(self, fd: Any, callback: Any, flags: int, args: tuple[Any, ...] = (), consolidate: bool = False) -> None:
        """Call ``callback(*args)`` when ``fd`` is ready; what was registered for it before is replaced.

        Arguments:
            fd: a number, or an object with ``fileno()``.
            callback: a function, or a generator, of which each event is a step.
            flags: READ, or WRITE (both with ERR or without).
            consolidate: no callback: those that are ready go in one list to ``consolidate_callback``.

        Raises:
            ValueError, OSError: ``fd`` cannot be waited for; it is not registered then.
        """
        number = fileno(fd)
        registered = (callback, tuple(args)) if callback is not None else None
        self._discard(number)
        if flags & READ and registered is not None:
            self.readers[number] = registered
        else:
            self.writers[number] = registered
        if consolidate:
            self.consolidate.add(number)
        try:
            self.poller.register(number, flags)
        except (ValueError, OSError):
            self._discard(number)
            raise

    def add_reader(self, fds: Any, callback: Any, *args: Any) -> None:
        """Call ``callback(*args)`` when ``fds``, one descriptor or several, can be read."""
        self._add_each(fds, callback, READ | ERR, args)

    def add_writer(self, fds: Any, callback: Any, *args: Any) -> None:
        """Call ``callback(*args)`` when ``fds``, one descriptor or several, can be written."""
        self._add_each(fds, callback, WRITE, args)

    def _add_each(self, fds: Any, callback: Any, flag: int, args: tuple[Any, ...]) -> None:
        for fd in fds if isinstance(fds, Iterable) and not hasattr(fds, "fileno") else (fds,):
            self._add_one(fileno(fd), callback, flag, args)

    def _add_one(self, fd: int, callback: Any, flag: int, args: tuple[Any, ...]) -> None:
        """Register for one direction; the other stays as it is."""
        mine: dict[int, Any] = self.readers if flag & READ else self.writers
        other: dict[int, Any] = self.writers if flag & READ else self.readers
        if fd in self.consolidate:  # it is an ordinary descriptor from now on
            self.consolidate.discard(fd)
            self.writers.pop(fd, None)
        mine[fd] = (callback, args)
        both = flag | ((WRITE if flag & READ else READ | ERR) if other.get(fd) is not None else 0)
        try:
            self.poller.register(fd, both)
        except (ValueError, OSError):
            self._discard(fd)
            raise

    def remove(self, fd: Any) -> None:
        """Wait for ``fd`` no more; it may be closed already."""
        try:
            number = fileno(fd)
        except (OSError, ValueError, AttributeError):
            return
        if number >= 0:
            self._discard(number)
            if self._poller is not None:
                self._poller.unregister(number)

    def remove_reader(self, fd: Any) -> None:
        """Wait no more for ``fd`` to be readable."""
        self._remove_one(fileno(fd), self.readers, self.writers, WRITE)

    def remove_writer(self, fd: Any) -> None:
        """Wait no more for ``fd`` to be writable."""
        self._remove_one(fileno(fd), self.writers, self.readers, READ | ERR)

    def _remove_one(self, fd: int, mine: dict[int, Any], other: dict[int, Any], rest: int) -> None:
        mine.pop(fd, None)
        if mine is self.writers:
            self.consolidate.discard(fd)
        if self._poller is None:
            return
        if fd in other:
            self._poller.register(fd, rest)
        else:
            self._poller.unregister(fd)

    def _discard(self, fd: int) -> None:
        self.readers.pop(fd, None)
        self.writers.pop(fd, None)
        self.consolidate.discard(fd)

    def _dispatch(self, events: Iterable[tuple[int, int]]) -> None:
        consolidated: list[int] = []
        waker = self._waker
        for fd, event in events:
            if waker is not None and fd == waker[0]:
                self._on_wakeup(fd)
                continue
            if fd in self.consolidate and self.writers.get(fd) is None:
                consolidated.append(fd)
                continue
            found = self._callbacks(fd, event)
            if not found:
                logger.debug("Nobody waits for %s on descriptor %r", debug.repr_flag(event), fd)
                self.remove(fd)
            for registered in found:
                self._call_back(fd, *registered)
        if consolidated and self.consolidate_callback is not None:
            self.consolidate_callback(consolidated)

    def _callbacks(self, fd: int, event: int) -> list[tuple[Any, tuple[Any, ...]]]:
        reader, writer = self.readers.get(fd), self.writers.get(fd)
        wanted = [reader if event & READ else None, writer if event & WRITE else None]
        found = [registered for registered in wanted if registered is not None]
        if not found and event & ERR:
            found = [registered for registered in (reader or writer,) if registered is not None]
        return found

    def _call_back(self, fd: int, callback: Any, args: tuple[Any, ...]) -> None:
        if not isinstance(callback, GeneratorType):
            try:
                callback(*args)
            except Empty:
                pass
            return
        try:
            next(callback)
        except StopIteration:
            self._forget_generator(fd, callback)
        except OSError as exc:
            self._forget_generator(fd, callback)
            if exc.errno != errno.EBADF:
                raise
        except Exception:
            self._forget_generator(fd, callback)
            raise

    def _forget_generator(self, fd: int, callback: Any) -> None:
        """A generator has ended: wait for it no more, unless it registered something else for its descriptor."""
        pairs: Any = ((self.readers, self.remove_reader), (self.writers, self.remove_writer))
        for registered, remove in pairs:
            entry = registered.get(fd)
            if entry is not None and entry[0] is callback:
                remove(fd)

    def _on_wakeup(self, fd: int) -> None:
        # (once: what a full pipe has beyond that wakes it again, and eventlet's read waits where there is nothing)
        try:
            os.read(fd, 1 << 16)
        except BlockingIOError:
            pass
