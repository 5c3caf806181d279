"""This tree against the other clients of a broker, in turns; see ``docs/benchmarks.md``."""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from processes import spawn

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from goals import ClientGoal

__all__ = ("Contest", "compare")

#: Which environment has the client; the others are in "peers".
WHERE = {"kombu": "new", "kombu-5.7": "old"}

#: By job and client: what each process printed.
Samples = dict[tuple[str, str], list[dict[str, Any]]]


class Contest(NamedTuple):
    """The clients of one broker and what they do."""

    #: Begins the names of the scenarios.
    name: str
    #: Called with client, job, number of messages and URL.
    program: str
    clients: tuple[str, ...]
    #: The jobs and their messages.
    jobs: dict[str, int]
    #: By (job, client): other numbers of messages, for clients that are slow at that job; 0 when it has no such job.
    instead: dict[tuple[str, str], int]
    goals: tuple[ClientGoal, ...]
    #: Makes a URL, or none, a broker's URL and name, for as long as it is needed.
    broker: Callable[[str | None], AbstractContextManager[tuple[str, str]]]
    #: Prepares the broker for a job of so many messages; None removes everything.
    prepare: Callable[[str, str | None, int], None]


def compare(
    contest: Contest, environments: dict[str, str], jobs: list[str], rounds: int, url: str | None
) -> dict[str, Any]:
    """Measure, print two tables, and return them with all samples; ``goals`` say whether they were met."""
    with contest.broker(url) as (found, name):
        samples = measure(contest, environments, jobs, rounds, found)
    medians = {
        key: {figure: statistics.median(run[figure] for run in runs) for figure in ("cpu", "wall")}
        for key, runs in samples.items()
    }
    versions = {client: runs[0]["version"] for (_, client), runs in samples.items()}
    print(f"\n{name}: CPU µs of the client for a message, messages a second\n")
    table(
        ["", *(f"{client} {versions[client]}" for client in contest.clients)],
        [[job, *(cell(medians.get((job, client))) for client in contest.clients)] for job in jobs],
    )
    reached = [
        result(goal, medians)
        for goal in contest.goals
        if goal.job in jobs and (goal.other or goal.job, goal.client) in medians
    ]
    print()
    table(
        [contest.name, "goal", "found", "met"],
        [[row["job"], row["goal"], f"{row['found']:.2f}x", "yes" if row["met"] else "NO"] for row in reached],
    )
    runs = [{"job": job, "client": client, "runs": all_} for (job, client), all_ in samples.items()]
    return {"versions": versions, "goals": reached, "samples": runs}


def measure(
    contest: Contest, environments: dict[str, str], jobs: list[str], rounds: int, url: str
) -> Samples:
    """Run every job ``rounds`` times with each client, in turns."""
    samples: Samples = defaultdict(list)
    # (the jobs take turns too: some goals compare two of them)
    for turn, job, client in product(range(rounds), jobs, contest.clients):
        if sys.stderr.isatty():
            doing = f"{contest.name} {job} {turn + 1}/{rounds} {client}"
            print(f"\r{doing}".ljust(60), end="", file=sys.stderr)
        count = contest.instead.get((job, client), contest.jobs[job])
        if count:
            contest.prepare(url, job, count)
            python = environments[WHERE.get(client, "peers")]
            printed = spawn(python, contest.program, client, job, str(count), url)
            samples[job, client].append(json.loads(printed))
    contest.prepare(url, None, 0)
    return samples


def result(goal: ClientGoal, medians: dict[tuple[str, str], dict[str, float]]) -> dict[str, Any]:
    """What was reached of a goal."""
    ours, theirs = medians[goal.job, "kombu"], medians[goal.other or goal.job, goal.client]
    other = f" in {goal.other}" if goal.other else ""
    if goal.cpu is not None:
        found, wanted = theirs["cpu"] / ours["cpu"], goal.cpu
        words = f"≥ {wanted:g}x less CPU than {goal.client}{other}"
    else:
        found, wanted = theirs["wall"] / ours["wall"], goal.rate or 0
        words = f"≥ {wanted:g}x the rate of {goal.client}{other}"
    return {"job": goal.job, "goal": words, "found": found, "met": found >= wanted}


def cell(figures: dict[str, float] | None) -> str:
    if figures is None:
        return ""
    return f"{figures['cpu'] * 1e6:6.1f} {1 / figures['wall']:7,.0f}/s"


def table(heads: list[str], lines: list[list[str]]) -> None:
    """Print a table as Markdown."""
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]
    for line in (heads, ["-" * width for width in widths], *lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
