"""Attributes that are computed once."""

from __future__ import annotations

from functools import cached_property as _cached_property
from typing import Any

__all__ = ("cached_property",)

_NOT_FOUND = object()


class cached_property(_cached_property):  # type: ignore[type-arg]  # noqa: N801 - used as a decorator
    """A property whose getter runs on first access and whose value then lives in the instance's ``__dict__``.

    ``@name.setter`` prepares a value that is assigned: what it returns is kept. ``@name.deleter`` is told the
    kept value on ``del``; deleting what was never computed does nothing.

    No lock is held while the getter runs: should two threads come first at the same time, the getter runs
    twice and both get the value of whoever was first to finish.
    """

    def __init__(self, fget: Any = None, fset: Any = None, fdel: Any = None) -> None:
        super().__init__(fget)
        self._set = fset
        self._del = fdel
        if fget is not None:
            # Made by .setter or .deleter, the descriptor knows its name before the class body is done.
            self.attrname = fget.__name__ if hasattr(fget, "__name__") else None

    def __set_name__(self, owner: type, name: str) -> None:
        self.attrname = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        cache = instance.__dict__
        value = cache.get(self.attrname, _NOT_FOUND)
        if value is _NOT_FOUND:
            value = cache.setdefault(self.attrname, self.func(instance))
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        if instance is None:
            return
        if self._set is not None:
            value = self._set(instance, value)
        instance.__dict__[self.attrname] = value

    def __delete__(self, instance: Any) -> None:
        value = instance.__dict__.pop(self.attrname, _NOT_FOUND)
        if self._del is not None and value is not _NOT_FOUND:
            self._del(instance, value)

    def setter(self, fset: Any) -> cached_property:
        """A copy that passes assigned values through ``fset(instance, value)``."""
        return self.__class__(self.func, fset, self._del)

    def deleter(self, fdel: Any) -> cached_property:
        """A copy that calls ``fdel(instance, value)`` when the value is dropped."""
        return self.__class__(self.func, self._set, fdel)
