"""Reading streams of broadcasts (``fanout="stream"``): into the queues' lists, as their consumers have room.

A fanout exchange has one stream, and each queue that reads it a cursor. What a consumer has room for is put into
the list of its queue in the step that moves the cursor, and is a message like all others from then on: leased,
acknowledged, given back, buried. ``lua/pull.lua`` does it, sent together with the claim that takes it.

Whoever publishes rings a bell, an empty message by pub/sub; one that is missed costs half a second.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.log import get_logger
from kombu.transport.virtual.policy import PLAIN

from .calls import MOST, script
from .errors import NoScript

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .resp import Argument
    from .transport import Transport

__all__ = ("Pulls",)

logger = get_logger(__name__)

#: Seconds that a queue whose streams were read to their ends is left alone, unless the bell rings.
QUIET = 0.4


class Reading(NamedTuple):
    """What a queue reads."""

    #: The declaration of the queue by which this holds: it changes with each binding to a stream.
    declared: str
    #: Exchange -> binding keys.
    streams: Mapping[str, Sequence[str]]


class Pulls:
    """What the queues read that one connection consumes from."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._readings: dict[str, Reading] = {}
        #: Queue -> until when there is no need to look, by the monotonic clock.
        self._quiet: dict[str, float] = {}
        #: The server knows the script, as far as is known.
        self._is_loaded = False
        #: A look ended before the end of a stream without a message for anybody, or was none.
        self._again = False

    # -- who reads what --------------------------------------------------------------------------------------

    def reading(self, queue: str) -> Reading | None:
        """What the queue reads, as its declaration was last seen; None for nothing."""
        directory = self._transport.directory
        declared = directory.declared(queue)
        if '"streams": ' not in declared:
            return None
        known = self._readings.get(queue)
        if known is None or known.declared != declared:
            known = self._readings[queue] = Reading(declared, directory.streams_of(queue))
            self._quiet.pop(queue, None)
            if any(consumer.queue == queue for consumer in self._transport.consumers):
                self.attend(queue)
        return known if known.streams else None

    def attend(self, queue: str) -> None:
        """Hear the bells of what the queue reads, from when this returns."""
        reading = self.reading(queue)
        if reading is not None:
            keys = self._transport.keys
            self._transport.broadcasts.listen(queue, bells=[keys.bell(name) for name in reading.streams])

    def forget(self, queue: str) -> None:
        """Nobody consumes from the queue here any more."""
        self._readings.pop(queue, None)
        self._quiet.pop(queue, None)

    def ring(self, queues: Iterable[str]) -> None:
        """There is something for these queues."""
        for queue in queues:
            self._quiet.pop(queue, None)
            self._transport.lulls.over(queue)

    # -- pulling -----------------------------------------------------------------------------------------------

    def precede(self, wants: Iterable[tuple[str, int]]) -> None:
        """Have the next request pull what each (queue, how many at most) has room for, if anything may have come."""
        now = monotonic()
        found = []
        for queue, room in wants:
            reading = self.reading(queue)
            if reading is not None and room > 0 and now >= self._quiet.get(queue, 0.0):
                found.append((queue, room, reading))
        if not found:
            return
        queues = [queue for queue, _, _ in found]
        packed = self._pack(found)
        server = self._transport.server

        def then(replies: list[Any]) -> None:
            self._take_in(queues, replies[0])

        if self._is_loaded:
            server.buffer(packed, 1, then)
        else:
            then([server.request(packed)])  # (which sends the script where the server does not know it)
            self._is_loaded = True

    def _pack(self, found: Sequence[tuple[str, int, Reading]]) -> bytes:
        keys, transport = self._transport.keys, self._transport
        steps = keys.steps()
        names: list[Argument] = [keys.queues, keys.expiring]
        about: list[Argument] = [len(found), transport.options.fanout_age]
        for queue, room, reading in found:
            spec = transport.state.queues.get(queue)
            rules = spec.policy if spec is not None else PLAIN
            ttl = "" if rules.message_ttl is None else rules.message_ttl
            buries = "1" if rules.dead_letter_exchange is not None else ""
            names += (keys.cursors(queue), *map(keys.stream, reading.streams))
            names += [keys.level(queue, step) for step in steps]
            about += (queue, reading.declared, min(room, MOST), ttl, buries)
            about += (len(reading.streams), len(steps), *steps, *self._selection(reading))
        return script("pull", "common", "stream").pack(names, about)

    def _selection(self, reading: Reading) -> list[Argument]:
        """For each stream what ``lua/stream.lua`` is told of it."""
        found: list[Argument] = []
        for exchange, bindings in reading.streams.items():
            selectors = [self._transport.keys.selector(key) for key in bindings]
            some = [selector for selector in selectors if selector is not None]
            some = some if len(some) == len(selectors) else []
            found += (exchange, len(some), *some)
        return found

    def _take_in(self, queues: Sequence[str], reply: Any) -> None:
        if isinstance(reply, Exception):
            self._is_loaded = not isinstance(reply, NoScript)
            if self._is_loaded:
                self._transport.server.on_late_error(reply)
            self._again = not self._is_loaded
            return
        until = monotonic() + QUIET
        left = set()
        for at in range(0, len(reply or ()), 3):
            queue, stream, count = reply[at : at + 3]
            if stream < 0:
                left.add(queues[queue])
                self._again = self._again or bool(count)
            else:
                self._report(queues[queue], stream, count)
        for name in queues:
            if name not in left and any(consumer.queue == name for consumer in self._transport.consumers):
                self._quiet[name] = until

    def _report(self, queue: str, stream: int, count: int) -> None:
        reading = self._readings.get(queue)
        logger.warning(
            "Queue %r has missed %d broadcasts of exchange %r, which were dropped before anybody consumed them: "
            "there were more than `fanout_length` (%d), or they were older than `fanout_age` (%g s)",
            queue,
            count,
            list(reading.streams)[stream] if reading is not None else "?",
            self._transport.options.fanout_length,
            self._transport.options.fanout_age,
        )

    def again(self) -> bool:
        """Whether to look once more, since the last look was cut short."""
        again, self._again = self._again, False
        return again

    # -- looking -----------------------------------------------------------------------------------------------

    def backlog(self, queue: str, skip: bool = False) -> int:
        """How many broadcasts the queue has not read yet; with ``skip`` it never will."""
        reading = self.reading(queue)
        if reading is None:
            return 0
        keys, transport = self._transport.keys, self._transport
        spec = transport.state.queues.get(queue)
        ttl = spec.policy.message_ttl if spec is not None else None
        names = [keys.cursors(queue), *map(keys.stream, reading.streams)]
        about: list[Argument] = [
            queue,
            transport.options.fanout_age,
            "" if ttl is None else ttl,
            "1" if skip else "",
        ]
        called = script("backlog", "common", "stream")
        return int(transport.server.run(called, names, [*about, *self._selection(reading)]))
