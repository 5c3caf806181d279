"""Leases: a message that was received stays invisible for others as long as it is held here.

SQS (ChangeMessageVisibility): a receipt holds for the visibility timeout, which can be set anew from now on, up to 12
hours after the message was received.
"""

from __future__ import annotations

from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu.exceptions import AMQPError, NotFound
from kombu.log import get_logger
from kombu.utils.deadline import deadline_scope

from .errors import is_lost_receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .queues import Queues, Target

__all__ = ("Held", "Leases", "by_tens", "entries_of", "is_final")

logger = get_logger(__name__)

#: Entries that an API action in a batch takes.
BATCH = 10
#: Seconds that a message can be invisible in all (AWS: 12 hours), less a little.
LONGEST = 43200 - 60
#: How often it is tried to give a message back that SQS did not take for reasons of its own.
TRIES = 3


class Held:
    """A received message: what it is settled with."""

    __slots__ = ("extend_at", "message_id", "offloaded", "receipt", "received", "target")

    def __init__(
        self, target: Target, receipt: str, message_id: str, received: float, extend_at: float
    ) -> None:
        self.target = target
        self.receipt = receipt
        self.message_id = message_id
        #: When it was received, and when its lease is to be extended (monotonic clock).
        self.received = received
        self.extend_at = extend_at
        #: The key of a body that is kept elsewhere.
        self.offloaded: str | None = None


def by_tens(held: Iterable[Held]) -> Iterator[tuple[Target, list[Held]]]:
    """What is held, by queue, in groups that fit into one request."""
    groups: dict[int, tuple[Target, list[Held]]] = {}
    for one in held:
        groups.setdefault(id(one.target), (one.target, []))[1].append(one)
    for target, members in groups.values():
        for start in range(0, len(members), BATCH):
            yield target, members[start : start + BATCH]


def entries_of(group: list[Held], **more: Any) -> list[dict[str, Any]]:
    """The entries of a request for a group; the id of an entry is its place."""
    return [{"Id": str(place), "ReceiptHandle": one.receipt, **more} for place, one in enumerate(group)]


def is_final(entry: dict[str, Any]) -> bool:
    """Whether trying again is of no use for an entry that failed."""
    return bool(entry.get("SenderFault")) or is_lost_receipt(entry.get("Code", ""))


class Leases:
    """Everything that one connection holds; ``poke`` is told when :meth:`extend` will be due (monotonic clock)."""

    def __init__(
        self, queues: Queues, visibility_timeout: float, poke: Callable[[float], object] = lambda when: None
    ) -> None:
        self._queues = queues
        self._timeout = visibility_timeout
        self._poke = poke
        self._lock = RLock()
        self._held: dict[int, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, *held: Held) -> None:
        """Hold these from now on."""
        with self._lock:
            for one in held:
                self._held[id(one)] = one
        if self._timeout and held:
            self._poke(held[0].extend_at)

    def drop(self, held: Held) -> None:
        """It is settled, or is to come again by itself: do not extend it."""
        with self._lock:
            self._held.pop(id(held), None)

    def all(self) -> list[Held]:
        """What is held now."""
        with self._lock:
            return list(self._held.values())

    # -- extending -----------------------------------------------------------------------------------------

    def due_at(self) -> float | None:
        """When to call :meth:`extend` next (monotonic clock); None when nothing is held."""
        if not self._timeout:
            return None
        with self._lock:
            return min((one.extend_at for one in self._held.values()), default=None)

    def extend(self) -> None:
        """Extend what has half of its time left, or less."""
        now = monotonic()
        soon = now + self._timeout / 20  # what is due a moment later goes into the same request
        for target, group in by_tens([one for one in self.all() if one.extend_at <= soon]):
            self._extend(target, [one for one in group if not self._at_its_end(one, now)], now)

    def _left(self, held: Held, now: float) -> int:
        """Whole seconds that the message can still be held, ``visibility_timeout`` at the most."""
        return int(min(self._timeout, held.received + LONGEST - now))

    def _at_its_end(self, held: Held, now: float) -> bool:
        if self._left(held, now) > 0:
            return False
        text = "Message %s of %r is held for 12 hours: SQS gives it to others now"
        logger.error(text, held.message_id, held.target.name)
        self.drop(held)
        return True

    def _extend(self, target: Target, group: list[Held], now: float) -> None:
        if not group:
            return
        again = self._timeout / 8  # before the end of a lease there are other tries
        entries = entries_of(group)
        for entry, one in zip(entries, group, strict=True):
            entry["VisibilityTimeout"] = self._left(one, now)
        try:
            with deadline_scope(max(1.0, again)):
                answer = self._queues.call("change_message_visibility_batch", target, Entries=entries)
        except Exception as exc:
            logger.warning(
                "Visibility of %d messages of %r not extended yet: %s", len(group), target.name, exc
            )
            for one in group:
                one.extend_at = now + again
            return
        for entry in answer.get("Successful", ()):
            one = group[int(entry["Id"])]
            is_last = self._left(one, now) < int(self._timeout)
            one.extend_at = one.received + LONGEST if is_last else now + self._timeout / 2
        for entry in answer.get("Failed", ()):
            held = group[int(entry["Id"])]
            if not is_final(entry):
                held.extend_at = now + again
                continue
            logger.warning(
                "Message %s of %r is no longer ours (%s): it may be handled twice",
                held.message_id,
                target.name,
                entry.get("Code"),
            )
            self.drop(held)

    # -- giving back ---------------------------------------------------------------------------------------

    def release(self, held: Iterable[Held], seconds: int = 0) -> None:
        """Make messages visible for others after ``seconds``.

        Raises:
            AMQPError: the last error; all were tried.
        """
        failure: AMQPError | None = None
        for target, group in by_tens(held):
            for one in group:
                self.drop(one)
            try:
                self._release(target, group, seconds)
            except NotFound:  # the queue was deleted, and the messages with it
                continue
            except AMQPError as exc:
                failure = exc
        if failure is not None:
            raise failure

    def _release(self, target: Target, group: list[Held], seconds: int) -> None:
        for tries in range(1, TRIES + 1):
            entries = entries_of(group, VisibilityTimeout=seconds)
            answer = self._queues.call("change_message_visibility_batch", target, Entries=entries)
            again = []
            for entry in answer.get("Failed", ()):
                if tries < TRIES and not is_final(entry):
                    again.append(group[int(entry["Id"])])
                    continue
                level = logger.info if is_lost_receipt(entry.get("Code", "")) else logger.warning
                code, text = entry.get("Code"), entry.get("Message")
                level("Message of %r not given back: %s %s", target.name, code, text)
            group = again
            if not group:
                return
            self._queues.pause(tries)
