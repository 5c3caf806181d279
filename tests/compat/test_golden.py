"""Bytes on the wire, both ways with kombu 5.7.0: golden/make.py made the files there; here we read and write them."""

from __future__ import annotations

import base64
import json
import pathlib
import platform
import zlib

import pytest

from kombu import compression, serialization
from kombu.utils import json as kombu_json
from tests.compat.golden import make

GOLDEN = pathlib.Path(__file__).parent / "golden"


def cases(name: str) -> list[dict]:
    return json.loads((GOLDEN / name).read_text())["cases"]


def made_by(name: str) -> dict:
    return json.loads((GOLDEN / name).read_text())["made_by"]


@pytest.fixture(autouse=True)
def money():
    kombu_json._ensure_default_types()
    encoders, decoders = dict(kombu_json._encoders), dict(kombu_json._decoders)
    make.teach(kombu_json.register_type)
    yield
    for registry, before in ((kombu_json._encoders, encoders), (kombu_json._decoders, decoders)):
        registry.clear()
        registry.update(before)


def test_the_files_are_of_the_peer_we_say():
    assert {made_by(name)["kombu"] for name in ("json.json", "serializers.json", "compression.json")} == {
        "5.7.0"
    }


@pytest.mark.parametrize("case", cases("json.json"), ids=lambda case: case["value"][:40])
class TestJson:
    def test_we_write_the_same_bytes(self, case):
        assert kombu_json.dumps(make.build(case["value"])) == case["wire"]

    def test_the_slow_encoder_writes_the_same_bytes(self, case):
        assert kombu_json.JSONEncoder().encode(make.build(case["value"])) == case["wire"]

    @pytest.mark.parametrize("form", [str, str.encode, lambda s: memoryview(s.encode())])
    def test_we_read_the_same_value(self, case, form):
        assert repr(kombu_json.loads(form(case["wire"]))) == case["read"]


@pytest.mark.parametrize(
    "case", cases("serializers.json"), ids=lambda case: f"{case['serializer']}-{case['value'][:20]}"
)
class TestSerializers:
    def test_we_write_the_same(self, case):
        # Given
        theirs = base64.b64decode(case["payload"])
        if case["serializer"] == "pickle" and platform.python_version_tuple()[:2] != ("3", "11"):
            pytest.skip("pickle's bytes depend on the version of Python, and these are 3.11's")
        # When
        content_type, content_encoding, payload = serialization.dumps(
            make.build(case["value"]), serializer=case["serializer"]
        )
        # Then
        assert (content_type, content_encoding) == (case["content_type"], case["content_encoding"])
        assert isinstance(payload, str) == case["text"]
        if case["serializer"] == "yaml":
            # libyaml leaves out the mark of the end after a document that is one scalar; YAML 1.1 section 4.3.4.
            theirs = theirs.removesuffix(b"...\n")
        assert (payload.encode() if case["text"] else payload) == theirs

    def test_we_read_theirs(self, case):
        # Given
        payload = base64.b64decode(case["payload"])
        # When
        value = serialization.loads(
            payload, case["content_type"], case["content_encoding"], accept={case["content_type"]}
        )
        # Then
        assert value == make.build(case["value"])


@pytest.mark.parametrize(
    "case", cases("compression.json"), ids=lambda case: f"{case['method']}-{case['sample'][:20]}"
)
class TestCompression:
    def test_we_read_theirs(self, case):
        if case["method"] == "brotli":
            pytest.importorskip("brotli")
        # Given
        theirs = base64.b64decode(case["body"])
        # Then
        assert compression.decompress(theirs, case["content_type"]) == make.build(case["sample"])

    def test_we_write_what_they_read(self, case):
        if case["method"] == "brotli":
            pytest.importorskip("brotli")
        # Given: libraries may compress better one day; the same build of zlib writes the same bytes.
        body, content_type = compression.compress(make.build(case["sample"]), case["method"])
        assert content_type == case["content_type"]
        if case["method"] in ("gzip", "zlib"):
            assert zlib.decompress(body) == make.build(case["sample"])  # what 5.7 does with it
        if made_by("compression.json")["zlib"] == zlib.ZLIB_RUNTIME_VERSION:
            assert body == base64.b64decode(case["body"])
