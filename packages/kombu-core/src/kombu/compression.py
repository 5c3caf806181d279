"""Bodies made smaller: gzip, bzip2, lzma, brotli and zstd.

A method has a content type (``application/x-gzip``), which travels in the message's ``compression`` header, and
aliases (``gzip``). The wire formats are those of kombu 5: what is called gzip is a zlib stream (RFC 1950).

What arrives is not trusted: decompressing stops at a limit, whatever the body claims, and raises DecodeError. The
limit is :func:`set_max_decompressed_size` (64 MiB), and for a body that grows more than a thousandfold
(:func:`set_max_ratio`) it is 8 MiB or that multiple of its size, whichever is more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.exceptions import DecodeError, KombuError
from kombu.utils.encoding import ensure_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = (
    "CompressionNotInstalled",
    "compress",
    "decompress",
    "encoders",
    "get_decoder",
    "get_encoder",
    "register",
    "set_max_decompressed_size",
    "set_max_ratio",
)

MIB = 1024 * 1024
#: A body may always grow to this size, however small it was: a few MB of zeros are no attack.
RATIO_FREE = 8 * MIB
#: What the decoder of an lzma body may use for its dictionary; the highest preset needs 65 MiB.
LZMA_MEMORY = 128 * MIB

#: The window that any decoder of zstd has to support (RFC 8878 section 3.1.1.1.2).
ZSTD_WINDOW = 8 * MIB

_aliases: dict[str, str] = {}
_encoders: dict[str, Callable[[bytes], bytes]] = {}
_decoders: dict[str, Callable[[bytes], bytes]] = {}
_libraries: dict[str, str] = {}  # content type -> module that it needs and that may be missing
_limits = {"size": 64 * MIB, "ratio": 1000}


class CompressionNotInstalled(KombuError, KeyError):
    """No such compression method is registered, or its library is missing; the message says what to install."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def set_max_decompressed_size(size: int) -> int:
    """Let bodies decompress to at most ``size`` bytes, in this process, from now on. Returns the limit before."""
    return _set_limit("size", size)


def set_max_ratio(ratio: int) -> int:
    """Let bodies above 8 MiB be at most ``ratio`` times their compressed size. Returns the ratio before."""
    return _set_limit("ratio", ratio)


def _set_limit(name: str, value: int) -> int:
    if value <= 0:
        raise ValueError(f"the limit must be above zero, not {value!r}")
    before, _limits[name] = _limits[name], value
    return before


def _limit_for(body: Any) -> int:
    return min(_limits["size"], max(RATIO_FREE, len(body) * _limits["ratio"]))


def register(
    encoder: Callable[[bytes], bytes],
    decoder: Callable[[bytes], bytes],
    content_type: str,
    aliases: Iterable[str] | None = None,
) -> None:
    """Add a method, or replace it.

    Args:
        encoder: bytes -> smaller bytes.
        decoder: the way back. :func:`decompress` refuses results above the limit, but a decoder of a stranger
            should not make them in the first place.
        content_type: the type that its messages carry.
        aliases: other names to call it by.
    """
    _encoders[content_type] = encoder
    _decoders[content_type] = decoder
    _aliases.update((alias, content_type) for alias in aliases or ())


def encoders() -> list[str]:
    """Content types of the methods that work here: registered, and their library installed."""
    from importlib.util import find_spec

    return [t for t in _encoders if t not in _libraries or find_spec(_libraries[t]) is not None]


def get_encoder(t: str) -> tuple[Callable[[bytes], bytes], str]:
    """The function that compresses and its content type, by alias or content type.

    Raises:
        CompressionNotInstalled: no such method.
    """
    content_type = _aliases.get(t, t)
    try:
        return _encoders[content_type], content_type
    except KeyError:
        raise _missing(t) from None


def get_decoder(t: str) -> Callable[[bytes], bytes]:
    """The function that decompresses, by alias or content type.

    Raises:
        CompressionNotInstalled: no such method.
    """
    try:
        return _decoders[_aliases.get(t, t)]
    except KeyError:
        raise _missing(t) from None


def _missing(t: str) -> CompressionNotInstalled:
    known = ", ".join(sorted({*_aliases, *_encoders}))
    return CompressionNotInstalled(f"no compression method {t!r}; known: {known}")


def compress(body: str | bytes, content_type: str) -> tuple[bytes, str]:
    """``body`` (text as UTF-8) compressed by a method (alias or content type): (bytes, content type).

    Raises:
        CompressionNotInstalled: no such method, or its library is missing.
    """
    encoder, content_type = get_encoder(content_type)
    return encoder(ensure_bytes(body)), content_type


def decompress(body: bytes, content_type: str) -> bytes:
    """The original of a compressed ``body``, by alias or content type of the method.

    Raises:
        DecodeError: it is above the limits, damaged, cut short or has something after its end, or there is no such
            method here; chained.
    """
    try:
        data = get_decoder(content_type)(body)
    except DecodeError:
        raise
    except Exception as exc:
        raise DecodeError(f"cannot decompress {content_type}: {exc}") from exc
    if len(data) > _limits["size"]:
        raise _too_large(_limits["size"])
    return data


def _too_large(limit: int) -> DecodeError:
    return DecodeError(
        f"the body decompresses to more than {limit} bytes; "
        "kombu.compression.set_max_decompressed_size and set_max_ratio set the limits"
    )


def _drain(decompressor: Any, body: bytes) -> bytes:
    """All that ``decompressor`` (as in bz2, lzma, zlib) makes of ``body``, which must be one whole stream."""
    limit = _limit_for(body)
    data: bytes = decompressor.decompress(body, limit + 1)
    if len(data) > limit:
        raise _too_large(limit)
    if not decompressor.eof:
        raise DecodeError("the compressed body ends too early")
    if decompressor.unused_data:
        raise DecodeError(f"{len(decompressor.unused_data)} bytes follow the end of the compressed body")
    return data


def _library(module: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as exc:
        raise CompressionNotInstalled(
            f"compression {extra!r} needs the module {module!r}: pip install kombu-core[{extra}]"
        ) from exc


def _zlib_compress(body: bytes) -> bytes:
    from zlib import compress as zlib_compress

    return zlib_compress(body)


def _zlib_decompress(body: bytes) -> bytes:
    from zlib import decompressobj

    # 47: the largest window, and a gzip header (RFC 1952) is understood as well as a zlib one.
    return _drain(decompressobj(47), body)


def _bz2_compress(body: bytes) -> bytes:
    from bz2 import compress as bz2_compress

    return bz2_compress(body)


def _bz2_decompress(body: bytes) -> bytes:
    from bz2 import BZ2Decompressor

    return _drain(BZ2Decompressor(), body)


def _lzma_compress(body: bytes) -> bytes:
    from lzma import compress as lzma_compress

    return lzma_compress(body)


def _lzma_decompress(body: bytes) -> bytes:
    from lzma import LZMADecompressor

    return _drain(LZMADecompressor(memlimit=LZMA_MEMORY), body)


def _brotli_compress(body: bytes) -> bytes:
    compressed: bytes = _library("brotli", "brotli").compress(body)
    return compressed


def _brotli_decompress(body: bytes) -> bytes:
    decompressor = _library("brotli", "brotli").Decompressor()
    limit = _limit_for(body)
    chunks, size, feed = [], 0, body
    while not decompressor.is_finished():
        try:
            chunk = decompressor.process(feed, output_buffer_limit=limit + 1 - size)
        except TypeError as exc:
            raise DecodeError(
                "this brotli cannot limit what it decompresses: pip install --upgrade 'brotli>=1.2'"
            ) from exc
        feed = b""
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if not chunk and not decompressor.is_finished():
            raise DecodeError("the compressed body ends too early")
    return b"".join(chunks)


def _zstd_compress(body: bytes) -> bytes:
    compressed: bytes = _library("zstandard", "zstd").ZstdCompressor().compress(body)
    return compressed


def _zstd_decompress(body: bytes) -> bytes:
    zstandard = _library("zstandard", "zstd")
    limit = _limit_for(body)
    size = zstandard.frame_content_size(body)
    if size > limit:
        raise _too_large(limit)
    decompressor = zstandard.ZstdDecompressor(max_window_size=max(limit, ZSTD_WINDOW))
    if size == 0:
        # The library does not look into a frame that says it is empty: whether that is all there is, we check.
        frame = decompressor.decompressobj()
        if len(body) > 64 or frame.decompress(body) or not frame.eof or frame.unused_data:
            raise DecodeError("the compressed body is damaged")
        return b""
    if size < 0:
        # The frame does not say how large it is: see how far a bounded read comes, then make room for just that.
        with decompressor.stream_reader(body, read_across_frames=False) as reader:
            size = len(reader.read(limit + 1))
        if size > limit:
            raise _too_large(limit)
    data: bytes = decompressor.decompress(body, max_output_size=max(size, 1), allow_extra_data=False)
    return data


register(_zlib_compress, _zlib_decompress, "application/x-gzip", ["gzip", "zlib"])
register(_bz2_compress, _bz2_decompress, "application/x-bz2", ["bzip2", "bzip"])
register(_brotli_compress, _brotli_decompress, "application/x-brotli", ["brotli"])
register(_lzma_compress, _lzma_decompress, "application/x-lzma", ["lzma", "xz"])
register(_zstd_compress, _zstd_decompress, "application/zstd", ["zstd", "zstandard"])
_libraries.update({"application/x-brotli": "brotli", "application/zstd": "zstandard"})
