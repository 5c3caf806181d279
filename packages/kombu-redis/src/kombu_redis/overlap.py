"""While one subscribed connection takes over from another: what comes by both is taken in once, in order."""

from __future__ import annotations

from typing import Any

__all__ = ("Overlap",)


class Overlap:
    """Begun before the second one subscribes, compared while both are read to their ends, and over after that."""

    def __init__(self) -> None:
        #: What has come by the second before the first was read.
        self._early: list[list[Any]] | None = None
        #: What was taken in since.
        self._seen: set[tuple[bytes, ...]] | None = None

    def begin(self) -> list[list[Any]]:
        """From now on messages are kept, in the list that is returned."""
        early: list[list[Any]] = []
        self._early = early
        return early

    def compare(self) -> None:
        """From now on they are taken in, each once."""
        self._early, self._seen = None, set()

    def end(self) -> None:
        """Both were read, or the old one is used on."""
        self._early = self._seen = None

    def keeps(self, message: list[Any]) -> bool:
        """Whether a message is not to be taken in now: it is for later, or was taken in before."""
        if self._early is not None:
            self._early.append(message)
            return True
        if self._seen is None:
            return False
        known = tuple(message) in self._seen
        self._seen.add(tuple(message))
        return known
