"""Getting hold of an object by its dotted name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("symbol_by_name",)


def symbol_by_name(
    name: Any,
    aliases: Mapping[str, Any] | None = None,
    imp: Callable[..., Any] | None = None,
    package: str | None = None,
    sep: str = ".",
    default: Any = None,
    **kwargs: Any,
) -> Any:
    """The object called ``name``: ``package.module.Object`` or ``package.module:Object``, or a module alone.

    ``aliases`` maps short names to full ones (or to the object itself). A ``name`` that is not a string is
    returned as it is. A name that starts with a dot is relative to ``package``. ``imp`` imports the module
    (``importlib.import_module``) and gets ``kwargs``.

    Raises:
        ImportError, AttributeError: nothing there, and ``default`` is None (otherwise that is returned).
        ValueError: importing the module raised ValueError; chained.
    """
    if not isinstance(name, str):
        return name
    target = (aliases or {}).get(name, name)
    if not isinstance(target, str):
        return target
    sep = ":" if ":" in target else sep
    module_name, _, attribute = target.rpartition(sep)
    if not module_name:
        module_name, attribute = (package, attribute) if package else (attribute, "")
    load = import_module if imp is None else imp
    try:
        try:
            module = load(module_name, package=package, **kwargs)
        except ValueError as exc:
            raise ValueError(f"cannot import {target!r}: {exc}") from exc
        return getattr(module, attribute) if attribute else module
    except (ImportError, AttributeError):
        if default is None:
            raise
        return default
