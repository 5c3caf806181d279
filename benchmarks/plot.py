"""Line charts as SVG, written by hand: a grid of panels, logarithmic upwards, one line for each side."""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ("Panel", "write_svg")

WIDTH, HEIGHT, LEFT, TOP, GAP = 250, 190, 46, 40, 22
COLOURS = ("#b3541e", "#1f5fa8", "#2c8a4b")


class Panel(NamedTuple):
    """One chart: values above what they are for, by the name of the line."""

    title: str
    at: Sequence[int]
    lines: Mapping[str, Sequence[float]]


def write_svg(path: Path, rows: Sequence[Sequence[Panel]]) -> None:
    """Write the panels, and below them what each colour is."""
    names = list(dict.fromkeys(name for row in rows for panel in row for name in panel.lines))
    width = max(map(len, rows)) * (WIDTH + GAP) + GAP
    height = len(rows) * (HEIGHT + GAP) + GAP + 26
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for down, row in enumerate(rows):
        for right, panel in enumerate(row):
            out.append(
                f'<g transform="translate({GAP + right * (WIDTH + GAP)},{GAP + down * (HEIGHT + GAP)})">'
            )
            out += _panel(panel, [COLOURS[names.index(name)] for name in panel.lines])
            out.append("</g>")
    for number, name in enumerate(names):
        x, y = GAP + number * 200, height - 18
        out.append(
            f'<line x1="{x}" y1="{y}" x2="{x + 24}" y2="{y}" stroke="{COLOURS[number]}" stroke-width="2"/>'
        )
        out.append(f'<text x="{x + 30}" y="{y + 4}">{escape(name)}</text>')
    path.write_text("\n".join([*out, "</svg>", ""]), encoding="utf-8")


def _panel(panel: Panel, colours: Sequence[str]) -> list[str]:
    values = [max(value, 0.01) for line in panel.lines.values() for value in line]
    low, high = floor(log10(min(values))), ceil(log10(max(values) * 1.05))
    high = max(high, low + 1)
    bottom = HEIGHT - 24

    def y(value: float) -> float:
        return bottom - (log10(max(value, 0.01)) - low) / (high - low) * (bottom - TOP)

    def x(place: int) -> float:
        return LEFT + 14 + place * (WIDTH - LEFT - 48) / max(1, len(panel.at) - 1)

    out = [f'<text x="0" y="14" font-weight="bold">{escape(panel.title)}</text>']
    for power in range(low, high + 1):
        at = y(10.0**power)
        out.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH}" y2="{at:.1f}" stroke="#dddddd"/>')
        out.append(
            f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end" fill="#555555">{10.0**power:g}</text>'
        )
    for place, number in enumerate(panel.at):
        out.append(
            f'<text x="{x(place):.1f}" y="{HEIGHT - 6}" text-anchor="middle" fill="#555555">{number}</text>'
        )
    for line, colour in zip(panel.lines.values(), colours, strict=True):
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in enumerate(line))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for place, value in enumerate(line):
            out.append(f'<circle cx="{x(place):.1f}" cy="{y(value):.1f}" r="2.5" fill="{colour}"/>')
        out.append(
            f'<text x="{x(len(line) - 1) + 6:.1f}" y="{y(line[-1]) + 4:.1f}" fill="{colour}">{line[-1]:.3g}</text>'
        )
    return out
