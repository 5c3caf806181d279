"""A task's queue, as it is declared by who publishes a result and by who looks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Queue
from kombu.common import maybe_declare

if TYPE_CHECKING:
    from kombu import Exchange

__all__ = ("NoCacheQueue", "queue_of", "rkey")


def rkey(task_id: str) -> str:
    """The name of the task's queue, and its routing key: the id without dashes, as it always was."""
    return str(task_id).replace("-", "")


class NoCacheQueue(Queue):
    """A queue that is declared each time, because others delete it; a connection remembers its exchange only."""

    can_cache_declaration = False

    def declare(self, nowait: bool = False, channel: Any = None) -> str:
        """Declare and bind in one round trip: what the broker has against the queue is heard when it is bound."""
        channel = channel or self.channel
        bound = self.exchange is not None and bool(self.exchange.name)
        if bound:
            maybe_declare(self.exchange, channel)
        self.queue_declare(nowait=nowait or bound, channel=channel)
        if bound:
            self.queue_bind(nowait=nowait, channel=channel)
        return self.name


def queue_of(make: type[Queue], task_id: str, exchange: Exchange, expires: float | None) -> Queue:
    """The queue of a task.

    Durable also where results are not, since RabbitMQ 4 refuses transient queues that are not exclusive; then it is the
    messages that don't survive a restart. Classic, whatever the virtual host's default is: a quorum queue counts how
    often a message was put back, and drops one that was looked at twenty times.
    """
    return make(
        rkey(task_id),
        exchange,
        rkey(task_id),
        durable=True,
        auto_delete=False,
        expires=expires or None,
        queue_arguments={"x-queue-type": "classic"},
    )
