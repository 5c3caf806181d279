"""Settling at SQS: a delivery that could not be settled stays ours, and many go back in one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import AMQPError, KombuError
from kombu.log import get_logger
from kombu.transport.virtual import QoS as VirtualQoS

from .errors import SettleError

if TYPE_CHECKING:
    from kombu.transport.virtual.ledger import Delivery

__all__ = ("QoS",)

logger = get_logger(__name__)


class QoS(VirtualQoS):
    """The ledger of a channel."""

    channel: Any

    def ack(self, delivery_tag: int) -> None:
        """Delete the message; when that fails it stays unsettled and can be acknowledged again."""
        delivery = self.settle(delivery_tag) or self.take(delivery_tag)
        try:
            self.channel._ack(delivery[0], delivery[1])
        except SettleError:  # this one is settled, or not ours any more
            raise
        except (AMQPError, KombuError):
            self._take_back(delivery_tag, delivery)
            raise

    def reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Give the message back, dead-letter it, or leave it to the queue's redrive or backoff policy."""
        delivery = self.take(delivery_tag)
        queue, message, _ = delivery
        try:
            if requeue:
                self.channel._return(queue, message)
            elif not self.channel.leave_to_sqs(queue, message):
                self.channel._discard(queue, message, "rejected")
        except (AMQPError, KombuError):
            self._take_back(delivery_tag, delivery)
            raise

    def _take_back(self, delivery_tag: int, delivery: Delivery) -> None:
        """Nothing became of it: it is unsettled as before, unless the channel is closed."""
        if not self.channel.closed:
            self.channel.hold(delivery[1])
            self.add(delivery_tag, *delivery)

    def restore_unacked(self) -> None:
        """Give everything unsettled back, ten messages a request."""
        if not self.unacked:
            return
        with self.channel.releasing():
            super().restore_unacked()

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """As :meth:`restore_unacked`, when the channel closes: what cannot be given back comes again by itself."""
        try:
            super().restore_unacked_once(stderr)
        except AMQPError as exc:
            logger.warning(
                "Messages were not given back and stay invisible until their time is over: %s", exc
            )
