"""What is told about something that goes on and on: at once, then now and again with how often it was. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ("Notices",)


class Notices:
    """Decides when a subject is to be mentioned.

    Arguments:
        interval: seconds between two mentions of a subject.
        most: subjects that are remembered; the one that was mentioned longest ago is forgotten first, and then is new.
    """

    def __init__(self, interval: float = 60.0, most: int = 1000) -> None:
        self._interval = interval
        self._most = most
        #: Subject -> (when it was mentioned, how often it was passed over since).
        self._known: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def count(self, subject: Hashable, now: float) -> int:
        """It happened at ``now`` (seconds): how often since the last mention, this time included; 0: say nothing."""
        at, passed = self._known.get(subject, (None, 0))
        if at is not None and now - at < self._interval:
            self._known[subject] = at, passed + 1
            return 0
        self._known[subject] = now, 0
        self._known.move_to_end(subject)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return passed + 1
