"""An event loop: descriptors, timers, and calls to make soon."""

from __future__ import annotations

import errno
import os
import threading
from queue import Empty
from time import sleep
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from kombu.asynchronous import debug
from kombu.asynchronous.descriptors import Descriptors
from kombu.asynchronous.timer import Timer
from kombu.log import get_logger
from kombu.utils.eventio import ERR, READ, WRITE
from kombu.utils.objects import cached_property

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kombu.asynchronous.timer import Entry

__all__ = ("Hub", "Stop", "get_event_loop", "set_event_loop")

logger = get_logger(__name__)

_current_loop: Hub | None = None


class Stop(BaseException):
    """Raised in a callback, ends the loop."""


def get_event_loop() -> Hub | None:
    """The event loop of this process, or None."""
    return _current_loop


def set_event_loop(loop: Hub | None) -> Hub | None:
    """Make ``loop`` the event loop of this process; it is returned."""
    global _current_loop
    _current_loop = loop
    return loop


def _raise_stop() -> None:
    raise Stop


class _Call:
    """A call to make soon: each one its own, equal to no other."""

    __slots__ = ("args", "fun")

    def __init__(self, fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fun = fun
        self.args = args

    def __call__(self) -> Any:
        return self.fun(*self.args)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.fun!r}{self.args!r}>"


class _Ready(dict[Any, None]):
    """A set that keeps the order in which its members came."""

    def add(self, call: Any) -> None:
        self[call] = None


def _is_promise(callback: Any) -> bool:
    return hasattr(callback, "then") and hasattr(callback, "cancel")


class Hub(Descriptors):
    """Waits for descriptors and timers, and calls what was registered for them.

    Drive it with :meth:`run_forever`, or take rounds one at a time: ``next(hub.create_loop())``. It belongs to the
    thread that drives it; only :meth:`call_soon` and :meth:`stop` may be called from others.

    Arguments:
        timer: the :class:`~kombu.asynchronous.timer.Timer` to use.
    """

    #: Flags of :meth:`add`: reading will not block, writing will not, the descriptor is in error or was hung up.
    READ = READ
    WRITE = WRITE
    ERR = ERR

    #: Called with the hub when it closes.
    on_close: set[Callable[[Hub], Any]] = None  # type: ignore[assignment]  # set by the constructor

    #: Kept here by kombu.asynchronous.http.get_client.
    _current_http_client: Any = None

    def __init__(self, timer: Timer | None = None) -> None:
        super().__init__()
        self.timer = timer if timer is not None else Timer()
        #: Called without arguments in each round, before it waits.
        self.on_tick: set[Callable[[], Any]] = set()
        self.on_close = set()
        #: Exceptions of timers that end the round; others are logged.
        self.propagate_errors: tuple[type[BaseException], ...] = ()
        self._ready = _Ready()
        self._ready_lock = threading.Lock()
        self._loop: Iterator[None] | None = None

    def __repr__(self) -> str:
        return f"<Hub@{id(self):#x}: R:{len(self.readers)} W:{len(self.writers)}>"

    # -- life

    def _close_poller(self) -> None:
        with self._ready_lock:
            waker, self._waker = self._waker, None
            poller, self._poller = self._poller, None
        if poller is not None:
            poller.close()
        for end in waker or ():
            os.close(end)

    def reset(self) -> None:
        """Forget all descriptors and begin with a new poller; timers and callbacks stay."""
        self.close()

    def close(self, *args: Any) -> None:
        """Forget all descriptors, close the poller, call ``on_close``, make what calls are still to be made."""
        self.readers.clear()
        self.writers.clear()
        self.consolidate.clear()
        self._close_poller()
        self._loop = None
        for callback in list(self.on_close):
            callback(self)
        # Calls that these calls ask for are made by the next loop: a reader that asks for itself would never end.
        for call in self._pop_ready():
            try:
                call()
            except Exception as exc:
                self.on_callback_error(call, exc)

    def stop(self) -> None:
        """Let :meth:`run_forever` return after the round; from any thread."""
        self.call_soon(_raise_stop)

    def run_forever(self) -> None:
        """Make rounds until :meth:`stop`, or until a callback raises :class:`Stop`."""
        try:
            while True:
                try:
                    next(self.loop)
                except StopIteration:
                    self._loop = None
        except Stop:
            self._loop = None

    def run_once(self) -> None:
        """Make one round."""
        try:
            next(self.loop)
        except (Stop, StopIteration):
            self._loop = None

    @property
    def loop(self) -> Iterator[None]:
        """The loop that is running; each ``next()`` is a round."""
        if self._loop is None:
            self._loop = self.create_loop()
        return self._loop

    @cached_property
    def scheduler(self) -> Iterator[tuple[float | None, Entry | None]]:
        """The timer's iterator."""
        return iter(self.timer)

    # -- calls

    def call_soon(self, callback: Any, *args: Any) -> Any:
        """Call ``callback(*args)`` in the next round; from any thread. A promise is kept as it is, and once.

        The call is returned. What it raises ends the round, as what a reader raises does: a lost connection shows so.
        """
        call = callback if _is_promise(callback) or isinstance(callback, _Call) else _Call(callback, args)
        with self._ready_lock:
            self._ready[call] = None
            if self._waker is not None:
                try:
                    os.write(self._waker[1], b"\0")
                except BlockingIOError:  # full: it wakes as it is
                    pass
        return call

    def _pop_ready(self) -> list[Any]:
        with self._ready_lock:
            calls = list(self._ready)
            self._ready.clear()
        return calls

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Entry:
        """Call ``callback(*args)`` in ``delay`` seconds."""
        return self.timer.call_after(delay, callback, args)

    def call_at(self, when: Any, callback: Callable[..., Any], *args: Any) -> Entry:
        """Call ``callback(*args)`` at ``when``: a datetime, or seconds on the monotonic clock."""
        return self.timer.call_at(when, callback, args)

    def call_repeatedly(self, delay: float, callback: Callable[..., Any], *args: Any) -> Entry:
        """Call ``callback(*args)`` every ``delay`` seconds."""
        return self.timer.call_repeatedly(delay, callback, args)

    def on_callback_error(self, callback: Any, exc: BaseException) -> None:
        """A call of which nobody else hears has failed: log it."""
        logger.error("Callback %r raised exception: %r", callback, exc, exc_info=exc)

    def fire_timers(
        self,
        min_delay: float = 1,
        max_delay: float = 10,
        max_timers: int = 10,
        propagate: tuple[type[BaseException], ...] = (),
    ) -> float:
        """Make at most ``max_timers`` calls that are due; returns the seconds until there is more to do.

        Arguments:
            min_delay: returned when no timer is set.
            max_delay: the most that is returned.
            propagate: exceptions to raise; others are logged, but for lack of memory and failed assertions.
        """
        delay: float | None = None
        for _ in range(max_timers):
            delay, entry = next(self.scheduler)
            if entry is None:
                return min(min_delay if delay is None else delay, max_delay)
            try:
                entry()
            except propagate:
                raise
            except (MemoryError, AssertionError):
                raise
            except Exception as exc:
                if isinstance(exc, OSError) and exc.errno == errno.ENOMEM:
                    raise
                logger.error("Error in timer: %r", exc, exc_info=True)
        return 0  # there may be more that is due

    # -- rounds

    def create_loop(
        self,
        generator: Any = GeneratorType,
        sleep: Any = sleep,
        min: Any = min,
        next: Any = next,
        Empty: Any = Empty,
        StopIteration: Any = StopIteration,
        KeyError: Any = KeyError,
        READ: int = READ,
        WRITE: int = WRITE,
        ERR: int = ERR,
    ) -> Iterator[None]:
        """A generator; each step is a round: calls made soon, timers, ticks, then what descriptors are ready.

        A round waits for at most a second, or until the next timer is due. The arguments are there for those who
        passed them; they change nothing.
        """
        while True:
            self._make_calls()
            delay = self.fire_timers(propagate=self.propagate_errors)
            for tick in list(self.on_tick):
                tick()
            events = self.poller.poll(0 if self._ready else delay)
            self._dispatch(events or ())
            yield

    def _make_calls(self) -> None:
        calls = self._pop_ready()
        while calls:
            call = calls.pop(0)
            try:
                call()
            except BaseException:
                with self._ready_lock:  # the rest is not lost
                    for later in calls:
                        self._ready[later] = None
                raise

    # -- in words

    def repr_active(self) -> str:
        """What is waited for."""
        return debug.repr_active(self)

    def repr_events(self, events: Iterable[tuple[int, int]] | None) -> str:
        """The events of a poll, in words."""
        return debug.repr_events(self, events)
