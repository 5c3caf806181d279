"""Which queues need no look: they had no message when they were looked at last, and nobody has told of one since.

Without it each message to a consumer of 500 queues would have the server look into all of them. Who makes a message
ready leaves a token (see :mod:`.waiting`), and a token names its queue. What leaves none is found by the looks at all
queues every half a second.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .waiting import LOOK_AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized

__all__ = ("Lulls",)

#: Seconds after which a connection that was too busy to listen for tokens looks at all queues.
DEAF = 0.1


class Lulls:
    """The empty queues of one connection, as far as it knows."""

    def __init__(self) -> None:
        #: Queues that need no look.
        self.empty: set[str] = set()
        #: The look under way is one at all queues.
        self.whole = True
        self._look_at = 0.0
        self._heard_at = 0.0

    def begin(self, listening: bool) -> None:
        """Before a look: it has to be one at all queues when the last was long ago or nobody listened."""
        now = monotonic()
        if listening:
            self._heard_at = now
        self.whole = now >= self._look_at or now >= self._heard_at + DEAF
        if self.whole:
            self.empty.clear()
            self._look_at = now + LOOK_AGAIN
            self._heard_at = now

    def heard(self) -> None:
        """All tokens until now were listened for."""
        self._heard_at = monotonic()

    def note(self, found: Mapping[str, Sized | None], limit: int) -> None:
        """What a look has brought by queue, at most ``limit`` messages."""
        if sum(len(messages) for messages in found.values() if messages) < limit:
            self.empty.update(
                queue for queue, messages in found.items() if messages is not None and not messages
            )

    def over(self, queue: str) -> None:
        """The queue has something, or may have."""
        self.empty.discard(queue)

    def clear(self) -> None:
        """Each of them may have something."""
        self.empty.clear()

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at all."""
        return monotonic() >= self._look_at

    @property
    def left(self) -> float:
        """Seconds until all have to be looked at."""
        return min(LOOK_AGAIN, max(0.01, round(self._look_at - monotonic(), 3)))
