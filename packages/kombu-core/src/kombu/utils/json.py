"""JSON that keeps the types JSON has no word for.

A value of a registered type is written as ``{"__type__": marker, "__value__": ...}`` and read back as what it
was: datetime, date, time, Decimal, UUID and bytes out of the box, others by :func:`register_type`, and any object
with a ``__json__`` method as what that returns. The bytes on the wire are those of kombu 5.

Values that plain JSON knows take the C encoder and scanner of the standard library directly; the rest of the
machinery, and the modules of the types, are only loaded when such a value or marker is met.
"""

from __future__ import annotations

import json
import json.encoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("JSONEncoder", "dumps", "dumps_plain", "loads", "object_hook", "register_type")

_encoders: dict[type, tuple[str | None, Callable[[Any], Any]]] = {}
_decoders: dict[str, Callable[[Any], Any]] = {}
# Set with the default types, when the first value that is not plain JSON is met.
_UUID: Any = None
_b64encode: Any = None


def register_type(
    t: type,
    marker: str | None,
    encoder: Callable[[Any], Any],
    decoder: Callable[[Any], Any] | None = None,
) -> None:
    """Write instances of ``t`` (and of its subclasses) as ``encoder(o)`` under ``marker``, read by ``decoder(value)``.

    Without a marker the value is written bare and is not turned back. Without a decoder the value is read as it
    is. Registering a type or marker again replaces what was there.
    """
    _ensure_default_types()
    _encoders[t] = (marker, encoder)
    if marker is not None:
        _decoders[marker] = decoder if decoder is not None else _same


def _same(value: Any) -> Any:
    return value


def _ensure_default_types() -> None:
    if _decoders:
        return
    from base64 import b64decode, b64encode
    from datetime import date, datetime, time
    from decimal import Decimal
    from uuid import UUID

    global _UUID, _b64encode
    _UUID, _b64encode = UUID, b64encode
    _encoders[datetime] = ("datetime", datetime.isoformat)
    _encoders[date] = ("date", date.isoformat)
    _encoders[time] = ("time", time.isoformat)
    _encoders[Decimal] = ("decimal", str)
    _encoders[UUID] = ("uuid", lambda o: {"hex": o.hex})
    _decoders.update(
        bytes=lambda o: o.encode("utf-8"),
        base64=lambda o: b64decode(o.encode("utf-8")),
        datetime=datetime.fromisoformat,
        date=lambda o: datetime.fromisoformat(o).date(),
        time=time.fromisoformat,
        decimal=Decimal,
        uuid=lambda o: UUID(**o),
    )


def _encode_special(o: Any) -> Any:
    """What JSON should have instead of ``o``; TypeError when nobody knows."""
    method = getattr(o, "__json__", None)
    if method is not None:
        return method()
    _ensure_default_types()
    if isinstance(o, bytes):
        try:
            return {"__type__": "bytes", "__value__": o.decode("utf-8")}
        except UnicodeDecodeError:
            return {"__type__": "base64", "__value__": _b64encode(o).decode("ascii")}
    found = _encoders.get(type(o))
    if found is None:
        for t, candidate in _encoders.items():
            if isinstance(o, t):
                found = candidate
                break
        else:
            raise TypeError(
                f"Object of type {type(o).__name__} is not JSON serializable "
                "(kombu.utils.json.register_type teaches it, or a __json__ method on the class)"
            )
    marker, encoder = found
    value = encoder(o)
    return value if marker is None else {"__type__": marker, "__value__": value}


class JSONEncoder(json.JSONEncoder):
    """The standard encoder, with the marked types; for use as ``cls=`` and for subclassing."""

    def default(self, o: Any) -> Any:
        return _encode_special(o)


def object_hook(o: dict[str, Any]) -> Any:
    """A dict as read, or the object it stands for when it is a pair of ``__type__`` and ``__value__``.

    Raises:
        ValueError: nobody has registered that marker here.
    """
    if len(o) == 2 and "__type__" in o and "__value__" in o:
        _ensure_default_types()
        marker = o["__type__"]
        decode = _decoders.get(marker) if isinstance(marker, str) else None
        if decode is None:
            raise ValueError(
                f"JSON marker {marker!r} is not registered; known: {', '.join(sorted(_decoders))} "
                "(kombu.utils.json.register_type adds one)"
            )
        return decode(o["__value__"])
    return o


def _make_dump(default: Callable[[Any], Any]) -> Callable[[Any], str]:
    """A function ``value -> text`` with the settings of ``json.dumps``, made once instead of at each call."""
    slow = json.JSONEncoder(default=default).encode
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return slow
    # No markers: looking for cycles costs a third of the time. A cycle ends in a RecursionError instead, and the
    # slow encoder then says what it is.
    quote = json.encoder.encode_basestring_ascii
    encode = make(None, default, quote, None, ": ", ", ", False, False, True)
    join = "".join

    def dump(s: Any) -> str:
        try:
            return join(encode(s, 0))
        except RecursionError:
            return slow(s)

    return dump


_dump = _make_dump(_encode_special)
# The scanners behind json.loads: (text, start) -> (value, end), StopIteration where no value starts.
_plain_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_typed_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(object_hook=object_hook).scan_once  # type: ignore[attr-defined]
_our_hook = object_hook


def dumps(
    s: Any,
    _dumps: Callable[..., str] | None = None,
    cls: type[json.JSONEncoder] | None = None,
    default_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> str:
    """``s`` as JSON text. The keywords are those of ``json.dumps``, over ``default_kwargs``.

    Raises:
        TypeError: a value that JSON does not know and nobody registered, or a key that is no scalar.
        ValueError: ``s`` contains itself.
    """
    if kwargs or cls is not None or _dumps is not None or default_kwargs:
        return (_dumps or json.dumps)(s, cls=cls or JSONEncoder, **{**(default_kwargs or {}), **kwargs})
    return _dump(s)


def loads(
    s: str | bytes | bytearray | memoryview,
    _loads: Callable[..., Any] | None = None,
    decode_bytes: bool = True,
    object_hook: Callable[[dict[str, Any]], Any] | None = object_hook,
) -> Any:
    """The value of JSON text ``s`` (bytes must be UTF-8), marked types restored; ``object_hook=None`` keeps markers.

    With ``decode_bytes=False`` bytes may also be UTF-16 or UTF-32, as for ``json.loads``.
    """
    if isinstance(s, memoryview):
        s = s.tobytes().decode("utf-8")
    elif isinstance(s, (bytes, bytearray)) and decode_bytes:
        s = s.decode("utf-8")
    if _loads is not None or object_hook is not _our_hook or not isinstance(s, str):
        return (_loads or json.loads)(s, object_hook=object_hook)
    return _load(s)


def _load(s: Any) -> Any:
    """As :func:`loads` without its options: once for each message."""
    if not isinstance(s, str):
        if not isinstance(s, bytes):
            return loads(s)
        s = s.decode()
    # A marker can only be there when its name is, perhaps with a character of it escaped.
    # (Looking for one character is an order of magnitude faster than looking for a word.)
    typed = ("_" in s and "__type__" in s) or ("\\" in s and "\\u00" in s)
    try:
        value, end = (_typed_scan if typed else _plain_scan)(s, 0)
    except StopIteration:
        end = -1
    if end == len(s):
        return value
    # White space around the value, or an error: the whole decoder knows what to do and to say.
    return json.loads(s, object_hook=object_hook)


def _encode_plain(o: Any) -> Any:
    _ensure_default_types()
    special = _encode_special(o)
    if isinstance(special, dict) and len(special) == 2 and "__type__" in special and "__value__" in special:
        return str(o) if isinstance(o, _UUID) else special["__value__"]
    return special


_dump_plain = _make_dump(_encode_plain)


def dumps_plain(s: Any) -> str:
    """``s`` as JSON for readers that know nothing of markers.

    datetime, date and time as ISO 8601 text, Decimal and UUID as their text, bytes as UTF-8 text or, when they are
    not, base64 text; registered types as their encoder's value. Reading it gives those texts, not the types.
    """
    return _dump_plain(s)
