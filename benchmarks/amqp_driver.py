"""The wire of kombu-amqp on py-amqp's own connection and socket: what the frame code gains, and nothing else.

Not for use: no deadlines, no confirms, no errors of our own. ``kombu_amqp.Transport`` has those.
"""

from __future__ import annotations

import select
import threading
from typing import Any

import amqp

from kombu_amqp.wire import Wire


class WireChannel(amqp.Channel):
    """The driver's channel; what happens for each message goes over the wire."""

    def basic_publish(
        self, msg: Any, exchange: str = "", routing_key: str = "", mandatory: bool = False, **options: Any
    ) -> None:
        self.connection.wire.publish(
            self.channel_id, exchange, routing_key, mandatory, False, msg.properties, msg.body
        )

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        self.connection.wire.ack(self.channel_id, delivery_tag, multiple)

    def on_confirm(self, delivery_tag: int, multiple: bool, acked: bool) -> None:
        (self._on_basic_ack if acked else self._on_basic_nack)(delivery_tag, multiple)

    def on_delivery(
        self, consumer_tag: str, delivery_tag: int, redelivered: bool, exchange: str, routing_key: str,
        properties: dict[str, Any], body: bytes,
    ) -> None:  # fmt: skip
        message = amqp.Message(body)
        message.properties = properties
        message.channel = self
        message.delivery_info = {
            "consumer_tag": consumer_tag,
            "delivery_tag": delivery_tag,
            "redelivered": redelivered,
            "exchange": exchange,
            "routing_key": routing_key,
        }
        self.callbacks[consumer_tag](message)


class WireConnection(amqp.Connection):
    """The driver's connection, reading as much as there is and dispatching one event after the other."""

    Channel = WireChannel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, frame_handler=self._make_wire, frame_writer=lambda *_: self.wire.write_frame, **kwargs)

    def _make_wire(self, connection: Any, callback: Any) -> Any:
        transport = self.transport
        transport.write_lock = threading.RLock()
        self.wire = Wire(self, transport)
        self.poller = select.poll()
        self.poller.register(transport.sock, select.POLLIN)
        return callback

    def drain_events(self, timeout: float | None = None) -> None:
        wire = self.wire
        while not wire.dispatch():
            wire.flush()
            if timeout is not None and not self.poller.poll(timeout * 1000):
                raise TimeoutError("timed out")
            data = self.transport.sock.recv(65536)
            if not data:
                raise ConnectionResetError("the broker closed the connection")
            wire.feed(data)
