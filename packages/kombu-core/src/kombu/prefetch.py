"""Prefetch counts that change while consuming."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("PREFETCH_COUNT_MAX", "QoS")

#: ``basic.qos`` has 16 bits for it.
PREFETCH_COUNT_MAX = 0xFFFF

logger = get_logger(__name__)


class QoS:
    """A prefetch count that many threads may change and one applies.

    Arguments:
        callback: called with ``prefetch_count=``, such as ``consumer.qos`` or ``channel.basic_qos``.
        initial_value: 0 is no limit, and stays so.
        max_prefetch: :meth:`increment_eventually` does not go beyond it.
    """

    #: What was applied last.
    prev: int | None = None

    def __init__(
        self, callback: Callable[..., Any], initial_value: int, max_prefetch: int | None = None
    ) -> None:
        self.callback = callback
        self._mutex = RLock()
        self.value = initial_value or 0
        self.max_prefetch = max_prefetch

    def increment_eventually(self, n: int = 1) -> int:
        """Add ``n``; applied by the next :meth:`update`. The new value is returned."""
        with self._mutex:
            if self.value:
                self.value += max(n or 0, 0)
                if self.max_prefetch is not None and self.value > self.max_prefetch:
                    self.value = self.max_prefetch
            return self.value

    def decrement_eventually(self, n: int = 1) -> int:
        """Take ``n`` away, down to 1; applied by the next :meth:`update`. The new value is returned."""
        with self._mutex:
            if self.value:
                self.value = max(self.value - n, 1)
            return self.value

    def set(self, pcount: int) -> int:
        """Apply ``pcount``, unless it is applied already. More than 65535 is applied as no limit."""
        with self._mutex:
            if pcount != self.prev:
                applied = pcount
                if pcount > PREFETCH_COUNT_MAX:
                    logger.warning("QoS: no limit is set instead of %r: AMQP has 16 bits for it", pcount)
                    applied = 0
                self.callback(prefetch_count=applied)
                self.prev = pcount
            return pcount

    def update(self) -> int:
        """Apply the current value; it is returned."""
        with self._mutex:
            return self.set(self.value)
