"""One request on its way: the part that waits for the network, in a thread of the client."""

from __future__ import annotations

import socket
from io import BytesIO
from threading import Semaphore
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kombu.asynchronous.http import digest, options
from kombu.asynchronous.http.base import Headers
from kombu.exceptions import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.asynchronous.http.base import Request

__all__ = ("Abandoned", "Exchange")

#: Bytes read at a time, and how many reads a stream may be ahead of who takes them in the event loop.
CHUNK = 65536
AHEAD = 16


class Abandoned(Exception):
    """Nobody waits for the response any more."""


class Exchange:
    """Runs in a thread; ``tell(method, *args)`` has a method called in the thread of the event loop."""

    def __init__(self, request: Request, arguments: dict[str, Any], tell: Callable[..., Any]) -> None:
        self.request = request
        self.arguments = arguments
        self.headers = Headers()
        self.buffer = BytesIO()
        #: On the monotonic clock, once it runs.
        self.deadline: float | None = None
        #: Nobody waits any more: set in the event loop's thread, read here.
        self.abandoned = False
        self._tell = tell
        self._connection: Any = None
        self._socket: Any = None
        self._room = Semaphore(AHEAD)

    # -- in the thread

    def start(self) -> None:
        """The time of the request begins."""
        if self.request.request_timeout:
            self.deadline = monotonic() + self.request.request_timeout

    def uses(self, connection: Any) -> None:
        """It goes by ``connection``, which may not be connected yet."""
        self._connection, self._socket = connection, connection.sock
        if self.abandoned:
            raise Abandoned

    def run(self, manager: Any, on_head: Any, on_part: Any) -> tuple[int, str]:
        """Send the request, follow redirects, read the response; (status, URL) of the last one."""
        response = self._final_response(manager, on_head)
        try:
            while part := response.read1(CHUNK):
                if self.abandoned:
                    raise Abandoned
                if self.request.on_stream is None:
                    self.buffer.write(part)
                    continue
                self._room.acquire()
                self._tell(on_part, self, part)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return response.status, self.arguments["url"]

    def _final_response(self, manager: Any, on_head: Any) -> Any:
        redirects, authenticated = 0, False
        while True:
            response = manager.urlopen(
                **self.arguments, redirect=False, retries=False, preload_content=False, decode_content=True
            )
            self._tell(on_head, self, _head(response))
            location: str = self.request.follow_redirects and response.get_redirect_location() or ""
            authorization = None
            if response.status == 401 and self.request.auth_mode == "digest" and not authenticated:
                authorization = self._answer(response)
            if not location and authorization is None:
                return response
            response.drain_conn()
            if authorization is not None:
                authenticated = True
                self.arguments["headers"] = self.arguments["headers"] | {"Authorization": authorization}
                continue
            redirects += 1
            if redirects > self.request.max_redirects:
                raise HttpError(599, f"more than {self.request.max_redirects} redirects (max_redirects)")
            self.arguments = options.redirected(self.arguments, response.status, location)

    def _answer(self, response: Any) -> str | None:
        who = options.credentials(self.request)
        origin, here = urlsplit(self.request.url), urlsplit(self.arguments["url"])
        same = (origin.scheme, origin.hostname, origin.port) == (here.scheme, here.hostname, here.port)
        if who is None or not same:
            return None
        challenges = response.headers.getlist("WWW-Authenticate")
        target = (here.path or "/") + (f"?{here.query}" if here.query else "")
        return digest.answer(challenges, self.arguments["method"], target, *who)

    # -- in the thread of the event loop

    def taken(self) -> None:
        """A part of the stream was taken: there is room for one more."""
        self._room.release()

    def abandon(self) -> None:
        """Let the thread stop waiting."""
        self.abandoned = True
        self._room.release(AHEAD)
        sock = self._socket or getattr(self._connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # closed already
                pass


def _head(response: Any) -> list[bytes]:
    """The lines of a response's head."""
    version = {10: "1.0", 11: "1.1"}.get(response.version, "1.1")
    lines = [f"HTTP/{version} {response.status} {response.reason or ''}".rstrip()]
    lines += [f"{name}: {value}" for name, value in response.headers.iteritems()]
    return [line.encode("latin-1", "replace") + b"\r\n" for line in [*lines, ""]]
