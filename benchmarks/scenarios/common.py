"""What the scenarios share: the message, the clock, and how figures are reported.

A scenario runs unchanged under both versions, so it uses public names only. It is a program with one argument, the
side it plays: ``kombu`` (whichever version is installed) or ``floor`` (the least that the job takes without Kombu).
It prints one JSON object, figure by name.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
from time import perf_counter, process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_NOTE = (
    "The ship left the harbour at dawn with a cargo of oranges, two passengers and a cat nobody owned. "
    "By noon the wind had turned, and the captain, who had never liked Tuesdays, gave the order to wait. "
)
#: About 1 KB as JSON: some fields and a longer text.
BODY = {
    "id": "9f2c1d7e-4b8a-4e0f-9d55-0c6a7b1e2f34",
    "kind": "order.created",
    "version": 3,
    "customer": {"id": 48213, "name": "Ada Byron", "premium": True},
    "total": 288.9,
    "currency": "EUR",
    "coupon": None,
    "tags": ["web", "spring", "gift"],
    "note": (_NOTE * 4)[:770],
}


def timed(
    work: Callable[[int], object],
    calls: int | None = None,
    *,
    before: Callable[[int], object] | None = None,
    after: Callable[[], object] | None = None,
    repeat: int = 5,
) -> dict[str, float]:
    """Seconds for one call, CPU of the process and wall: the median of ``repeat`` runs of ``work(calls)``.

    Without ``calls`` as many as take a tenth of a second. ``before(calls)`` and ``after()`` are not timed.
    """
    cpu, wall = [], []
    runs = -1  # the first is a warm-up
    calls, fixed = calls or 1, calls is not None
    while runs < repeat:
        if before is not None:
            before(calls)
        gc.collect()
        began, began_cpu = perf_counter(), process_time()
        work(calls)
        spent, spent_cpu = perf_counter() - began, process_time() - began_cpu
        if after is not None:
            after()
        if not fixed and spent < 0.1 and runs < 0:
            calls *= 10 if spent < 0.01 else 2
            continue
        runs += 1
        if runs:
            cpu.append(spent_cpu / calls)
            wall.append(spent / calls)
    return {"cpu": statistics.median(cpu), "wall": statistics.median(wall)}


def main(kombu: Callable[[], dict[str, Any]], floor: Callable[[], dict[str, Any]] | None = None) -> None:
    """Play the side named on the command line and print its figures, nested names joined by dots."""
    side = {"kombu": kombu, "floor": floor}[sys.argv[1]]
    print(json.dumps(dict(_flat(side() if side is not None else {}))))


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
