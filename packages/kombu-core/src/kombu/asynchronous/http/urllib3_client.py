"""The HTTP client: urllib3 in a few threads, callbacks in the thread that drives the hub."""

from __future__ import annotations

import os
import threading
import weakref
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu import __version__
from kombu.asynchronous.http import options
from kombu.asynchronous.http.base import BaseClient, Request, Response
from kombu.asynchronous.http.exchange import Abandoned, Exchange
from kombu.exceptions import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.asynchronous.hub import Hub

__all__ = ("Urllib3Client",)

#: Routes whose connections are kept.
MAX_ROUTES = 8
#: Seconds that closing waits for the threads. One that looks up a name or connects ends when that does.
CLOSE_TIMEOUT = 1.0


class Urllib3Client(BaseClient):
    """Performs requests, ``max_clients`` at a time, in the order in which they come.

    It belongs to the thread that drives the hub; nothing moves unless the hub is driven. After a fork the child has
    no requests and connections of its own; its hub has to be a new one, or reset.

    Raises:
        ImportError: urllib3 is missing.
    """

    def __init__(self, hub: Hub, max_clients: int = 10) -> None:
        try:
            import urllib3
        except ImportError as exc:
            raise ImportError(
                "kombu.asynchronous.http needs urllib3: pip install 'kombu[http]', or 'kombu-core[http]'"
            ) from exc
        if max_clients < 1:
            raise ValueError(f"max_clients={max_clients!r}: expected 1 or more")
        super().__init__(hub)
        self.max_clients = max_clients
        self._urllib3 = urllib3
        self._begin()

    def _begin(self) -> None:
        """Without requests, threads and connections: at first, and in a process that was forked."""
        self._pid = os.getpid()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished: dict[Exchange, options.Route] = {}
        self._managers: dict[options.Route, Any] = {}
        self._managers_lock = threading.Lock()
        self._alarm: Any = None
        #: In each thread: the exchange that it runs.
        self._current = threading.local()
        # A client that is forgotten is not kept by its threads.
        self._end = weakref.finalize(self, _end_threads, self._jobs, self._threads, self._pid)

    # -- in the thread of the hub

    def add_request(self, request: Request) -> None:
        """Begin ``request``.

        Raises:
            RuntimeError: the client is closed.
            ValueError: an option cannot be used: the URL's scheme, ``auth_mode``, a proxy without a port.
        """
        if self.closed:
            raise RuntimeError("the HTTP client is closed; get_client(hub) makes a new one")
        if self._pid != os.getpid():
            self._end.detach()
            self._begin()
        route = options.route(request)
        arguments = options.call(request, user_agent=f"kombu/{__version__}")
        if request.on_prepare is not None:
            request.on_prepare(arguments)
        exchange = Exchange(request, arguments, self.hub.call_soon)
        self._unfinished[exchange] = route
        self._jobs.put(lambda: self._run(exchange, route))
        if len(self._threads) < min(self.max_clients, len(self._unfinished)):
            thread = threading.Thread(target=_work, args=(self._jobs,), name="kombu-http", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Take no more requests; those that are unfinished are answered with an error in the hub's next round."""
        if self.closed:
            return
        super().close()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._pid != os.getpid():  # the parent's
            self._end.detach()
            return
        for exchange in list(self._unfinished):
            self.hub.call_soon(self._fail, exchange, HttpError(599, "the HTTP client was closed"))
            exchange.abandon()
        self._end()
        deadline = monotonic() + CLOSE_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
        for manager in self._managers.values():
            manager.clear()

    def _started(self, exchange: Exchange) -> None:
        if exchange in self._unfinished and exchange.deadline is not None and not self.closed:
            alarm = self._alarm
            if alarm is None or exchange.deadline < alarm.kwargs["at"]:
                if alarm is not None:
                    alarm.cancel()
                self._set_alarm(exchange.deadline)

    def _set_alarm(self, at: float) -> None:
        """One timer for all: a finished request leaves none behind."""
        self._alarm = self.hub.timer.call_after(max(0.0, at - monotonic()), self._on_alarm, kwargs={"at": at})

    def _on_alarm(self, at: float) -> None:
        self._alarm = None
        now = monotonic()
        running = [exchange for exchange in self._unfinished if exchange.deadline is not None]
        late = [exchange for exchange in running if (exchange.deadline or 0) <= now]
        rest = [exchange.deadline or 0 for exchange in running if exchange not in late]
        if rest:
            self._set_alarm(min(rest))
        for exchange in late:
            # (first the answer: what the thread says of its lost connection comes after it, and is not heard)
            self.hub.call_soon(self._fail, exchange, _too_late(exchange), True)
            exchange.abandon()

    def _on_head(self, exchange: Exchange, lines: list[bytes]) -> None:
        if exchange in self._unfinished:
            on_header = exchange.request.on_header or self.on_header
            for line in lines:
                self._call(exchange, on_header, exchange.headers, line)

    def _on_part(self, exchange: Exchange, part: bytes) -> None:
        exchange.taken()
        if exchange in self._unfinished:
            self._call(exchange, exchange.request.on_stream, part)

    def _call(self, exchange: Exchange, callback: Any, *args: Any) -> None:
        """A callback that fails ends its request."""
        try:
            callback(*args)
        except Exception as exc:
            exchange.abandon()
            self._fail(exchange, exc)

    def _fail(self, exchange: Exchange, error: Exception, timed_out: bool = False) -> None:
        request = exchange.request
        if exchange not in self._unfinished:
            return
        if timed_out and request.on_timeout is not None:
            self._tell(request.on_timeout, request)
        self._respond(exchange, Response(request, 599, error=error))

    def _succeed(self, exchange: Exchange, status: int, url: str) -> None:
        response = Response(exchange.request, status, exchange.headers, exchange.buffer, effective_url=url)
        self._respond(exchange, response)

    def _respond(self, exchange: Exchange, response: Response) -> None:
        if self._unfinished.pop(exchange, None) is not None:
            self._tell(exchange.request.on_ready, response)

    def _tell(self, callback: Any, *args: Any) -> None:
        """What a program makes of the answer is no reason to end the loop of all others."""
        try:
            callback(*args)
        except Exception as exc:
            self.hub.on_callback_error(callback, exc)

    # -- in the threads

    def _run(self, exchange: Exchange, route: options.Route) -> None:
        if exchange.abandoned:
            return
        exchange.start()
        self._current.exchange = exchange
        call_soon = self.hub.call_soon
        call_soon(self._started, exchange)
        try:
            found = exchange.run(self._manager(route), self._on_head, self._on_part)
        except Abandoned:
            pass
        except HttpError as exc:
            call_soon(self._fail, exchange, exc)
        except Exception as exc:
            errors = self._urllib3.exceptions
            silent = isinstance(exc, errors.ReadTimeoutError)
            error = _too_late(exchange) if silent else HttpError(599, str(exc) or repr(exc))
            error.__cause__ = exc
            call_soon(self._fail, exchange, error, isinstance(exc, errors.TimeoutError))
        else:
            call_soon(self._succeed, exchange, *found)
        finally:
            self._current.exchange = None

    def _manager(self, route: options.Route) -> Any:
        with self._managers_lock:
            if route not in self._managers:
                if len(self._managers) >= MAX_ROUTES:
                    self._managers.pop(next(iter(self._managers))).clear()
                self._managers[route] = self._new_manager(route)
            return self._managers[route]

    def _new_manager(self, route: options.Route) -> Any:
        arguments = {"maxsize": self.max_clients, **route.arguments()}
        if route.proxy is None:
            manager = self._urllib3.PoolManager(**arguments)
        else:
            headers = self._urllib3.make_headers(proxy_basic_auth=route.proxy_auth) if route.proxy_auth else None
            manager = self._urllib3.ProxyManager(route.proxy, proxy_headers=headers, **arguments)
        manager.pool_classes_by_scheme = {
            scheme: _noting(pool, self._current) for scheme, pool in manager.pool_classes_by_scheme.items()
        }
        return manager


def _too_late(exchange: Exchange) -> HttpError:
    return HttpError(599, f"no complete response within {exchange.request.request_timeout} s (request_timeout)")


def _noting(pool: Any, current: Any) -> Any:
    """A class of pools whose connections tell the exchange of their thread that it uses them: so it can be ended."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def connect(self) -> None:
            current.exchange.uses(self)
            super().connect()
            current.exchange.uses(self)

        def request(self, *args: Any, **kwargs: Any) -> None:
            current.exchange.uses(self)
            super().request(*args, **kwargs)

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread keeps no client


def _end_threads(jobs: SimpleQueue[Callable[[], None] | None], threads: list[threading.Thread], pid: int) -> None:
    if pid == os.getpid():
        for _ in threads:
            jobs.put(None)
