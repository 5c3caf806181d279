"""Mappings with keys of their own kind."""

from __future__ import annotations

from typing import Any

__all__ = ("EqualityDict", "HashedSeq", "eqhash")


class HashedSeq(list[Any]):
    """A sequence that can be a key: its hash is worked out once."""

    __slots__ = ("hashvalue",)

    def __init__(self, *seq: Any) -> None:
        super().__init__(seq)
        self.hashvalue = hash(seq)

    def __hash__(self) -> int:  # type: ignore[override]
        return self.hashvalue


def eqhash(o: Any) -> Any:
    """What ``o`` counts as: ``o.__eqhash__()`` when it has one, its hash when not."""
    try:
        method = o.__eqhash__
    except AttributeError:
        return hash(o)
    return method()


class EqualityDict(dict[Any, Any]):
    """A dict that takes two keys for the same when their :func:`eqhash` is the same."""

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(eqhash(key))
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(eqhash(key), value)

    def __delitem__(self, key: Any) -> None:
        try:
            super().__delitem__(eqhash(key))
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return super().__contains__(eqhash(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(eqhash(key), default)
