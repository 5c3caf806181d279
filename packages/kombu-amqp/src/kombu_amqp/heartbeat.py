"""Heartbeats in the background (AMQP 0-9-1 section 4.2.7).

A thread for each connection that agreed on heartbeats. It sends one whenever nothing was sent for half an interval,
whatever the program's own threads are doing, and gives the connection up when nothing came for two intervals. It only
writes and looks, it never reads: a program that is busy for long finds all its deliveries afterwards.
"""

from __future__ import annotations

from logging import getLogger
from os import getpid
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

from kombu_amqp.errors import ConnectionForced

if TYPE_CHECKING:
    from kombu_amqp.connection import Connection
    from kombu_amqp.sockets import Socket

__all__ = ("Heartbeats",)

logger = getLogger("kombu.transport.pyamqp")

FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"

#: So many unread bytes may well be all that the receive buffer takes: that it doesn't grow says nothing then.
FULL = 1 << 15


def unread(sock: Any) -> int:
    """Bytes in the kernel's receive buffer; -1 where that cannot be asked."""
    try:
        import fcntl
        import termios
    except ImportError:
        return -1
    counter = bytearray(4)
    try:
        fcntl.ioctl(sock.fileno(), termios.FIONREAD, counter)
    except (OSError, ValueError):
        return -1
    return int.from_bytes(counter, "little")


class Heartbeats:
    """Keeps a connection alive; ends with it.

    Arguments:
        interval: seconds, as agreed with the broker.
    """

    def __init__(self, connection: Connection, interval: float) -> None:
        self.interval = interval
        self._stopped = Event()
        self._connection = ref(connection)
        self._socket: Socket = connection.transport
        self._thread = Thread(target=self._run, name="kombu-amqp-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it needs no time of its own."""
        self._stopped.set()

    def _run(self) -> None:
        heard, heard_at, sent = (-1, -1), monotonic(), -1
        pid = getpid()
        while not self._stopped.wait(self.interval / 4):
            connection = self._connection()
            # (greenlets live on in a forked child, where the socket is not theirs)
            if connection is None or not self._socket.connected or getpid() != pid:
                return
            now, signs = monotonic(), (connection.bytes_recv, unread(self._socket.sock))
            if signs != heard or signs[1] >= FULL:
                heard, heard_at = signs, now
            elif now - heard_at > 1.75 * self.interval:
                return self._give_up(connection, now - heard_at)
            if connection.bytes_sent == sent:
                self._beat()
            sent = connection.bytes_sent
            del connection

    def _beat(self) -> None:
        """Send one, unless a thread is in the middle of writing: then bytes are on their way anyhow."""
        lock = self._socket.write_lock
        if not lock.acquire(timeout=self.interval / 4):
            return
        try:
            self._socket.try_write(FRAME)
        except Exception as exc:
            logger.debug("no heartbeat could be sent: %r", exc)
        finally:
            lock.release()

    def _give_up(self, connection: Connection, silence: float) -> None:
        error = ConnectionForced(
            f"the broker has been silent for {silence:.1f} s, its heartbeats were agreed on every"
            f" {self.interval:g} s"
        )
        logger.warning("%s: %s", connection.host, error.reply_text)
        self._socket.shut(error)
