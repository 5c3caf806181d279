"""Whose turn it is."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from kombu.utils.imports import symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("FairCycle", "cycle_by_name", "priority_cycle", "round_robin_cycle", "sorted_cycle")

CYCLE_ALIASES = {
    "priority": "kombu.utils.scheduling:priority_cycle",
    "round_robin": "kombu.utils.scheduling:round_robin_cycle",
    "sorted": "kombu.utils.scheduling:sorted_cycle",
}


class FairCycle:
    """Asks one resource after the other, going on where the last call stopped.

    ``fun(resource, callback, **kwargs)`` does the work and raises ``predicate`` when the resource has nothing.
    The list of resources may change between calls.
    """

    def __init__(
        self, fun: Callable[..., Any], resources: Any, predicate: type[BaseException] = Exception
    ) -> None:
        self.fun = fun
        self.resources = resources
        self.predicate = predicate
        self.pos = 0

    def _next(self) -> Any:
        resources = self.resources
        if not resources:
            raise self.predicate()
        if self.pos >= len(resources):
            self.pos = 0
        resource = resources[self.pos]
        self.pos += 1
        return resource

    def get(self, callback: Any, **kwargs: Any) -> Any:
        """What the next resource that has something gives; raises ``predicate`` when none of them has."""
        for tried in count(1):  # pragma: no branch - left by return or raise
            resource = self._next()
            try:
                return self.fun(resource, callback, **kwargs)
            except self.predicate:
                if tried >= len(self.resources):
                    raise
        return None

    def close(self) -> None:
        """Nothing to let go of; part of the interface of cycles."""

    def __repr__(self) -> str:
        return f"<FairCycle: {self.pos}/{len(self.resources)} {self.resources}>"


class round_robin_cycle:  # noqa: N801 - historic name
    """Items take turns: the one used last goes to the end."""

    def __init__(self, it: Iterable[Any] | None = None) -> None:
        self.items: list[Any] = list(it or ())

    def update(self, it: Iterable[Any]) -> None:
        """Replace the items."""
        self.items[:] = it

    def consume(self, n: int) -> list[Any]:
        """The first ``n`` items, as a new list."""
        return self.items[:n]

    def rotate(self, last_used: Any) -> Any:
        """Move ``last_used`` to the end, if it is there, and return it."""
        try:
            self.items.remove(last_used)
        except ValueError:
            return last_used
        self.items.append(last_used)
        return last_used


class priority_cycle(round_robin_cycle):  # noqa: N801 - historic name
    """Items always come in the order they were given."""

    def rotate(self, last_used: Any) -> Any:
        """Keeps the order."""
        return None


class sorted_cycle(priority_cycle):  # noqa: N801 - historic name
    """The first items as given, then sorted."""

    def consume(self, n: int) -> list[Any]:
        """The first ``n`` items, sorted."""
        return sorted(self.items[:n])


def cycle_by_name(name: str) -> Any:
    """The cycle class called ``priority``, ``round_robin`` or ``sorted``, or the one at a dotted path."""
    return symbol_by_name(name, CYCLE_ALIASES)
