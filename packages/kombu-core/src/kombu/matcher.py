"""Does a name match a pattern? The registry of ways to say so.

``glob`` (the default) and ``pcre`` (Python's :mod:`re`) are built in; distributions add others by the entry-point group
``kombu.matchers``, whose entries name a function ``(data, pattern, **kwargs) -> bool``.
"""

from __future__ import annotations

from fnmatch import fnmatch
from re import match as rematch
from typing import TYPE_CHECKING, Any

from kombu._plugins import EntryPoints, PluginNotFound
from kombu.exceptions import KombuError
from kombu.utils.encoding import bytes_to_str

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "MatcherNotInstalled",
    "MatcherRegistry",
    "match",
    "register",
    "register_glob",
    "register_pcre",
    "registry",
    "unregister",
)


class MatcherNotInstalled(KombuError):
    """No matcher of that name is registered or installed."""


class MatcherRegistry:
    """Matching functions by name; :data:`registry` is the one everybody uses."""

    MatcherNotInstalled = MatcherNotInstalled

    #: Matchers called as (pattern, data); all others are called as (data, pattern).
    matcher_pattern_first = ["pcre"]

    def __init__(self) -> None:
        self._matchers: dict[str, Callable[..., Any]] = {}
        self._default_matcher: Callable[..., Any] | None = None
        self._default_pattern_first = False
        self._plugins: EntryPoints | None = None

    def register(self, name: str, matcher: Callable[..., Any]) -> None:
        """Add the matcher ``name``, or replace it."""
        self._matchers[name] = matcher

    def unregister(self, name: str) -> None:
        """Take a matcher out; MatcherNotInstalled when there is none."""
        if self._matchers.pop(name, None) is None:
            raise self._missing(name)

    def _set_default_matcher(self, name: str) -> None:
        """Match with ``name`` when the caller names no matcher; MatcherNotInstalled when there is none."""
        self._default_matcher = self._find(name)
        self._default_pattern_first = name in self.matcher_pattern_first

    def match(
        self,
        data: Any,
        pattern: Any,
        matcher: str | None = None,
        matcher_kwargs: dict[str, Any] | None = None,
    ) -> bool:
        """Does ``data`` match ``pattern``? Both are text, or UTF-8 bytes.

        ``matcher`` names the way (``glob`` when not given), which gets ``matcher_kwargs``.

        Raises:
            MatcherNotInstalled: no such matcher.
        """
        if matcher:
            function: Any = self._matchers.get(matcher) or self._find(matcher)
            pattern_first = matcher in self.matcher_pattern_first
        else:
            function = self._default_matcher
            pattern_first = self._default_pattern_first
        data, pattern = bytes_to_str(data), bytes_to_str(pattern)
        first, second = (pattern, data) if pattern_first else (data, pattern)
        return bool(function(first, second, **(matcher_kwargs or {})))

    def _find(self, name: str) -> Callable[..., Any]:
        found = self._matchers.get(name)
        if found is None and self._plugins is not None:
            try:
                found = self._plugins.load(name)
            except PluginNotFound:
                raise self._missing(name) from None
            self._matchers[name] = found
        if found is None:
            raise self._missing(name)
        return found

    def _missing(self, name: str) -> KombuError:
        return self.MatcherNotInstalled(
            f"No matcher installed for {name}; installed: {', '.join(sorted(self._matchers))}"
        )


#: The matchers of this process.
registry = MatcherRegistry()
match = registry.match
register = registry.register
unregister = registry.unregister


def register_glob() -> None:
    """Register ``glob``: shell wildcards, as :func:`fnmatch.fnmatch`."""
    registry.register("glob", fnmatch)


def register_pcre() -> None:
    """Register ``pcre``: a regular expression matched at the start, as :func:`re.match`."""
    registry.register("pcre", rematch)


register_glob()
register_pcre()
registry._set_default_matcher("glob")
registry._plugins = EntryPoints("kombu.matchers")
