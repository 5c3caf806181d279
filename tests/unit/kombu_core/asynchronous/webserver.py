"""A small HTTP server and proxy on loopback, in threads."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import ProxyHandler, Request, build_opener

from kombu.asynchronous.http import Request as HubRequest


class Handler(BaseHTTPRequestHandler):
    """Each path is a behaviour; any other answers with what was asked, as JSON."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, code, body=b"", *headers):
        self.send_response(code)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = {"method": self.command, "path": self.path, "headers": headers, "body": body.decode()}
        behaviour = getattr(self, "do" + self.path.partition("?")[0].replace("/", "_"), None)
        with self.server.lock:
            self.server.asked.append(asked)
        if self.path.startswith("http://"):
            return self.forward()
        return behaviour() if behaviour else self.answer(200, json.dumps(asked).encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any

    def do_missing(self):
        self.answer(404, b"not here")

    def do_repeated(self):
        self.answer(200, b"", ("X-Part", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Part", "2"))

    def do_zipped(self):
        self.answer(200, gzip.compress(b"small " * 1000), ("Content-Encoding", "gzip"))

    def do_moved(self):
        self.answer(302, b"over there", ("Location", "/here"))

    def do_loop(self):
        self.answer(302, b"", ("Location", "/loop"))

    def do_elsewhere(self):
        self.answer(307, b"", ("Location", self.server.elsewhere))

    def do_silent(self):
        self.server.release.wait(60)
        self.answer(200)

    def do_trickle(self):
        """Never silent for long, and never done."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.release.wait(0.05):
            self.wfile.write(b"X")

    def do_parts(self):
        """The second part is sent when the first was taken."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        if self.server.release.wait(60):
            self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    def do_short(self):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"cut off")
        self.close_connection = True

    def do_crowd(self):
        """Waits until as many are here as ever will be at a time."""
        server = self.server
        with server.lock:
            server.here += 1
            server.most = max(server.most, server.here)
        try:
            server.barrier.wait(30)
        except threading.BrokenBarrierError:
            pass
        with server.lock:
            server.here -= 1
        self.answer(200)

    def do_digest(self):
        given = self.headers.get("Authorization")
        if given is None:
            challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256, opaque="o"'
            return self.answer(401, b"", ("WWW-Authenticate", challenge))
        return self.answer(200, given.encode())

    def forward(self):
        """As a proxy."""
        with build_opener(ProxyHandler({})).open(Request(self.path, method=self.command)) as response:
            self.answer(response.status, response.read())


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.asked = []
        self.release = threading.Event()
        self.barrier = threading.Barrier(10)
        self.here = self.most = 0
        self.elsewhere = "/"
        scheme = "http"
        if context is not None:
            scheme = "https"
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self.release.set()
        self.shutdown()
        self._thread.join(60)
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that went away, or refused the certificate: what the tests are about."""


def fetch(client, url, **options):
    """Perform one request and drive the hub until it is answered."""
    responses = []
    request = HubRequest(url, **options)
    request.then(responses.append)
    client.perform(request)
    drive(client.hub, responses)
    return responses[0]


def drive(hub, responses, count=1):
    """Rounds of the hub, until there are ``count`` responses; the round that brings the last does not wait."""

    def stop_when_done():
        if len(responses) >= count:
            hub.call_soon(lambda: None)

    hub.on_tick.add(stop_when_done)
    try:
        while len(responses) < count:
            hub.run_once()
    finally:
        hub.on_tick.discard(stop_when_done)
