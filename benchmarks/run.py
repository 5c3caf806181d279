"""Measure this tree against Kombu 5.7 and against the floor, and print the ratios; see ``docs/benchmarks.md``.

Each sample is a process of its own, and the sides take turns (old, new, floor, old, new, floor ...), so that what else
the machine is doing falls on all of them alike. The figure of a side is the median of its samples.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import amqp_run
import celery_run
import clients_run
import pyperf
import redis_run
from fauxqs import running
from goals import ROWS, SCENARIOS, Row
from processes import Missing, spawn

#: Scenarios against a broker, ``amqp_publish`` and so on: whose contest, and the clients' job.
CONTESTS = {
    f"{contest.name}_{job}": (contest, job)
    for contest in (amqp_run.CONTEST, redis_run.CONTEST, *celery_run.CONTESTS)
    for job in contest.jobs
}
API = "from kombu import Connection, Exchange, Queue, Producer, Consumer, __version__"

#: Samples by side and ``scenario.figure``.
Samples = dict[tuple[str, str], list[float]]


def main() -> int:
    """The exit status: 0 when everything was measured; with ``--strict`` 1 when a goal is missed."""
    options = arguments()
    environments = {"old": options.old, "new": options.new, "floor": options.new, "peers": options.peers}
    chosen = options.scenario or [*SCENARIOS, *CONTESTS]
    for side in ("old", "new"):  # which also has the bytecode written
        code = f"{API}; print(__version__); Connection('memory://').connect()"
        print(f"{side}: kombu {spawn(environments[side], '-c', code).strip()}, {environments[side]}")
    with running(options.fauxqs) as port:
        if port is None and (left_out := [name for name in chosen if name.startswith("sqs_")]):
            print(f"left out, because fauxqs is not installed: {' '.join(left_out)}")
            chosen = [name for name in chosen if name not in left_out]
        os.environ["KOMBU_BENCH_SQS"] = str(port)
        samples = measure(environments, [name for name in chosen if name in SCENARIOS], options.rounds)
    medians = {key: statistics.median(values) for key, values in samples.items()}
    table = [compared(row, medians) for row in ROWS if ("new", row.figure) in medians]
    if table:
        show(table)
    contests = {}
    brokers = (options.amqp, options.redis, options.redis, options.amqp)
    for contest, url in zip(
        (amqp_run.CONTEST, redis_run.CONTEST, *celery_run.CONTESTS), brokers, strict=True
    ):
        jobs = [CONTESTS[name][1] for name in chosen if name in CONTESTS and CONTESTS[name][0] is contest]
        try:
            if jobs:
                contests[contest.name] = clients_run.compare(contest, environments, jobs, options.rounds, url)
        except Missing as exc:
            print(f"\nleft out, because {exc}: {' '.join(f'{contest.name}_{job}' for job in jobs)}")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\nmedians of {options.rounds} processes each; load average {load} on {os.cpu_count()} CPUs")
    if options.json:
        Path(options.json).write_text(
            json.dumps({"rows": table, "samples": nested(samples), **contests}, indent=1)
        )
    for side in ("old", "new") if options.pyperf else ():
        suite(samples, side).dump(f"{options.pyperf}-{side}.json", replace=True)
    goals = [(row["title"], row["goal"], row["met"]) for row in table if row["met"] is not None]
    for name, found in contests.items():
        goals += [(f"{name}: {row['job']}", row["goal"], row["met"]) for row in found["goals"]]
    missed = [f"  {title}: {wanted}" for title, wanted, met in goals if not met]
    print("\n".join([f"goals: {len(goals) - len(missed)} met, {len(missed)} not met", *missed]))
    return int(options.strict and bool(missed))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="This tree against Kombu 5.7, in one run."
    )
    parser.add_argument(
        "scenario",
        nargs="*",
        help="which, or the word that several begin with, such as redis; "
        f"default: all of {' '.join([*SCENARIOS, *CONTESTS])}",
    )
    parser.add_argument("--rounds", type=int, default=7, help="processes for each side and scenario (7)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed")
    parser.add_argument("--json", metavar="FILE", help="write the table and all samples there")
    parser.add_argument(
        "--pyperf", metavar="PREFIX", help="write PREFIX-old.json and PREFIX-new.json for pyperf"
    )
    parser.add_argument("--old", default=sys.executable, help="interpreter that has kombu 5.7")
    parser.add_argument("--new", default=sys.executable, help="interpreter that has this tree")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the other clients")
    parser.add_argument("--amqp", metavar="URL", help="a broker to measure with; default: a private RabbitMQ")
    parser.add_argument(
        "--redis", metavar="URL", help="a server to measure with, which is emptied; default: a private one"
    )
    parser.add_argument(
        "--fauxqs", type=Path, default=Path(".bench/fauxqs"), help="where fauxqs is installed"
    )
    options = parser.parse_args()
    known = [*SCENARIOS, *CONTESTS]
    chosen: dict[str, None] = {}
    for word in options.scenario:
        found = [name for name in known if name == word or name.startswith(f"{word}_")]
        if not found:
            parser.error(f"no scenario {word}: there are {' '.join(known)}")
        chosen.update(dict.fromkeys(found))
    options.scenario = [*chosen]
    return options


def measure(environments: dict[str, str], scenarios: list[str], rounds: int) -> Samples:
    """Run every scenario ``rounds`` times on each side, in turns."""
    samples: Samples = defaultdict(list)
    for scenario in scenarios:
        for turn in range(rounds):
            if sys.stderr.isatty():
                print(f"\r{scenario} {turn + 1}/{rounds}".ljust(40), end="", file=sys.stderr, flush=True)
            for side in ("old", "new", "floor"):
                role = "floor" if side == "floor" else "kombu"
                for name, value in json.loads(
                    spawn(environments[side], f"scenarios/{scenario}.py", role)
                ).items():
                    samples[side, f"{scenario}.{name}"].append(float(value))
    return samples


def compared(row: Row, medians: dict[tuple[str, str], float]) -> dict[str, object]:
    """The row's figures and ratios, and whether the goal is met (None: it has none)."""
    new = medians["new", row.figure]
    old = medians["new", row.instead] if row.instead else medians["old", row.figure]
    floor = medians.get(("floor", row.figure))
    times_less = old / new if new else None
    of_floor = floor / new if floor and new else None
    checks = [
        found >= wanted
        for found, wanted in ((times_less, row.times_less), (of_floor, row.of_floor))
        if found is not None and wanted is not None
    ]
    if row.at_most is not None:
        checks.append(new <= row.at_most)
    return {
        "title": row.title,
        "unit": row.unit,
        "old": old,
        "new": new,
        "floor": floor,
        "times_less": times_less,
        "of_floor": of_floor,
        "goal": goal(row),
        "met": all(checks) if checks else None,
    }


def goal(row: Row) -> str:
    """The row's goal in words of the table."""
    words = []
    if row.times_less is not None:
        words.append(f"≥ {row.times_less:.3g}x")
    if row.of_floor is not None:
        words.append(f"≥ {row.of_floor:.0%} of floor")
    if row.at_most is not None:
        words.append(f"≤ {text(row.at_most, row.unit)}")
    return ", ".join(words)


def text(value: object, unit: str) -> str:
    """A figure for a reader; empty for None."""
    if not isinstance(value, float | int):
        return ""
    if unit == "byte":
        return f"{value / 1e6:.0f} MB"
    if unit == "integer":
        return f"{value:.0f}"
    for size, name in ((1, "s"), (1e-3, "ms")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value / 1e-6:.3g} µs"


def show(table: list[dict[str, object]]) -> None:
    """Print the table as Markdown."""
    heads = ("", "kombu 5.7", "this tree", "ratio", "floor", "of floor", "goal", "met")
    lines = [
        (
            str(row["title"]),
            *(text(row[side], str(row["unit"])) for side in ("old", "new")),
            "" if row["times_less"] is None else f"{row['times_less']:.3g}x",
            text(row["floor"], str(row["unit"])),
            "" if row["of_floor"] is None else f"{row['of_floor']:.0%}",
            str(row["goal"]),
            {None: "", True: "yes", False: "NO"}[row["met"]],  # type: ignore[index]
        )
        for row in table
    ]
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]
    print()
    for line in (heads, ["-" * width for width in widths], *lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")


def nested(samples: Samples) -> dict[str, dict[str, list[float]]]:
    """The samples by side, then by figure."""
    sides: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for (side, figure), values in samples.items():
        sides[side][figure] = values
    return sides


def suite(samples: Samples, side: str) -> pyperf.BenchmarkSuite:
    """The rows of one side, for ``pyperf compare_to`` and ``pyperf stats``."""
    units = {row.figure: row.unit for row in ROWS if row.unit != "integer"}
    return pyperf.BenchmarkSuite(
        [
            pyperf.Benchmark(
                [pyperf.Run([value], metadata={"name": figure, "unit": units[figure]}) for value in values]
            )
            for (measured, figure), values in samples.items()
            if measured == side and figure in units
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
