"""In which order a connection tries its brokers.

A strategy is a function of the list of URLs that returns an iterator without end over the URLs to try. The first one it
yields stands for the broker that is tried first anyhow, and is skipped.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ("failover_strategies", "get_strategy", "roundrobin_failover", "shuffle_failover")


def roundrobin_failover(urls: Sequence[str]) -> Iterator[str]:
    """The URLs in their order, over and over."""
    return cycle(urls)


def shuffle_failover(urls: Sequence[str]) -> Iterator[str]:
    """The URLs in an order that is drawn anew for every round; each round has each of them once.

    The first round begins with the first URL, which is where a connection starts.
    """
    from random import shuffle

    rest = list(urls[1:])
    shuffle(rest)
    yield from (*urls[:1], *rest)
    everyone = list(urls)
    while True:
        shuffle(everyone)
        yield from everyone


#: The strategies that can be called by name.
failover_strategies: dict[str, Callable[[Sequence[str]], Iterator[str]]] = {
    "round-robin": roundrobin_failover,
    "shuffle": shuffle_failover,
}


def get_strategy(strategy: Any) -> Callable[[Sequence[str]], Iterator[str]]:
    """The function for a name, or the function that was given.

    Raises:
        ValueError: neither a known name nor callable.
    """
    found = failover_strategies.get(strategy) if isinstance(strategy, str) else strategy
    if not callable(found):
        names = " or ".join(map(repr, failover_strategies))
        raise ValueError(f"failover_strategy is {names} or a function of the list of URLs, not {strategy!r}")
    return found
