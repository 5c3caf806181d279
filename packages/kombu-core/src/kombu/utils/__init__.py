"""Helpers that messaging code shares; :mod:`kombu.utils` hands out the popular ones, each loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The one name that a module of its own would hide: ``kombu.utils.uuid`` is the function, as it always was.
from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from kombu.utils.collections import EqualityDict
    from kombu.utils.compat import fileno, maybe_fileno, nested, register_after_fork
    from kombu.utils.div import emergency_dump_state
    from kombu.utils.functional import fxrange, fxrangemax, maybe_list, reprcall, reprkwargs, retry_over_time
    from kombu.utils.imports import symbol_by_name
    from kombu.utils.objects import cached_property

__all__ = (
    "EqualityDict",
    "cached_property",
    "emergency_dump_state",
    "fileno",
    "fxrange",
    "fxrangemax",
    "maybe_fileno",
    "maybe_list",
    "nested",
    "register_after_fork",
    "reprcall",
    "reprkwargs",
    "retry_over_time",
    "symbol_by_name",
    "uuid",
)

_HOMES = {
    "EqualityDict": "collections",
    "cached_property": "objects",
    "emergency_dump_state": "div",
    "fileno": "compat",
    "fxrange": "functional",
    "fxrangemax": "functional",
    "maybe_fileno": "compat",
    "maybe_list": "functional",
    "nested": "compat",
    "register_after_fork": "compat",
    "reprcall": "functional",
    "reprkwargs": "functional",
    "retry_over_time": "functional",
    "symbol_by_name": "imports",
}

# Submodules that ``import kombu.utils`` used to bring in: reachable as attributes without importing them first.
_MODULES = frozenset(
    (
        "amq_manager",
        "collections",
        "compat",
        "debug",
        "div",
        "encoding",
        "eventio",
        "functional",
        "imports",
        "json",
        "limits",
        "objects",
        "scheduling",
        "text",
        "time",
        "url",
    )
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
