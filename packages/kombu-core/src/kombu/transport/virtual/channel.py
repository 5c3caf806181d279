"""A channel over a backend that is not AMQP: the verbs, with their state and its end."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from kombu.exceptions import RecoverableConnectionError
from kombu.utils.uuid import uuid

from .consume import ConsumeVerbs
from .qos import QoS as _QoS

__all__ = ("Channel",)


class Channel(ConsumeVerbs):
    """An AMQP channel over the hooks of :class:`.hooks.AbstractChannel`.

    Subclass it, implement ``_get`` and ``_put``, and override what the backend does better. One thread at a time may
    consume on a channel; messages may be settled from other threads.
    """

    QoS: type[_QoS] = _QoS
    #: Give unsettled messages back when the channel closes.
    do_restore = True
    #: Options taken from ``Connection(transport_options=...)`` as attributes.
    from_transport_options: tuple[str, ...] = ("body_encoding", "deadletter_queue")

    #: Its number on the connection, for who reads a log.
    channel_id: int | None = None

    #: Whether fanout exchanges work, for transports that say so.
    supports_fanout = False

    if not TYPE_CHECKING:  # set by the constructor; named here for who lists the contract
        events = qos = state = None

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        self.connection = connection
        self.closed = False
        self.lock = connection.lock
        self.state = connection.state
        self.events = {"basic_return": set()}
        self._consumers = {}
        self._next_tag = count(1).__next__
        self._unique_prefix = uuid()[:24]
        self._next_unique = count(1).__next__
        options = connection.client.transport_options if connection.client is not None else {}
        for name in self.from_transport_options:
            if name in (options or {}):
                setattr(self, name, options[name])
        self.qos = self.QoS(self)

    def _unique(self) -> str:
        """A name nobody else makes up: the channel's random prefix and a counter."""
        return f"{self._unique_prefix}{self._next_unique():012x}"

    @property
    def cycle(self) -> list[str]:
        """The queues this channel consumes from."""
        return [subscription.queue for subscription in self._consumers.values()]

    def close(self) -> None:
        """Cancel the consumers and give back what they did not settle; closing again does nothing."""
        if self.closed:
            return
        self.connection.forget_channel(self)
        for tag in list(self._consumers):
            self.basic_cancel(tag)
        self.closed = True
        self.qos.restore_unacked_once()

    def _check_open(self) -> None:
        """:exc:`RecoverableConnectionError` when the channel is closed."""
        if self.closed:
            raise RecoverableConnectionError("the channel is closed: open another one", (20, 40), "Channel")
