"""A queue with ``x-dead-letter-exchange`` gets a redrive policy: what kills its consumers becomes a dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.exceptions import AMQPError, NotFound
from kombu.log import get_logger
from kombu.transport.virtual.policy import PLAIN

if TYPE_CHECKING:
    from kombu.transport.virtual.routing import QueueSpec

    from .broker import Broker
    from .options import Options
    from .queues import Queues

__all__ = ("Redrive",)

logger = get_logger(__name__)

#: maxReceiveCount where nothing says it: the most that SQS takes.
MOST = 1000


class Redrive:
    """Keeps the redrive policies of the queues in line with their declarations."""

    def __init__(self, queues: Queues, broker: Broker, options: Options) -> None:
        self._queues = queues
        self._broker = broker
        self._options = options

    def apply(self, queue: str) -> None:
        """Set the policy of a queue that has dead letters, once it is clear which queue gets them."""
        spec = self._broker.state.queues.get(queue)
        if spec is None or spec.policy is PLAIN or spec.policy.dead_letter_exchange is None:
            return
        dead_letters = self._destination(spec)
        if dead_letters is None or dead_letters == queue:
            return
        wanted = (dead_letters, self._limit(spec))
        if self._broker.redrives.get(queue) == wanted:
            return
        try:
            self._queues.set_redrive(queue, *wanted)
        except AMQPError as exc:
            logger.warning("Queue %r has no redrive policy to %r: %s", queue, dead_letters, exc)
        self._broker.redrives[queue] = wanted

    def exchange_changed(self, exchange: str) -> None:
        """Something was bound to the exchange: it may be some queues' dead-letter exchange."""
        for spec in list(self._broker.state.queues.values()):
            if spec.policy.dead_letter_exchange == exchange:
                self.apply(spec.name)

    def forget(self, queue: str) -> None:
        """The queue is gone."""
        self._broker.redrives.pop(queue, None)

    def _limit(self, spec: QueueSpec) -> int:
        if spec.policy.delivery_limit is not None:
            return min(MOST, spec.policy.delivery_limit + 1)
        return self._options.max_deliveries or MOST

    def _destination(self, spec: QueueSpec) -> str | None:
        """The one queue at SQS that all dead letters go to; None when there is none, or more than one."""
        state, exchange = self._broker.state, spec.policy.dead_letter_exchange or ""
        key = spec.policy.dead_letter_routing_key
        if exchange == "":
            found = {key} if key is not None else set()
        elif key is None:
            known = state.exchanges.get(exchange)
            rows = known.table.rows() if known is not None else ()
            found = {name for (kind, name), _, _ in rows if kind == "queue"}
        else:
            try:
                found = set(state.route(exchange, key))
            except NotFound:
                found = set()
        found = {name for name in found if name in self._broker.targets}
        return found.pop() if len(found) == 1 else None
