"""What a backend implements: the hooks under the AMQP verbs of a virtual channel.

``_get`` and ``_put`` are enough for a working transport. Every other hook has a default that is right for a
backend whose ``_get`` takes the message away. A message is the envelope of :mod:`.envelope`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import wraps
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeVar

from kombu.exceptions import ChannelError, UnsupportedCapability
from kombu.transport.base import StdChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .exchange import BrokerState
    from .ledger import Subscription
    from .qos import QoS

__all__ = ("AbstractChannel", "channel_verb")

_Verb = TypeVar("_Verb", bound="Callable[..., Any]")


def channel_verb(verb: _Verb) -> _Verb:
    """A channel error ends the channel, as AMQP 0-9-1 section 2.2.7 says of channel exceptions."""

    @wraps(verb)
    def guarded(self: AbstractChannel, *args: Any, **kwargs: Any) -> Any:
        try:
            return verb(self, *args, **kwargs)
        except ChannelError:
            self.close()
            raise

    return guarded  # type: ignore[return-value]


class AbstractChannel(StdChannel, ABC):
    """The hooks of a backend, by their historic names, and the state the verbs share."""

    qos: QoS
    #: Guards what the channels of a connection (or of a broker in memory) change together.
    lock: Any
    closed: bool

    #: Exchanges, queues and bindings as this process (or the broker behind it) knows them.
    state: BrokerState

    # -- messages ------------------------------------------------------------------------------------------

    @abstractmethod
    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Take the next message out of the queue (or lease it, to be settled by ``_ack`` or ``_requeue``).

        Raises:
            queue.Empty: there is none at the moment.
        """

    @abstractmethod
    def _put(self, queue: str, message: dict[str, Any]) -> Any:
        """Append the message to the queue. When this returns, the backend is responsible for it."""

    def _get_many(self, queue: str, limit: int) -> list[dict[str, Any]]:
        """Take up to ``limit`` messages, oldest first; fewer, or none, when there are no more at the moment.

        Used when the channel's ``fetch_size`` is above 1.
        """
        messages = []
        try:
            for _ in range(limit):
                messages.append(self._get(queue))
        except Empty:
            pass
        return messages

    def _put_delayed(self, queue: str, message: dict[str, Any], due: float) -> None:
        """Append the message when ``due`` (seconds since the epoch) has come; needs the capability ``delay``."""
        raise UnsupportedCapability(
            f"{type(self.connection).__name__} cannot delay messages: publish without delay=, or use a "
            f"transport whose capability `delay` is set"
        )

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:
        """Broadcast at the backend; called for fanout exchanges instead of routing when it is overridden."""
        raise NotImplementedError

    def _ack(self, queue: str, message: dict[str, Any]) -> None:
        """The message is done with: forget it. Default: ``_get`` has taken it away already."""

    def _requeue(self, queue: str, message: dict[str, Any]) -> None:
        """Give a taken message back to its queue, at its old place if the backend can."""
        self._put(queue, message)

    def _release(self, queue: str, message: dict[str, Any]) -> None:
        """Give back a message that was fetched ahead and never delivered."""
        self._requeue(queue, message)

    def _due(self, now: float) -> Iterable[tuple[str, dict[str, Any], str]]:
        """Act on what time has brought about; expired messages are taken out: (queue, message, reason).

        Called before the channel looks for messages; ``now`` is in seconds since the epoch.
        """
        return ()

    # -- queues --------------------------------------------------------------------------------------------

    def _size(self, queue: str) -> int:
        """The number of messages that are ready."""
        return 0

    def _size_bytes(self, queue: str) -> int:
        """Bytes of the bodies that are ready, for ``x-max-length-bytes``."""
        raise UnsupportedCapability(f"{type(self.connection).__name__} cannot limit a queue by bytes")

    def _size_delayed(self, queue: str) -> int:
        """The number of messages that ``_put_delayed`` keeps still."""
        return 0

    def _purge(self, queue: str) -> int:
        """Remove the messages that are ready; how many there were."""
        count = 0
        while True:
            try:
                message = self._get(queue)
            except Empty:
                return count
            self._ack(queue, message)
            count += 1

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        """Whether the queue exists, for backends that can tell."""
        return True

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        """A queue is declared; ``kwargs`` are the arguments of ``queue_declare``."""

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        """Remove the queue with its messages."""
        self._purge(queue)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        """A queue is bound; ``pattern`` is the routing key as a regular expression (topic), else None."""

    def _queue_unbind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        """A binding is removed."""

    # -- consumers -----------------------------------------------------------------------------------------

    def _consumer_added(self, subscription: Subscription) -> None:
        """A consumer starts; before its first message."""

    def _consumer_removed(self, subscription: Subscription) -> None:
        """A consumer is gone."""
