"""The registry of serializers. What is expected here was observed on kombu 5.7 except where a test says otherwise."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kombu
from kombu import serialization
from kombu.exceptions import ContentDisallowed, DecodeError, EncodeError, SerializerNotInstalled
from kombu.serialization import (
    SerializerRegistry,
    dumps,
    loads,
    prepare_accept_content,
    register,
    registry,
    unregister,
)

STATE = (
    "_encoders",
    "_decoders",
    "_disabled_content_types",
    "type_to_name",
    "name_to_type",
    "_default_encode",
    "_default_content_type",
    "_default_content_encoding",
)
DATA = {"text": "héllo", "n": [1, 2.5, None, True], "deep": {"empty": {}}}


@pytest.fixture(autouse=True)
def same_registry_afterwards():
    before = {name: copy.copy(getattr(registry, name)) for name in STATE}
    yield
    for name, value in before.items():
        setattr(registry, name, value)


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("not this one")


class Plain:
    pass


class TestDumps:
    @pytest.mark.parametrize(
        ("data", "serializer", "expected"),
        [
            ("text", None, ("text/plain", "utf-8", b"text")),
            (b"raw", None, ("application/data", "binary", b"raw")),
            ({"a": 1}, None, ("application/json", "utf-8", '{"a": 1}')),
            (None, None, ("application/json", "utf-8", "null")),
            ("text", "json", ("application/json", "utf-8", '"text"')),
            ("té", "raw", ("application/data", "utf-8", "té".encode())),
            (b"raw", "raw", ("application/data", "binary", b"raw")),
            (bytearray(b"raw"), "raw", ("application/data", "binary", bytearray(b"raw"))),
        ],
    )
    def test_content_type_encoding_and_payload(self, data, serializer, expected):
        assert dumps(data, serializer=serializer) == expected

    def test_an_unknown_serializer_is_named_with_those_there_are(self):
        with pytest.raises(SerializerNotInstalled, match="nope.*json.*pickle"):
            dumps({}, "nope")
        with pytest.raises(SerializerNotInstalled, match="5"):
            dumps({}, 5)

    @pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack", "raw"])
    def test_what_cannot_be_encoded(self, serializer):
        with pytest.raises(EncodeError) as caught:
            dumps({"a": Unpicklable()}, serializer)
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize("serializer", [None, "raw"])
    def test_text_that_is_no_unicode(self, serializer):
        with pytest.raises(EncodeError):
            dumps("\ud800", serializer)

    def test_the_default_can_be_changed(self):
        registry._set_default_serializer("pickle")
        assert dumps({"a": 1})[:2] == ("application/x-python-serialize", "binary")
        assert dumps("text")[0] == "text/plain"

    def test_no_default_that_nobody_knows(self):
        with pytest.raises(SerializerNotInstalled):
            registry._set_default_serializer("nope")

    def test_plain_json(self):
        assert dumps({"b": b"x"}, "json-plain") == ("application/json", "utf-8", '{"b": "x"}')
        assert loads('{"b": "x"}', "application/json", "utf-8") == {"b": "x"}


class TestLoads:
    @given(st.binary(min_size=1))
    def test_bytes_stay_bytes(self, body):
        assert loads(body, "application/data", "binary") == body
        assert loads(body, "image/png", "binary") == body

    @given(st.text(min_size=1))
    def test_text_by_its_encoding(self, text):
        assert loads(text.encode(), "text/plain", "utf-8") == text
        assert loads(text.encode("utf-16"), "text/plain", "UTF-16") == text

    @pytest.mark.parametrize("content_type", [None, "", "application/data", b"application/data"])
    def test_no_content_type_is_data(self, content_type):
        assert loads(b"x", content_type, None) == "x"
        assert loads(b"x", content_type, "ascii-8bit") == b"x"

    @pytest.mark.parametrize("body", [b"", "", None])
    @pytest.mark.parametrize("content_type", ["application/json", "application/data", "text/plain"])
    def test_nothing_is_nothing(self, body, content_type):
        expected = "" if (body, content_type) == (b"", "text/plain") else body
        assert loads(body, content_type, "utf-8") == expected

    @pytest.mark.parametrize(
        "body", ['{"a": 1}', b'{"a": 1}', bytearray(b'{"a": 1}'), memoryview(b'{"a": 1}')]
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "binary", None, "bogus"])
    def test_json_is_utf8_whatever_the_header_says(self, body, encoding):
        assert loads(body, "application/json", encoding) == {"a": 1}

    @pytest.mark.parametrize(
        ("body", "content_type", "encoding"),
        [
            (b"\xff", "application/json", "utf-8"),
            (b"[1", "application/json", "utf-8"),
            (b"\xff", "text/plain", "utf-8"),
            (b"x", "text/plain", "bogus"),
            (b"\xc1garbage: [", "application/x-python-serialize", "binary"),
            (b"[1", "application/x-yaml", "utf-8"),
            (b"\xc1", "application/x-msgpack", "binary"),
            (b'{"__type__": "nobody", "__value__": 1}', "application/json", "utf-8"),
            (b"[" * 100_000, "application/json", "utf-8"),
        ],
    )
    def test_what_cannot_be_decoded(self, body, content_type, encoding):
        with pytest.raises(DecodeError, match=content_type) as caught:
            loads(body, content_type, encoding, accept={content_type})
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
    @pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
    def test_there_and_back(self, serializer, form):
        content_type, encoding, payload = dumps(DATA, serializer)
        body = form(payload if isinstance(payload, bytes) else payload.encode())
        assert loads(body, content_type, encoding, accept={content_type}) == DATA


class TestTrust:
    @pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
    def test_refused_unless_accepted(self, serializer):
        # Given
        content_type, encoding, payload = dumps(DATA, serializer)
        # Then
        with pytest.raises(
            ContentDisallowed, match=rf"{serializer} \({content_type}\).*accept=\['{serializer}'\]"
        ):
            loads(payload, content_type, encoding)
        assert loads(payload, content_type, encoding, accept={content_type}) == DATA
        assert loads(payload, content_type, encoding, force=True) == DATA

    def test_a_pickle_that_is_refused_is_not_run(self, tmp_path):
        # Given
        class Attack:
            def __reduce__(self):
                return open, (str(tmp_path / "owned"), "w")

        body = pickle.dumps(Attack())
        # When
        with pytest.raises(ContentDisallowed):
            loads(body, "application/x-python-serialize", "binary")
        # Then
        assert not (tmp_path / "owned").exists()

    def test_accept_is_the_whole_list(self):
        for content_type in ("application/json", "text/plain", "image/png"):
            with pytest.raises(ContentDisallowed):
                loads(b"[]", content_type, "utf-8", accept={"application/x-yaml"})

    def test_accept_goes_before_force(self):
        with pytest.raises(ContentDisallowed):
            loads(b"[]", "application/json", "utf-8", accept=set(), force=True)

    def test_data_is_always_accepted(self):
        assert loads(b"x", "application/data", "binary", accept=set()) == b"x"
        assert loads(b"x", None, "binary", accept=set()) == b"x"

    def test_enable_all_and_disable_again(self):
        kombu.enable_insecure_serializers()
        assert registry._disabled_content_types == set()
        kombu.disable_insecure_serializers()
        assert registry._disabled_content_types == set(registry._decoders) - {"application/json"}

    def test_enable_by_name_or_content_type(self):
        kombu.enable_insecure_serializers(["pickle", "application/x-yaml", "unknown"])
        assert registry._disabled_content_types == {"application/x-msgpack"}

    def test_disable_all_but(self):
        kombu.disable_insecure_serializers(["pickle"])
        with pytest.raises(ContentDisallowed):
            loads(b"[]", "application/json", "utf-8")
        assert loads(pickle.dumps([1]), "application/x-python-serialize", "binary") == [1]

    def test_disable_everything(self):
        kombu.disable_insecure_serializers(None)
        assert registry._disabled_content_types == set(registry._decoders)

    def test_enable_and_disable_need_a_name_that_exists(self):
        for change in (registry.enable, registry.disable):
            with pytest.raises(KeyError):
                change("nope")


class TestPrepareAcceptContent:
    def test_names_and_content_types(self):
        assert prepare_accept_content(["json", "application/x-foo"]) == {
            "application/json",
            "application/x-foo",
        }

    def test_none_is_none_and_nothing_is_nothing(self):
        assert prepare_accept_content(None) is None
        assert prepare_accept_content([]) == set()

    def test_one_name_alone(self):  # 5.7 takes its letters for names
        assert prepare_accept_content("json") == {"application/json"}

    def test_names_of_ones_own(self):
        assert prepare_accept_content(["x"], {"x": "application/x"}) == {"application/x"}

    def test_an_unknown_name(self):
        with pytest.raises(SerializerNotInstalled, match="nope"):
            prepare_accept_content(["json", "nope"])


class TestRegister:
    def test_what_a_program_registers_it_decodes(self):
        # Given
        register("csv", ",".join, lambda s: s.split(","), "text/csv")
        # When
        content_type, encoding, payload = dumps(["a", "b"], "csv")
        # Then
        assert (content_type, encoding) == ("text/csv", "utf-8")
        assert loads(payload, content_type, encoding) == ["a", "b"]
        assert prepare_accept_content(["csv"]) == {"text/csv"}

    def test_encoder_only(self):
        register("shout", str.upper, None, "text/x-shout")
        assert dumps("a", "shout")[2] == "A"
        assert loads("A", "text/x-shout", "utf-8") == "A"

    def test_decoder_only(self):
        register("whisper", None, str.lower, "text/x-whisper")
        with pytest.raises(SerializerNotInstalled):
            dumps("a", "whisper")
        assert loads("A", "text/x-whisper", "utf-8") == "a"

    def test_a_second_name_for_a_type_keeps_the_first_ones_decoder(self):
        register("also-json", lambda o: "{}", None, "application/json")
        assert registry.type_to_name["application/json"] == "json"
        unregister("also-json")
        assert loads("[1]", "application/json", "utf-8") == [1]

    @pytest.mark.parametrize("by", ["csv", "text/csv"])
    def test_unregister_by_name_or_type(self, by):
        register("csv", ",".join, lambda s: s.split(","), "text/csv")
        unregister(by)
        assert loads("a,b", "text/csv", "utf-8") == "a,b"
        with pytest.raises(SerializerNotInstalled):
            dumps([], "csv")

    def test_what_was_refused_is_refused_without_its_serializer_too(self):
        register("csv", ",".join, lambda s: s.split(","), "text/csv")
        registry.disable("csv")
        unregister("csv")
        with pytest.raises(ContentDisallowed):
            loads("a,b", "text/csv", "utf-8")

    def test_unregister_what_is_not_there(self):
        with pytest.raises(SerializerNotInstalled, match="nope"):
            unregister("nope")

    def test_errors_of_the_codec_are_wrapped(self):
        def broken(_):
            raise RuntimeError("boom")

        register("broken", broken, broken, "application/x-broken")
        with pytest.raises(EncodeError, match="boom"):
            dumps({}, "broken")
        with pytest.raises(DecodeError, match="boom"):
            loads("x", "application/x-broken", "utf-8")

    def test_a_registry_of_ones_own(self):
        mine = SerializerRegistry()
        with pytest.raises(SerializerNotInstalled):
            mine.dumps({})
        mine.register("csv", ",".join, lambda s: s.split(","), "text/csv")
        mine._set_default_serializer("csv")
        assert mine.dumps(["a", "b"]) == ("text/csv", "utf-8", "a,b")


class TestPickleProtocol:
    def test_is_4_unless_chosen(self, monkeypatch):
        assert dumps(1, "pickle")[2][:2] == b"\x80\x04"
        monkeypatch.setattr(serialization, "pickle_protocol", 2)
        assert dumps(1, "pickle")[2][:2] == b"\x80\x02"

    def test_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("PICKLE_PROTOCOL", "3")
        out = subprocess.run(
            [sys.executable, "-c", "import kombu.serialization as s; print(s.dumps(1, 'pickle')[2][1])"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert out.strip() == "3"

    def test_the_module_is_reachable_here(self):
        assert serialization.pickle is pickle
        assert serialization.pickle_loads(memoryview(pickle.dumps([1]))) == [1]
        assert serialization.unpickle(pickle.dumps([1])) == [1]


class TestYaml:
    def test_is_libyaml(self):
        yaml = pytest.importorskip("yaml")
        if not yaml.__with_libyaml__:
            pytest.skip("this PyYAML has no libyaml")
        # Given: a document that the pure reader and libyaml describe differently.
        with pytest.raises(DecodeError) as caught:
            loads("[1", "application/x-yaml", "utf-8", force=True)
        # Then
        assert type(caught.value.__cause__.problem_mark).__module__ == "yaml._yaml"

    def test_is_the_safe_subset(self):
        pytest.importorskip("yaml")
        with pytest.raises(DecodeError):
            loads("!!python/object/apply:os.system [true]", "application/x-yaml", "utf-8", force=True)
        with pytest.raises(EncodeError):
            dumps(Plain(), "yaml")


def test_a_missing_library_says_what_to_install():
    # Given: a process in which neither can be imported.
    program = (
        "import sys; sys.modules['yaml'] = sys.modules['msgpack'] = None\n"
        "from kombu.exceptions import SerializerNotInstalled\n"
        "from kombu.serialization import dumps, loads\n"
        "for name, ct in (('yaml', 'application/x-yaml'), ('msgpack', 'application/x-msgpack')):\n"
        "    for use in (lambda: dumps({}, name), lambda: loads(b'x', ct, 'binary', accept={ct})):\n"
        "        try: use()\n"
        "        except SerializerNotInstalled as exc: print(exc)\n"
    )
    # When
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    # Then
    assert out.count("pip install kombu-core[yaml]") == 2
    assert out.count("pip install kombu-core[msgpack]") == 2
