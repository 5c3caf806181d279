"""The codecs behind the serializers: raw, and those whose libraries are imported when used (pickle, yaml, msgpack)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import SerializerNotInstalled
from kombu.utils.encoding import str_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "Yaml",
    "decode_text",
    "msgpack_dumps",
    "msgpack_loads",
    "pickle_dumps",
    "pickle_loads",
    "raw_bytes",
    "raw_encode",
    "unpickle",
)


def raw_encode(data: Any) -> tuple[str, str, Any]:
    """The serializer ``raw``: text as UTF-8, anything else untouched, as ``application/data``."""
    if isinstance(data, str):
        return "application/data", "utf-8", data.encode("utf-8")
    return "application/data", "binary", data


def raw_bytes(data: Any) -> Any:
    """What the serializer ``raw`` makes of bytes or text; TypeError of anything else."""
    if not isinstance(data, (str, bytes, bytearray, memoryview)):
        raise TypeError("the serializer 'raw' takes bytes or text")
    return str_to_bytes(data)


def decode_text(data: Any, encoding: str) -> str:
    """The text that ``data`` (bytes or buffer) is."""
    return bytes(data).decode(encoding) if not isinstance(data, bytes) else data.decode(encoding)


def pickle_loads(s: Any, load: Any = None) -> Any:
    """The object pickled in ``s`` (bytes or buffer)."""
    from io import BytesIO

    if load is None:
        from pickle import load
    return load(BytesIO(s))


def unpickle(s: Any) -> Any:
    """The object pickled in ``s`` (bytes, buffer or text)."""
    return pickle_loads(str_to_bytes(s))


def pickle_dumps(obj: Any, protocol: int) -> bytes:
    """``obj`` pickled."""
    from pickle import dumps

    return dumps(obj, protocol=protocol)


def _needs(module: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as exc:
        raise SerializerNotInstalled(
            f"serializer {extra!r} needs the module {module!r}: pip install kombu-core[{extra}]"
        ) from exc


class Yaml:
    """YAML's safe subset, through libyaml when PyYAML has it; loaded on first use."""

    def __init__(self) -> None:
        self._dump: Callable[[Any], str] | None = None
        self._load: Callable[[Any], Any] | None = None

    def _prepare(self) -> None:
        yaml = _needs("yaml", "yaml")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        self._load = lambda s: yaml.load(s, Loader=loader)
        self._dump = lambda o: yaml.dump(o, Dumper=dumper)

    def dumps(self, obj: Any) -> Any:
        if self._dump is None:
            self._prepare()
        return self._dump(obj)  # type: ignore[misc]

    def loads(self, s: Any) -> Any:
        if self._load is None:
            self._prepare()
        return self._load(bytes(s) if isinstance(s, (bytearray, memoryview)) else s)  # type: ignore[misc]


def msgpack_dumps(obj: Any) -> Any:
    return _needs("msgpack", "msgpack").packb(obj, use_bin_type=True)


def msgpack_loads(s: Any) -> Any:
    return _needs("msgpack", "msgpack").unpackb(s, raw=False)
