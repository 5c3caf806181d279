"""Compression: the way back, and what must not come back."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu import compression
from kombu.compression import (
    CompressionNotInstalled,
    compress,
    decompress,
    encoders,
    get_decoder,
    get_encoder,
    register,
    set_max_decompressed_size,
    set_max_ratio,
)
from kombu.exceptions import DecodeError

MIB = 1024 * 1024
NAMES = {
    "application/x-gzip": ["gzip", "zlib"],
    "application/x-bz2": ["bzip2", "bzip"],
    "application/x-brotli": ["brotli"],
    "application/x-lzma": ["lzma", "xz"],
    "application/zstd": ["zstd", "zstandard"],
}
methods = pytest.mark.parametrize("method", ["gzip", "bzip2", "lzma", "brotli", "zstd"])


@pytest.fixture(autouse=True)
def needs(request):
    method = getattr(request.node, "callspec", None) and request.node.callspec.params.get("method")
    if method in ("brotli", "zstd", "zstandard"):
        pytest.importorskip({"brotli": "brotli"}.get(method, "zstandard"))


@pytest.fixture
def limits():
    """The limits and methods as they were, afterwards."""
    kept = [
        dict(d)
        for d in (compression._limits, compression._encoders, compression._decoders, compression._aliases)
    ]
    yield
    now = (compression._limits, compression._encoders, compression._decoders, compression._aliases)
    for d, before in zip(now, kept, strict=True):
        d.clear()
        d.update(before)


class TestThereAndBack:
    @methods
    @given(body=st.binary())
    def test_any_body(self, method, body):
        compressed, content_type = compress(body, method)
        assert decompress(compressed, content_type) == body
        assert decompress(memoryview(compressed), method) == body

    @methods
    def test_text_is_utf8(self, method):
        compressed, content_type = compress("h\u00e9llo", method)
        assert decompress(compressed, content_type) == "h\u00e9llo".encode()

    @methods
    def test_a_large_body(self, method):
        body = b"".join(b"line %d\n" % i for i in range(60_000))
        assert decompress(*compress(body, method)) == body

    def test_content_types_and_aliases(self):
        for content_type, names in NAMES.items():
            for name in (*names, content_type):
                assert get_encoder(name)[1] == content_type
                assert get_decoder(name) is get_decoder(content_type)

    def test_encoders_lists_what_works_here(self):
        pytest.importorskip("brotli")
        pytest.importorskip("zstandard")
        assert encoders() == list(NAMES)

    def test_real_gzip_is_read_too(self):  # 5.7 reads zlib streams only
        assert decompress(gzip.compress(b"hello"), "gzip") == b"hello"

    def test_zstd_frames_that_do_not_tell_their_size(self):
        zstandard = pytest.importorskip("zstandard")
        # Given
        stream = zstandard.ZstdCompressor().compressobj()
        body = stream.compress(b"hello " * 1000) + stream.flush()
        assert zstandard.frame_content_size(body) < 0
        # Then
        assert decompress(body, "zstd") == b"hello " * 1000
        for broken in (body[:-1], body + b"x"):
            with pytest.raises(DecodeError):
                decompress(broken, "zstd")


class TestDamaged:
    @methods
    @pytest.mark.parametrize("size", [0, 10, 5000])
    def test_cut_short(self, method, size):
        compressed, content_type = compress(bytes(range(250)) * (size // 250) + b"x" * (size % 250), method)
        for end in {0, len(compressed) // 2, len(compressed) - 1}:
            with pytest.raises(DecodeError):
                decompress(compressed[:end], content_type)

    @methods
    def test_something_after_the_end(self, method):
        compressed, content_type = compress(b"hello" * 100, method)
        for tail in (b"x", b"\0\0\0\0", compressed):
            with pytest.raises(DecodeError):
                decompress(compressed + tail, content_type)

    @methods
    @given(body=st.binary(max_size=64))
    def test_junk(self, method, body):
        try:
            decompress(body, method)
        except DecodeError:
            pass

    @methods
    def test_the_cause_is_chained(self, method):
        with pytest.raises(DecodeError):
            decompress(b"\xffjunk junk junk junk", method)

    def test_an_unknown_method_is_named(self):
        with pytest.raises(CompressionNotInstalled, match="'nope'.*gzip"):
            compress(b"", "nope")
        with pytest.raises(KeyError):
            get_decoder("nope")
        with pytest.raises(DecodeError, match="'nope'"):
            decompress(b"", "nope")


def bomb(method: str, size: int) -> bytes:
    """``size`` zeros, compressed a little at a time."""
    zeros, chunks = bytes(MIB), size // MIB
    if method == "zstandard":  # the frame says how large it is
        return compress(bytes(size), method)[0]
    if method == "brotli":
        import brotli

        stream = brotli.Compressor(quality=1)
        return b"".join([stream.process(zeros) for _ in range(chunks)]) + stream.finish()
    if method == "zstd":
        import zstandard

        stream = zstandard.ZstdCompressor(level=1).compressobj()
    else:
        stream = {"gzip": zlib.compressobj, "bzip2": bz2.BZ2Compressor, "lzma": lzma.LZMACompressor}[method]()
    return b"".join([stream.compress(zeros) for _ in range(chunks)]) + stream.flush()


class TestLimits:
    @methods
    def test_at_the_limit_and_one_above(self, method, limits):
        set_max_decompressed_size(10_000)
        assert len(decompress(*compress(b"x" * 10_000, method))) == 10_000
        with pytest.raises(DecodeError, match="more than 10000 bytes"):
            decompress(*compress(b"x" * 10_001, method))

    @methods
    def test_a_few_megabytes_of_zeros_are_no_attack(self, method):
        assert decompress(*compress(bytes(8 * MIB), method)) == bytes(8 * MIB)

    @pytest.mark.parametrize("method", ["bzip2", "lzma", "brotli", "zstd", "zstandard"])
    def test_but_a_body_that_grows_more_than_a_thousandfold_is(self, method, limits):
        body = bomb(method, 12 * MIB)
        with pytest.raises(DecodeError, match="more than"):
            decompress(body, method)
        set_max_ratio(10_000_000)
        assert len(decompress(body, method)) == 12 * MIB

    @pytest.mark.parametrize("method", ["gzip", "bzip2", "lzma", "brotli", "zstd", "zstandard"])
    def test_a_bomb_is_refused_without_room_for_it(self, method):
        # Given
        body = bomb(method, 128 * MIB)
        program = (
            "import resource, sys\n"
            "from kombu.compression import decompress\n"
            "from kombu.exceptions import DecodeError\n"
            f"decompress(*__import__('kombu.compression').compression.compress(b'warm up', {method!r}))\n"
            "body = sys.stdin.buffer.read()\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try:\n"
            f"    decompress(body, {method!r})\n"
            "except DecodeError as exc:\n"
            "    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
        )
        # When
        done = subprocess.run([sys.executable, "-c", program], input=body, capture_output=True, check=True)
        # Then: the limit for so small a body is 8 MiB; the libraries need some room of their own.
        assert int(done.stdout) < 40

    def test_a_body_that_lies_about_its_size(self):
        zstandard = pytest.importorskip("zstandard")
        # Given: the header of a frame of 10 bytes with the blocks of one of 64 MiB.
        body = zstandard.ZstdCompressor(level=1).compress(bytes(64 * MIB))
        at = body.index((64 * MIB).to_bytes(4, "little"))
        for size in (0, 10):
            lying = body[:at] + size.to_bytes(4, "little") + body[at + 4 :]
            assert zstandard.frame_content_size(lying) == size
            # Then
            with pytest.raises(DecodeError):
                decompress(lying, "zstd")

    def test_an_lzma_body_that_wants_a_huge_dictionary(self):
        # Given: a decoder of this would need 1 GiB.
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1024 * MIB, "preset": 0}]
        body = lzma.compress(b"x", filters=filters)
        # Then
        with pytest.raises(DecodeError):
            decompress(body, "lzma")

    def test_a_strangers_decoder_is_held_to_the_limit(self, limits):
        register(lambda b: b, lambda b: b * 1000, "application/x-thousand", ["thousand"])
        set_max_decompressed_size(1000)
        assert decompress(b"x", "thousand") == b"x" * 1000
        with pytest.raises(DecodeError):
            decompress(b"xx", "thousand")

    def test_setting_returns_what_was(self, limits):
        assert set_max_decompressed_size(5) == 64 * MIB
        assert set_max_decompressed_size(6) == 5
        assert set_max_ratio(10) == 1000
        for bad in (0, -1):
            with pytest.raises(ValueError):
                set_max_decompressed_size(bad)


class TestRegister:
    def test_by_type_and_alias(self, limits):
        register(lambda b: b[::-1], lambda b: b[::-1], "application/x-reversed", ["reversed", "backwards"])
        assert compress(b"abc", "backwards") == (b"cba", "application/x-reversed")
        assert decompress(b"cba", "reversed") == b"abc"
        assert "application/x-reversed" in encoders()

    def test_errors_of_the_decoder_are_decode_errors(self, limits):
        def broken(_):
            raise RuntimeError("boom")

        register(broken, broken, "application/x-broken")
        with pytest.raises(DecodeError, match="boom") as caught:
            decompress(b"x", "application/x-broken")
        assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_missing_library_says_what_to_install():
    # Given: a process in which neither can be imported.
    program = (
        "import sys; sys.modules['brotli'] = sys.modules['zstandard'] = None\n"
        "from kombu.compression import *\n"
        "from kombu.exceptions import DecodeError\n"
        "for name in 'brotli', 'zstd':\n"
        "    try: compress(b'x', name)\n"
        "    except CompressionNotInstalled as exc: print(exc)\n"
        "    try: decompress(b'x', name)\n"
        "    except DecodeError as exc: print(exc)\n"
    )
    # When
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    # Then
    assert out.count("pip install kombu-core[brotli]") == 2
    assert out.count("pip install kombu-core[zstd]") == 2
