"""A TCP proxy that fails on command: RST, FIN, pause, or a black hole.

It runs in a thread of its own and forwards what it reads. ``cut_after`` lets a number of bytes pass in one direction
and then does what it was told, so a cut can hit any step of a protocol.
"""

from __future__ import annotations

import selectors
import socket
import struct
from threading import Event, Lock, Thread
from typing import Any

__all__ = ("FAULTS", "Proxy")

FAULTS = ("rst", "fin", "pause", "hold", "blackhole", "dead")


class _Pair:
    """A connection through the proxy: the client's socket, the server's, and what is on the way."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.waiting: dict[socket.socket, bytes] = {client: b"", server: b""}
        self.dead = False

    def other(self, sock: socket.socket) -> socket.socket:
        return self.server if sock is self.client else self.client


class Proxy:
    """Listens on a port of loopback (0: a free one), in front of ``target``, while the ``with`` block runs."""

    def __init__(self, target: tuple[str, int], port: int = 0) -> None:
        self.target = target
        self._lock = Lock()
        self._pairs: list[_Pair] = []
        #: "open", "pause" (nothing is read), "hold" (nothing from the client is) or "blackhole" (all is dropped).
        self._mode = "open"
        self._cut: tuple[int, str] | None = None
        self._listener = socket.create_server(("127.0.0.1", port))
        self._wake, self._woken = socket.socketpair()
        self._running = True
        #: Set when a fault has happened; whoever waits for one clears it.
        self.failed = Event()
        self._thread = Thread(target=self._run, name="proxy", daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._running = False
        self._poke()
        self._thread.join(60)
        for pair in self._pairs:
            pair.client.close()
            pair.server.close()
        for sock in (self._listener, self._wake, self._woken):
            sock.close()

    # -- failing

    def fail(self, fault: str) -> None:
        """Do it now, to every connection; ``pause``, ``hold`` and ``blackhole`` last until :meth:`heal`.

        After ``dead`` the connections there are stay open for ever and nothing comes through them, as when a router
        has forgotten them; new ones work.
        """
        with self._lock:
            self._fail(fault)
        self._poke()

    def cut_after(self, count: int, fault: str) -> None:
        """Do it when ``count`` more bytes have passed, in either direction."""
        with self._lock:
            self._cut = (count, fault)

    def heal(self) -> None:
        """Forward again; connections that lost bytes in a black hole are reset."""
        with self._lock:
            lossy, self._mode, self._cut = self._mode == "blackhole", "open", None
            if lossy:
                self._end(reset=True)
        self._poke()

    def _fail(self, fault: str) -> None:
        self._cut = None
        self.failed.set()
        if fault in ("rst", "fin"):
            self._end(reset=fault == "rst")
        elif fault in ("pause", "hold", "blackhole"):
            self._mode = fault
        elif fault == "dead":
            for pair in self._pairs:
                pair.dead = True
        else:
            raise ValueError(f"{fault!r} is none of {', '.join(FAULTS)}")

    def _end(self, reset: bool) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in (pair.client, pair.server):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    # -- forwarding

    def _poke(self) -> None:
        self._wake.send(b"x")

    def _run(self) -> None:
        while self._running:
            with self._lock, selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                for pair in self._pairs if self._mode != "pause" else ():
                    for sock in (pair.client, pair.server):
                        events = selectors.EVENT_WRITE if pair.waiting[sock] else 0
                        held = self._mode == "hold" and sock is pair.client
                        events |= 0 if held or pair.waiting[pair.other(sock)] else selectors.EVENT_READ
                        if events:
                            selector.register(sock, events, pair)
                self._lock.release()
                try:
                    ready = selector.select()
                finally:
                    self._lock.acquire()
                for key, events in ready:
                    self._serve(key.fileobj, key.data, events)

    def _serve(self, sock: Any, pair: _Pair | None, events: int) -> None:
        if sock is self._listener:
            self._accept()
        elif sock is self._woken:
            self._woken.recv(4096)
        elif pair in self._pairs:
            try:
                self._forward(sock, pair, events)
            except OSError:
                self._drop(pair)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append(_Pair(client, server))

    def _forward(self, sock: socket.socket, pair: _Pair, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            pair.waiting[sock] = pair.waiting[sock][sock.send(pair.waiting[sock]) :]
        held = self._mode == "pause" or (self._mode == "hold" and sock is pair.client)
        if held or not events & selectors.EVENT_READ:
            return
        chunk = sock.recv(65536)
        if not chunk:
            return self._drop(pair)
        if self._mode == "blackhole" or pair.dead:
            return
        if self._cut is not None:
            count, fault = self._cut
            self._cut = (max(count - len(chunk), 0), fault)
            if not self._cut[0]:
                self._send(pair.other(sock), chunk[:count], pair)
                self._fail(fault)
                if self._mode in ("pause", "hold"):  # late, but not lost
                    pair.waiting[pair.other(sock)] += chunk[count:]
                return None
        self._send(pair.other(sock), chunk, pair)

    def _send(self, sock: socket.socket, chunk: bytes, pair: _Pair) -> None:
        pair.waiting[sock] += chunk
        try:
            pair.waiting[sock] = pair.waiting[sock][sock.send(pair.waiting[sock]) :]
        except BlockingIOError:
            pass

    def _drop(self, pair: _Pair) -> None:
        self._pairs.remove(pair)
        pair.client.close()
        pair.server.close()
