"""A broker of one line a command, over real TCP, and the transport for it: a stranger's transport to the core.

``TinyBroker`` says ``ready`` to whoever connects and then answers ``ping`` with ``pong`` and ``open`` with ``opened``;
``bye`` ends a session. ``silent_listener`` accepts connections and never says a word.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

from kombu.exceptions import ChannelError, RecoverableChannelError
from kombu.transport.base import StdChannel, Transport
from kombu.utils.deadline import remaining


class TinyBroker:
    """Listens at once; ``sessions`` has the commands of each connection, in the order of their arrival."""

    def __init__(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.url = f"tiny://127.0.0.1:{self.port}"
        self.sessions = []
        self.sockets = []
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                commands = []
                self.sessions.append(commands)
                self.sockets.append(sock)
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(sock, commands), daemon=True).start()

    def _serve(self, sock, commands):
        answers = {"ping": b"pong\n", "open": b"opened\n"}
        try:
            sock.sendall(b"ready\n")
            with sock.makefile("rb") as lines:
                for line in lines:
                    command = line.decode().strip()
                    with self.changed:
                        commands.append(command)
                        self.changed.notify_all()
                    if command in answers:
                        sock.sendall(answers[command])
        except OSError:
            pass
        with self.changed:
            commands.append("(end)")
            self.changed.notify_all()

    def wait_for(self, condition, timeout=5):
        """Wait until ``condition(sessions)`` holds."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.sessions), timeout), self.sessions

    def drop_connections(self):
        """Cut every connection, as a broker that is killed does; go on listening."""
        with self.changed:
            sockets, self.sockets = self.sockets, []
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop_connections()


@contextmanager
def silent_listener():
    """A port that takes connections and never answers; gives its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield f"tiny://127.0.0.1:{listener.getsockname()[1]}"


def refused_url():
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"tiny://127.0.0.1:{listener.getsockname()[1]}"


class TinyConnection:
    def __init__(self, sock, client):
        self.sock = sock
        self.lines = sock.makefile("rb")
        self.client = client
        self.closed = False

    def fileno(self):
        return self.sock.fileno()

    def receive(self, timeout=5):
        self.sock.settimeout(remaining(timeout))
        line = self.lines.readline()
        if not line:
            raise ConnectionResetError("the broker has closed the connection")
        return line.decode().strip()

    def send(self, command):
        self.sock.settimeout(remaining(5))
        self.sock.sendall(f"{command}\n".encode())

    def ask(self, command):
        self.send(command)
        return self.receive()

    def close(self):
        self.closed = True
        self.lines.close()
        self.sock.close()


class TinyChannel(StdChannel):
    """``ping()`` asks the broker; ``refuse(cls)`` fails as a broker that closes the channel does."""

    def __init__(self, connection):
        self.connection = connection
        self.closed = False
        connection.ask("open")

    def ping(self):
        return self.connection.ask("ping")

    def refuse(self, cls=RecoverableChannelError):
        self.closed = True
        raise cls("the channel was closed")

    def close(self):
        self.closed = True


class TinyTransport(Transport):
    connection_errors = (OSError,)
    channel_errors = (ChannelError,)
    driver_type = driver_name = "tiny"
    default_connection_params = {"port": 1}

    def establish_connection(self):
        client = self.client
        sock = socket.create_connection(
            (client.hostname, client.port), timeout=remaining(client.connect_timeout)
        )
        connection = TinyConnection(sock, client)
        try:
            assert connection.receive() == "ready"
        except BaseException:
            connection.close()
            raise
        return connection

    def close_connection(self, connection):
        try:
            connection.send("bye")
        finally:
            connection.close()

    def create_channel(self, connection):
        return TinyChannel(connection)

    def close_channel(self, connection):
        connection.close()

    def drain_events(self, connection, timeout=None, **kwargs):
        connection.receive(timeout)

    def verify_connection(self, connection):
        return not connection.closed
