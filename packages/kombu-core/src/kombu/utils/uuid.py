"""Unique ids, made without importing :mod:`uuid`."""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("uuid",)

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid(_uuid: Callable[[], object] | None = None) -> str:
    """A new random id: the 36 characters of a version 4 UUID (RFC 4122 section 4.4).

    The bits come from the operating system, so two processes never share them, not even after a fork.
    ``_uuid`` makes the id instead, when given: its result as ``str``.
    """
    if _uuid is not None:
        return str(_uuid())
    h = urandom(16).hex()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}"
