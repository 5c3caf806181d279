"""Limiting a rate."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any

__all__ = ("TokenBucket",)


class TokenBucket:
    """A token bucket: ``fill_rate`` tokens a second flow in, and it holds at most ``capacity``.

    Whoever wants to act takes tokens first. Items that have to wait can be kept in :attr:`contents`.
    Not thread-safe: hold a lock of your own around it.
    """

    #: Tokens that flow in each second.
    fill_rate: float = 0.0
    #: The most tokens that it holds.
    capacity: float = 1
    #: Monotonic time of the last look.
    timestamp: float = 0.0

    def __init__(self, fill_rate: float, capacity: float = 1) -> None:
        self.capacity = float(capacity)
        self._tokens = self.capacity
        self.fill_rate = float(fill_rate)
        self.timestamp = monotonic()
        self.contents: deque[Any] = deque()

    def add(self, item: Any) -> None:
        """Put an item to the end of those that wait."""
        self.contents.append(item)

    def pop(self) -> Any:
        """Take the item that has waited longest; IndexError when none waits."""
        return self.contents.popleft()

    def clear_pending(self) -> None:
        """Forget the items that wait."""
        self.contents.clear()

    def can_consume(self, tokens: float = 1) -> bool:
        """Take ``tokens`` if all of them are there and say so; otherwise take none."""
        if tokens <= self._get_tokens():
            self._tokens -= tokens
            return True
        return False

    def expected_time(self, tokens: float = 1) -> float:
        """Seconds until ``tokens`` will be there; 0 when they are."""
        missing = tokens - self._get_tokens()
        return missing / self.fill_rate if missing > 0 else 0.0

    def _get_tokens(self) -> float:
        if self._tokens < self.capacity:
            now = monotonic()
            self._tokens = min(self.capacity, self._tokens + self.fill_rate * (now - self.timestamp))
            self.timestamp = now
        else:
            self.timestamp = monotonic()
        return self._tokens
