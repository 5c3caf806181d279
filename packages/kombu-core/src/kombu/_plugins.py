"""Plugins: what was registered in code first, then what installed distributions declare as entry points.

The metadata of installed distributions is read on the first miss, never at import, and a plugin's module is only
imported when the plugin is asked for. One :class:`EntryPoints` is kept per group (``kombu.transports``,
``kombu.serializers``, ``kombu.matchers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import KombuError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("EntryPoints", "PluginConflict", "PluginError", "PluginNotFound", "entry_points")


class PluginError(KombuError):
    """A plugin is installed and cannot be used; ``__cause__`` is what its import raised."""


class PluginConflict(PluginError):
    """Several distributions provide a plugin of the same name."""


class PluginNotFound(KombuError, KeyError):
    """No plugin of that name is registered or installed."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def entry_points(group: str) -> Iterable[Any]:
    """The entry points that installed distributions declare in ``group``."""
    try:
        import importlib_metadata as metadata
    except ImportError:
        # Someone runs us from a copied tree without our dependency: the standard library has the same interface.
        from importlib import metadata  # type: ignore[no-redef]
    return metadata.entry_points(group=group)


class EntryPoints:
    """The plugins of one entry-point group, found when first asked for.

    Args:
        group: name of the group, such as ``kombu.transports``.
    """

    __slots__ = ("_found", "_registered", "group")

    def __init__(self, group: str) -> None:
        self.group = group
        self._registered: dict[str, Any] = {}
        self._found: dict[str, list[Any]] | None = None

    def register(self, name: str, plugin: Any) -> None:
        """Make ``name`` mean ``plugin`` (the object itself) in this process, whatever is installed."""
        self._registered[name] = plugin

    def unregister(self, name: str) -> None:
        """Undo :meth:`register`; PluginNotFound when nothing was registered under ``name``."""
        if self._registered.pop(name, self) is self:
            raise PluginNotFound(f"{name!r} is not registered in {self.group}")

    def reset(self) -> None:
        """Forget what was registered and found; installed metadata is read again when next needed."""
        self._registered.clear()
        self._found = None

    def names(self) -> list[str]:
        """Every name that :meth:`load` knows, sorted."""
        return sorted({*self._registered, *self._installed()})

    def __contains__(self, name: object) -> bool:
        return name in self._registered or name in self._installed()

    def distribution(self, name: str) -> str | None:
        """Name of the distribution that provides ``name``; several are joined by " and ".

        None when it is not installed metadata that provides it (registered in code, or not there at all).
        """
        if name in self._registered:
            return None
        return " and ".join(self._providers(name)) or None

    def load(self, name: str) -> Any:
        """The plugin called ``name``, imported now if need be.

        Raises:
            PluginNotFound: neither registered nor installed; the message has the near misses.
            PluginConflict: several distributions provide it; the message names them.
            PluginError: importing it failed; the message names plugin and distribution, the cause is chained.
        """
        if name in self._registered:
            return self._registered[name]
        found = self._installed().get(name)
        if not found:
            raise PluginNotFound(f"no plugin {name!r} in {self.group}{self._hint(name)}")
        if len(found) > 1:
            providers = " and ".join(self._providers(name))
            raise PluginConflict(
                f"{name!r} in {self.group} is provided by {providers}: uninstall all but one of these distributions"
            )
        entry = found[0]
        try:
            return entry.load()
        except Exception as exc:
            raise PluginError(
                f"plugin {name!r} of {self.group} ({entry.value}, distribution {_dist_name(entry)}) "
                f"cannot be imported: {type(exc).__name__}: {exc}"
            ) from exc

    def warn_of_ignored(self, built_in: Iterable[str], instead: str) -> None:
        """Say in the log which installed plugins are not used since they are named as something ``built_in`` is.

        Args:
            instead: the function that replaces what is built in.
        """
        for name in built_in:
            if name in self._installed():
                import logging

                logging.getLogger("kombu.plugins").warning(
                    "The entry point %r in %s of %s is ignored, since kombu has its own %r: call %s(%r, ...)"
                    " to replace that, or give the entry point another name",
                    name,
                    self.group,
                    self.distribution(name),
                    name,
                    instead,
                    name,
                )

    def near(self, name: str) -> list[str]:
        """Known names that look like ``name``, the likest first; at most three."""
        from difflib import get_close_matches

        return get_close_matches(name, self.names(), n=3, cutoff=0.6)

    def _hint(self, name: str) -> str:
        near = self.near(name)
        if near:
            return f"; did you mean {' or '.join(map(repr, near))}?"
        known = self.names()
        return f"; known: {', '.join(known)}" if known else "; none is installed"

    def _providers(self, name: str) -> list[str]:
        return sorted(_dist_name(entry) for entry in self._installed().get(name, ()))

    def _installed(self) -> dict[str, list[Any]]:
        found = self._found
        if found is None:
            found = {}
            # Of a distribution that is on the path twice, the metadata library only shows the first.
            for entry in entry_points(self.group):
                found.setdefault(entry.name, []).append(entry)
            self._found = found
        return found


def _dist_name(entry: Any) -> str:
    dist = getattr(entry, "dist", None)
    return str(dist.name) if dist is not None else "(unknown distribution)"
