"""Text and bytes, and text that is always safe to print."""

from __future__ import annotations

import sys
from typing import Any, TypeVar, overload

__all__ = (
    "bytes_to_str",
    "default_encode",
    "default_encoding",
    "ensure_bytes",
    "from_utf8",
    "get_default_encoding_file",
    "safe_repr",
    "safe_str",
    "set_default_encoding_file",
    "str_to_bytes",
)

T = TypeVar("T")

#: The stream whose encoding :func:`default_encoding` reports when no other is given.
default_encoding_file: Any = None


def set_default_encoding_file(file: Any) -> None:
    """Take the default encoding from ``file.encoding`` from now on; None goes back to the system's."""
    global default_encoding_file
    default_encoding_file = file


def get_default_encoding_file() -> Any:
    """The stream that :func:`set_default_encoding_file` named, or None."""
    return default_encoding_file


def default_encoding(file: Any = None) -> str:
    """Name of the encoding to print with: that of ``file``, of the default file, or of the file system."""
    file = file or default_encoding_file
    return getattr(file, "encoding", None) or sys.getfilesystemencoding()


@overload
def str_to_bytes(s: str) -> bytes: ...
@overload
def str_to_bytes(s: T) -> T: ...
def str_to_bytes(s: Any) -> Any:
    """``str`` as UTF-8; anything else comes back as it is."""
    return s.encode() if isinstance(s, str) else s


@overload
def bytes_to_str(s: bytes) -> str: ...
@overload
def bytes_to_str(s: T) -> T: ...
def bytes_to_str(s: Any) -> Any:
    """``bytes`` read as UTF-8, with U+FFFD where they are not; anything else comes back as it is."""
    return s.decode("utf-8", "replace") if isinstance(s, bytes) else s


def ensure_bytes(s: Any) -> Any:
    """``str`` as UTF-8; anything else (bytes, bytearray, None ...) comes back as it is."""
    return s.encode() if isinstance(s, str) else s


def from_utf8(s: Any, *args: Any, **kwargs: Any) -> Any:
    """Historic name: text is text already, ``s`` comes back as it is."""
    return s


def default_encode(obj: Any) -> Any:
    """Historic name: text needs no encoding, ``obj`` comes back as it is."""
    return obj


def safe_str(s: Any, errors: str = "replace") -> str:
    """Text of ``s`` that never raises: bytes are decoded with ``errors``, other objects are shown by ``repr``."""
    if isinstance(s, bytes):
        return s.decode(default_encoding(), errors)
    if isinstance(s, str):
        try:
            return str(s)
        except Exception as exc:
            return _unrepresentable(s, exc)
    return safe_repr(s, errors)


def safe_repr(o: Any, errors: str = "replace") -> str:
    """``repr(o)``, or a note that names the type and the error when ``__repr__`` raises."""
    try:
        return repr(o)
    except Exception as exc:
        return _unrepresentable(o, exc)


def _unrepresentable(o: object, exc: Exception) -> str:
    try:
        return f"<Unrepresentable {type(o)!r}: {exc!r}>"
    except Exception:
        return f"<Unrepresentable {type(o)!r}: {type(exc).__name__}>"
