"""Which published messages the broker has taken: publisher confirms by delivery tag, without I/O.

The broker counts the messages of a channel from 1 on, after ``confirm.select``, and answers with their numbers, in any
order and several at once. An answer for a number that nobody waits for any more changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_amqp.errors import MessageNacked

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Confirms",)


class Confirms:
    """The messages of a channel that are published and not confirmed."""

    __slots__ = ("base", "failed", "last", "pending")

    def __init__(self) -> None:
        #: What to add to the broker's numbers: it starts anew when the channel does, ours go on.
        self.base = 0
        #: Number of the message published last.
        self.last = 0
        #: Number -> (exchange, routing key) of those without an answer, in order.
        self.pending: dict[int, tuple[str, str]] = {}
        #: Number -> error, of those that were refused and whose publisher has not asked yet.
        self.failed: dict[int, BaseException] = {}

    def sent(self, exchange: str, routing_key: str) -> int:
        """A message goes out; its number."""
        self.last = tag = self.last + 1
        self.pending[tag] = (exchange, routing_key)
        return tag

    def settle(self, tag: int, multiple: bool, refused: bool = False) -> None:
        """The broker's answer for ``tag``, or with ``multiple`` for all up to it (0: all)."""
        for number in self._numbers(tag and tag + self.base, multiple):
            where = self.pending.pop(number, None)
            if where is not None and refused:
                self.failed[number] = MessageNacked(
                    f"the broker refused the message to exchange {where[0]!r} with routing key {where[1]!r}:"
                    " the queue is full or could not store it"
                )

    def _numbers(self, tag: int, multiple: bool) -> Iterable[int]:
        if not multiple:
            return (tag,)
        if not tag:
            return list(self.pending)
        numbers = []
        for number in self.pending:
            if number > tag:
                break
            numbers.append(number)
        return numbers

    def returned(self, exchange: str, routing_key: str, error: BaseException) -> None:
        """A mandatory message comes back, before its confirmation: it is the oldest one sent there."""
        for number, where in self.pending.items():
            if where == (exchange, routing_key) and number not in self.failed:
                self.failed[number] = error
                return

    def forget(self, tags: Iterable[int]) -> None:
        """Nobody waits for these any more."""
        for tag in tags:
            self.pending.pop(tag, None)
            self.failed.pop(tag, None)

    def outcome(self, tag: int) -> BaseException | None:
        """What became of an answered message: None when the broker took it. To be asked once."""
        return self.failed.pop(tag, None)

    def fail_all(self, error: BaseException) -> None:
        """The channel is gone: there will be no answers, and the broker counts anew."""
        self.failed.update(dict.fromkeys(self.pending, error))
        self.pending.clear()
        self.base = self.last

    def __len__(self) -> int:
        return len(self.pending)

    def __contains__(self, tag: Any) -> bool:
        return tag in self.pending
