"""A connection to RabbitMQ: the driver's, with ends to its waits, and with a state that can be read.

Threads: one thread at a time waits for the broker on a connection and uses a channel; another that tries gets
:class:`~kombu_amqp.errors.ConnectionInUse` or :class:`~kombu_amqp.errors.ChannelInUse`. Acknowledging and heartbeats
only write, whole frames at a time, and may be done from any thread.
"""

from __future__ import annotations

from threading import RLock
from typing import Any

import amqp
from amqp import spec
from amqp.exceptions import AMQPError

from kombu.utils.deadline import deadline_scope, remaining
from kombu_amqp import errors
from kombu_amqp.channel import Channel
from kombu_amqp.heartbeat import Heartbeats
from kombu_amqp.reading import Reads
from kombu_amqp.replies import Waits
from kombu_amqp.sockets import Socket
from kombu_amqp.tls import tls_from
from kombu_amqp.wire import HEARTBEAT_FRAME, Wire

__all__ = ("Connection",)

#: Seconds for an answer of the broker, and for a blocked connection, unless the options say otherwise.
REPLY_TIMEOUT = 30.0
BLOCKED_TIMEOUT = 30.0


class Connection(Reads, Waits, amqp.Connection):
    """An AMQP 0-9-1 connection.

    Arguments:
        host: ``name:port``.
        reply_timeout: seconds that the broker may take for an answer when no deadline is in force.
        blocked_timeout: seconds that a publish waits for a broker that is short of memory or disk.
        background_heartbeat: send heartbeats, and watch for the broker's, in a thread of their own.
        options: the driver's: ``userid``, ``password``, ``login_method``, ``virtual_host``, ``ssl``, ``heartbeat``,
            ``confirm_publish``, ``read_timeout``, ``write_timeout``, ``client_properties``, ``on_blocked``,
            ``on_unblocked``, ``frame_max``, ``channel_max``, ``socket_settings`` and so on.
    """

    Channel = Channel

    _METHODS = {
        **amqp.Connection._METHODS,
        spec.Connection.Blocked: spec.method(spec.Connection.Blocked, "s"),
    }

    def __init__(
        self,
        host: str = "localhost:5672",
        *args: Any,
        reply_timeout: float | None = None,
        blocked_timeout: float | None = None,
        background_heartbeat: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(host, *args, **options)
        self._init_waiting()
        self._init_reading()
        self.tls = tls_from(self.ssl)
        #: The :class:`kombu.Connection` this belongs to.
        self.client: Any = None
        self.reply_timeout = reply_timeout or self.read_timeout or REPLY_TIMEOUT
        self.blocked_timeout = BLOCKED_TIMEOUT if blocked_timeout is None else blocked_timeout
        self.background_heartbeat = background_heartbeat
        #: Queues declared here that are known to be quorum queues.
        self.quorum_queues: set[str] = set()
        self._heartbeats: Heartbeats | None = None
        #: Frames in and out, while connected.
        self.wire: Any = None
        self._gone = False

    # -- connecting

    def connect(self, callback: Any = None) -> Any:
        """Connect and log in, within ``connect_timeout`` and the deadline in force."""
        if self.connected:
            return callback() if callback else None
        if self._gone:
            raise self._closed()
        with deadline_scope(self.connect_timeout or None):
            try:
                self._transport = Socket(
                    self.host,
                    connect_timeout=remaining(self.connect_timeout or None),
                    tls=self.tls,
                    read_timeout=self.read_timeout,
                    write_timeout=self.write_timeout,
                    socket_settings=self.socket_settings,
                )
                self._transport.connect()
                self.wire = Wire(self, self._transport)
                self.frame_writer = self.wire.write_frame
                self.await_reply(self, lambda: self._handshake_complete, None, spec.Connection.OpenOk)
            except BaseException:
                self.collect()
                raise
        if self.heartbeat and self.background_heartbeat:
            self._heartbeats = Heartbeats(self, self.heartbeat)
        return callback() if callback else None

    @property
    def write_lock(self) -> Any:
        return self._transport.write_lock if self._transport is not None else RLock()

    @property
    def transport(self) -> Any:
        """The socket; None when not connected."""
        return self._transport

    @transport.setter
    def transport(self, transport: Any) -> None:
        self._transport = transport

    @property
    def frame_writer(self) -> Any:
        if self._transport is None:
            raise self._closed()
        return self._frame_writer

    @frame_writer.setter
    def frame_writer(self, frame_writer: Any) -> None:
        self._frame_writer = frame_writer

    @property
    def connected(self) -> bool:
        """Whether the connection is open, as far as is known without asking the broker."""
        return self._transport is not None and self._transport.connected and self.channels is not None

    @property
    def sock(self) -> Any:
        return None if self._transport is None else self._transport.sock

    def fileno(self) -> int:
        """The descriptor to wait for."""
        if self.sock is None:
            raise self._closed()
        return int(self.sock.fileno())

    @property
    def without_global_qos(self) -> bool:
        """Whether a prefetch limit for a whole channel is deprecated: RabbitMQ from 4.0 on."""
        properties = self.server_properties
        return properties.get("product") == "RabbitMQ" and _version(properties.get("version")) >= (4,)

    def on_inbound_method(self, channel_id: int, method_sig: Any, payload: Any, content: Any) -> Any:
        """A whole method has come for a channel."""
        if self.channels is None:
            raise self._closed()
        channel = self.channels.get(channel_id)
        if channel is None:
            return None  # closed meanwhile
        return channel.dispatch_method(method_sig, payload, content)

    # -- channels

    def channel(self, channel_id: int | None = None, callback: Any = None) -> Any:
        """Open a channel, or return the one of that number."""
        if self.channels is None:
            raise self._closed()
        if channel_id is not None and channel_id in self.channels:
            return self.channels[channel_id]
        try:
            channel = self.Channel(self, channel_id, on_open=callback)
        except AMQPError as exc:
            errors.raise_translated(exc)
        try:
            channel.open()
        except BaseException:
            channel.forget()
            raise
        return channel

    # -- heartbeats

    def heartbeat_tick(self, rate: int = 2) -> None:
        """Send a heartbeat if it is due, and raise when the broker's are missing.

        With heartbeats in the background there is nothing to send, and their findings are raised.
        """
        if self._heartbeats is None:
            try:
                return super().heartbeat_tick(rate)  # type: ignore[no-any-return]
            except AMQPError as exc:
                errors.raise_translated(exc)
        fault = self._transport.fault if self._transport is not None else None
        if fault is not None:
            raise fault

    def send_heartbeat(self) -> None:
        """Send one now."""
        if self._transport is not None:
            self._transport.write(HEARTBEAT_FRAME)

    # -- the end

    def _on_close(self, reply_code: int, reply_text: str, class_id: int, method_id: int) -> None:
        """The broker closes the connection."""
        error = errors.error_for_code(
            reply_code, reply_text, (class_id, method_id), errors.ConnectionError
        )
        self.closed_by = error
        try:
            self._x_close_ok()
        except OSError:
            pass
        raise error

    def close(self, *args: Any, **kwargs: Any) -> Any:
        """Close it, saying goodbye, within ``reply_timeout`` and the deadline in force."""
        if self._transport is None:
            return None
        if not self._transport.connected:
            return self.collect()
        lost = errors.ConnectionLost("the connection was closed while a thread waited on it")
        self.ended = None if self.may_read() else lost
        try:
            return super().close(*args, **kwargs)
        except errors.ConnectionInUse:  # (it is said goodbye; who waits for the broker is told, not who closes)
            self.ended = lost
            if self._transport is not None:  # (the other thread may have read the answer)
                self._transport.shut(lost)
        finally:
            self.collect()

    def collect(self) -> None:
        """Let go of the socket and all channels, without a word to the broker."""
        self._gone = True
        if self._heartbeats is not None:
            self._heartbeats.stop()
        transport, self._transport = self._transport, None
        if transport is not None:
            if self.closed_by is None:
                self.closed_by = transport.fault
            wire, self.wire = self.wire, None
            if wire is not None:
                wire.close()
            transport.close()
        channels, self.channels = self.channels, None
        for channel in [*(channels or {}).values()]:
            if channel is not self:
                channel.collect()
        self._fail_waiting(self._closed())
        self._deferred.clear()
        self._unblocked.set()
        self.connection = None
        self._on_inbound_frame = self._frame_writer = None


def _version(text: Any) -> tuple[int, ...]:
    """``3.13.7-rc.1`` as (3, 13, 7)."""
    numbers = []
    for part in str(text or "").split("-")[0].split("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
