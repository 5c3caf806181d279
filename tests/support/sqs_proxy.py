"""An HTTP endpoint in front of another that counts API actions, and refuses, breaks or delays them as it is told."""

from __future__ import annotations

import http.client
import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("LOSE", "RESET", "HttpProxy", "refusal")

#: What a rule may answer besides a status with a body: close without reading; pass it on, then lose the answer.
RESET, LOSE = "reset", "lose"

#: None: pass it on; RESET, LOSE; seconds to wait before passing it on; (status, error code); or a dictionary to answer.
Verdict = Any


def refusal(code: str = "AccessDenied", status: int = 403) -> tuple[int, str]:
    """The verdict that answers with this error."""
    return status, code


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away when they like."""


class HttpProxy:
    """Listens on loopback. ``rule(action, number)`` judges each request; ``number`` counts that action from 1."""

    def __init__(
        self, upstream: int, rule: Callable[[str, int], Verdict] | None = None, *, port: int = 0
    ) -> None:
        self.rule = rule or (lambda action, number: None)
        self.actions: list[str] = []
        #: What each action was asked with, in order: parsed where it is JSON.
        self.asked: list[tuple[str, Any]] = []
        #: The credential scopes seen: access key ids.
        self.keys: list[str] = []
        self._seen = Lock()
        self._closing = Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                proxy._handle(self, upstream)

            do_PUT = do_GET = do_DELETE = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> HttpProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def count(self, action: str) -> int:
        """How often an action was asked for."""
        with self._seen:
            return self.actions.count(action)

    def requests(self, action: str) -> list[Any]:
        """What an action was asked with."""
        with self._seen:
            return [request for name, request in self.asked if name == action]

    def _handle(self, handler: BaseHTTPRequestHandler, port: int) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        action = _action(handler, body)
        with self._seen:
            self.actions.append(action)
            self.asked.append((action, _parsed(body)))
            number = self.actions.count(action)
            scope = handler.headers.get("Authorization", "").partition("Credential=")[2]
            self.keys.append(scope.partition("/")[0])
        verdict = self.rule(action, number)
        if verdict == RESET:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
            handler.close_connection = True
            return
        if isinstance(verdict, tuple):
            status, code = verdict
            text = f"told to say {code}"
            answer = json.dumps({"__type__": code, "__type": code, "message": text}).encode()
            if not handler.headers.get("X-Amz-Target"):  # SNS and STS speak the query protocol
                answer = f"<R><Error><Code>{code}</Code><Message>{text}</Message></Error></R>".encode()
            self._answer(handler, status, {"Content-Type": "application/x-amz-json-1.0"}, answer)
            return
        if isinstance(verdict, dict):
            answer = json.dumps(verdict).encode()
            self._answer(handler, 200, {"Content-Type": "application/x-amz-json-1.0"}, answer)
            return
        if isinstance(verdict, (int, float)):
            self._closing.wait(verdict)
        status, headers, answer = _forward(handler, port, body)
        if verdict == LOSE:
            handler.close_connection = True
            handler.connection.close()
            return
        self._answer(handler, status, headers, answer)

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _action(handler: BaseHTTPRequestHandler, body: bytes) -> str:
    """``SendMessage`` and the like; of S3 the HTTP method."""
    target = handler.headers.get("X-Amz-Target")
    if target:
        return target.rpartition(".")[2]
    named = parse_qs(body.decode(errors="replace")).get("Action") if body else None
    return named[0] if named else handler.command


def _forward(handler: BaseHTTPRequestHandler, port: int, body: bytes) -> tuple[int, dict[str, str], bytes]:
    upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        upstream.request(handler.command, handler.path, body, dict(handler.headers.items()))
        answer = upstream.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        upstream.close()
