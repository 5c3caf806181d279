"""Small work on text."""

from __future__ import annotations

import re
from collections import namedtuple
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("escape_regex", "fmatch_best", "fmatch_iter", "version_info_t", "version_string_as_tuple")

version_info_t = namedtuple("version_info_t", ("major", "minor", "micro", "releaselevel", "serial"))


def escape_regex(p: str, white: str = "") -> str:
    """``p`` so that a regular expression matches it literally; characters in ``white`` stay as they are."""
    return "".join(c if c in white or c.isalnum() or c == "_" else re.escape(c) for c in p)


def fmatch_iter(needle: str, haystack: Iterable[str], min_ratio: float = 0.6) -> Iterator[tuple[float, str]]:
    """Pairs (likeness 0..1, word) for the words of ``haystack`` that are at least ``min_ratio`` like ``needle``."""
    from difflib import SequenceMatcher

    for key in haystack:
        ratio = SequenceMatcher(None, needle, key).ratio()
        if ratio >= min_ratio:
            yield ratio, key


def fmatch_best(needle: str, haystack: Iterable[str], min_ratio: float = 0.6) -> str | None:
    """The word most like ``needle``, or None when no word is at least ``min_ratio`` like it."""
    best = max(fmatch_iter(needle, haystack, min_ratio), default=None, key=lambda pair: pair[0])
    return best[1] if best is not None else None


def version_string_as_tuple(s: str) -> version_info_t:
    """``"1.2.3rc1"`` as (major, minor, micro, releaselevel, serial).

    Raises:
        ValueError: major, minor or micro is not a number.
    """
    parts = s.split(".")
    micro, level, serial = "0", "", ""
    if len(parts) > 2:
        match = re.match(r"\d+", parts[2])
        if match is None:
            raise ValueError(f"version {s!r}: {parts[2]!r} does not start with a number")
        micro, level = match.group(), parts[2][match.end() :]
        if len(parts) > 3:
            level = level or parts[3]
        if level.startswith("-"):
            level, serial = "", level[1:]
        if len(parts) > 4:
            serial = parts[4]
    return version_info_t(int(parts[0]), int(parts[1]) if len(parts) > 1 else 0, int(micro), level, serial)
