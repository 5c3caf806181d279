"""A server that ends TLS in front of one without."""

from __future__ import annotations

import select
import socket
import ssl
from threading import Thread

__all__ = ("Front",)


class Front:
    """Ends TLS with a certificate of the test's choice, in front of a broker without."""

    def __init__(self, target: int, certificate: dict[str, str]) -> None:
        self.target = target
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate["certfile"], certificate["keyfile"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = [self.listener]
        self.threads = [Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client = self.listener.accept()[0]
                client.settimeout(10)
                self.sockets.append(client)
                client = self.context.wrap_socket(client, server_side=True)
            except ssl.SSLError:
                continue  # refused by the client
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [client, server]
            self.threads.append(Thread(target=self._copy, args=(client, server), daemon=True))
            self.threads[-1].start()

    def _copy(self, client: ssl.SSLSocket, server: socket.socket) -> None:
        """In one thread: a TLS socket is not for two at once."""
        try:
            while True:
                ready = select.select([] if client.pending() else [client, server], [], [])[0] or [client]
                for source, sink in ((client, server), (server, client)):
                    if source in ready:
                        source.settimeout(0)
                        try:
                            chunk = source.recv(65536)
                        except (ssl.SSLWantReadError, BlockingIOError):
                            continue
                        if not chunk:
                            return sink.shutdown(socket.SHUT_RDWR)
                        sink.settimeout(10)
                        sink.sendall(chunk)
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        for sock in self.sockets:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(5)
        for sock in self.sockets:
            sock.close()
