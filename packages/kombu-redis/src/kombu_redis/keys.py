"""The names of all keys and channels: strings in, strings out; the prefix is added here and nowhere else.

Each key that belongs to a queue is a function of that queue, so that a cluster can keep a queue's keys together.
Queue lists, bindings, ``unacked`` and pub/sub channels have the names that kombu 5 gives them.
"""

from __future__ import annotations

import re
from bisect import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kombu_redis.options import Options

__all__ = ("Keys", "escaped")

_SPECIAL = re.compile(r"[*?\[\]\\]")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_PERCENT = r"%\g<0>"


class Keys:
    """Makes the names for one connection.

    Arguments:
        options: ``global_keyprefix``, ``sep``, ``priority_steps``, ``priority_order``, ``fanout_prefix``,
            ``fanout_patterns`` and the three names that start with ``unacked``.
        db: number of the database, which is part of a pub/sub channel's name (channels are not per database).
    """

    def __init__(self, options: Options, db: int | str = 0) -> None:
        prefix = self.prefix = options.global_keyprefix
        self.sep = options.sep
        self._steps = options.priority_steps
        self._by_steps = options.priority_order == "steps"
        self._unacked = prefix + options.unacked_key
        self._unacked_index = prefix + options.unacked_index_key
        self._fanout = prefix + _fanout_prefix(options.fanout_prefix, db)
        self._patterns = options.fanout_patterns
        self._bell = f"{prefix}_kombu.bell.{db}."
        self.unacked_mutex = prefix + options.unacked_mutex_key
        self.exchanges = f"{prefix}_kombu.exchanges"
        self.queues = f"{prefix}_kombu.queues"
        self.alive = f"{prefix}_kombu.alive"
        self.temporary = f"{prefix}_kombu.temporary"
        self.expiring = f"{prefix}_kombu.expiring"
        self.sweeper = f"{prefix}_kombu.sweeper"
        self.binding_deadlines = f"{prefix}_kombu.binding_deadlines"

    # -- of a queue

    def queue(self, queue: str) -> str:
        """The list of messages of the lowest step; the whole queue where there are no priorities."""
        return self.prefix + queue

    def level(self, queue: str, step: int) -> str:
        """The list of messages of one priority step; step 0 has no suffix."""
        return f"{self.prefix}{queue}{self.sep}{step}" if step else self.prefix + queue

    def step(self, priority: int | None, max_priority: int | None = None) -> int:
        """The step that a message of ``priority`` belongs to.

        In the old order the greatest of ``priority_steps`` that is not above it; in RabbitMQ's order the priority
        itself, at most ``max_priority``, and 0 in a queue without one.
        """
        if not priority:
            return self._steps[0] if self._by_steps else 0
        try:
            number = int(priority)
        except (TypeError, ValueError):
            raise ValueError(f"the priority of a message is a whole number, not {priority!r}") from None
        if self._by_steps:
            return self._steps[max(0, bisect(self._steps, number) - 1)]
        return max(0, min(number, max_priority or 0))

    def levels(self, queue: str, max_priority: int | None = None) -> list[str]:
        """All lists of a queue, in the order in which their messages are delivered."""
        if self._by_steps:
            return [self.level(queue, step) for step in self._steps]
        return [self.level(queue, step) for step in range(max_priority or 0, -1, -1)]

    def queues_of(self, queue: str) -> str:
        """Hash: queue -> its declaration."""
        return self.queues

    def temporary_of(self, queue: str) -> str:
        """Sorted set: temporary queues by the end of their time."""
        return self.temporary

    def steps(self) -> list[int]:
        """The steps of a queue without ``x-max-priority``: of each of its levels."""
        return list(self._steps) if self._by_steps else [0]

    def delayed(self, queue: str) -> str:
        """Sorted set: messages whose delay is not over, by the time it is."""
        return f"{self.prefix}_kombu.delayed.{queue}"

    def wake(self, queue: str) -> str:
        """List of at most one token: somebody who waits for this queue should look."""
        return f"{self.prefix}_kombu.wake.{queue}"

    def enlisted(self, queue: str) -> str:
        """List of the connections to be told of a message, by the names of :meth:`idle`."""
        return self.wake(queue).replace("_kombu.wake.", "_kombu.enlisted.", 1)

    def queue_of_wake(self, key: str) -> str:
        """The queue that a wake-up list is of."""
        return key.removeprefix(self.wake(""))

    def consumers(self, queue: str) -> str:
        """Sorted set: consumers by the end of their lease."""
        return f"{self.prefix}_kombu.consumers.{queue}"

    def bytes(self, queue: str) -> str:
        """Counter of the bytes in a queue that has a limit of them."""
        return f"{self.prefix}_kombu.bytes.{queue}"

    def undecodable(self, queue: str) -> str:
        """List of payloads that could not be decoded."""
        return f"{self.prefix}_kombu.undecodable.{queue}"

    def cursors(self, queue: str) -> str:
        """Hash: exchange -> how far the queue has read its stream of broadcasts."""
        return f"{self.prefix}_kombu.cursors.{queue}"

    def unacked(self, queue: str) -> str:
        """Hash: delivery tag -> what was delivered. One for all queues, as kombu 5 has it."""
        return self._unacked

    def unacked_index(self, queue: str) -> str:
        """Sorted set: delivery tag by time. One for all queues, as kombu 5 has it."""
        return self._unacked_index

    # -- of an exchange

    def binding(self, exchange: str) -> str:
        """Set of rows ``key sep pattern sep queue``."""
        return f"{self.prefix}_kombu.binding.{exchange}"

    def binding_permanent(self, exchange: str) -> str:
        """Set of the rows that do not expire."""
        return f"{self.prefix}_kombu.binding_permanent.{exchange}"

    def bound(self, exchange: str) -> str:
        """Set of the bindings that the rows of kombu 5 cannot express, as JSON."""
        return f"{self.prefix}_kombu.bound.{exchange}"

    def stream(self, exchange: str) -> str:
        """Stream: broadcasts that are kept for the queues of a fanout exchange."""
        return f"{self.prefix}_kombu.stream.{exchange}"

    def streamed(self, exchange: str) -> str:
        """Counter of the broadcasts that the stream was given."""
        return f"{self.prefix}_kombu.streamed.{exchange}"

    def bell(self, exchange: str) -> str:
        """The pub/sub channel that tells of a broadcast in the stream."""
        return self._bell + exchange

    def channel(self, exchange: str, routing_key: str = "") -> str:
        """The pub/sub channel to publish on."""
        if routing_key and self._patterns:
            return f"{self._fanout}{exchange}/{routing_key}"
        return self._fanout + exchange

    def channels(self, exchange: str, routing_key: str = "") -> list[str]:
        """All channels to publish on."""
        return [self.channel(exchange, routing_key)]

    def pattern(self, exchange: str, binding_key: str = "") -> str:
        """The pattern to subscribe to for a binding key, whose ``#`` becomes ``*``."""
        whole = escaped(self._fanout + exchange)
        if binding_key and self._patterns:
            words = binding_key.replace("#", "*").split("*")
            return f"{whole}/{'*'.join(map(escaped, words))}"
        return whole

    def sources(self, kind: str, name: str) -> str:
        """Set of all bindings that lead to a queue or an exchange, so that they can go with it."""
        return f"{self.prefix}_kombu.sources.{kind}.{name}"

    def patterns(self, exchange: str, binding_key: str = "") -> list[str]:
        """What to subscribe to for a binding key.

        AMQP knows no binding keys of fanout exchanges: a plain one selects nothing. One with ``*`` or ``#`` does, as it
        always has on Redis.
        """
        if self._words(binding_key) is not None:
            return [self.pattern(exchange, binding_key)]
        everything = [self.pattern(exchange)]
        return [*everything, self.pattern(exchange, "#")] if self._patterns else everything

    def selects(self, binding_key: str, routing_key: str) -> bool:
        """Whether a broadcast is for this binding; the same as :meth:`patterns` says."""
        words = self._words(binding_key)
        if words is None:
            return True
        pattern = ".*".join(map(re.escape, words))
        return bool(routing_key) and re.fullmatch(pattern, routing_key, re.DOTALL) is not None

    def selector(self, binding_key: str) -> str | None:
        """What :meth:`selects`, as a Lua pattern for a routing key that is not empty; None: everything."""
        words = self._words(binding_key)
        if words is None:
            return None
        return f"^{'.*'.join(_PUNCTUATION.sub(_PERCENT, word) for word in words)}$"

    def _words(self, binding_key: str) -> list[str] | None:
        """What is between the wildcards of a binding key that selects."""
        plain = not ("*" in binding_key or "#" in binding_key)
        if plain or binding_key == "#" or not self._patterns:
            return None
        return re.split(r"[*#]+", binding_key)

    # -- of a connection

    def owner(self, connection: str) -> str:
        """String with a short life: the owner of exclusive queues lives."""
        return f"{self.prefix}_kombu.owner.{connection}"

    def private_wake(self, connection: str) -> str:
        """List by which one connection is woken, whatever it waits for."""
        return f"{self.prefix}_kombu.private.{connection}"

    def idle(self, connection: str) -> str:
        """String with a short life: a connection that is entered with many queues sleeps. Also its channel."""
        return f"{self.prefix}_kombu.idle.{connection}"


def escaped(text: str) -> str:
    """``text`` so that as a part of a pattern it stands for itself."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _fanout_prefix(option: bool | str, db: int | str) -> str:
    if not option:
        return ""
    return f"/{db}." if option is True else option.replace("{db}", str(db))
