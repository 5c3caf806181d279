"""JSON: the standard library's semantics, with markers for what JSON has no word for."""

from __future__ import annotations

import datetime
import decimal
import json
import subprocess
import sys
import uuid
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.utils import json as kombu_json
from kombu.utils.json import JSONEncoder, dumps, dumps_plain, loads, object_hook, register_type

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
zones = (
    st.none() | st.just(datetime.timezone.utc) | st.just(datetime.timezone(datetime.timedelta(minutes=-90)))
)
typed = st.recursive(
    st.none()
    | st.integers()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def registry():
    """The registered types as they were, afterwards."""
    kombu_json._ensure_default_types()
    encoders, decoders = dict(kombu_json._encoders), dict(kombu_json._decoders)
    yield kombu_json
    for now, before in ((kombu_json._encoders, encoders), (kombu_json._decoders, decoders)):
        now.clear()
        now.update(before)


class TestAgainstTheStandardLibrary:
    @given(plain)
    def test_writes_what_json_dumps_writes(self, value):
        assert dumps(value) == json.dumps(value)

    @given(plain)
    def test_reads_back(self, value):
        assert loads(dumps(value)) == value
        assert loads(dumps(value).encode()) == value

    @given(st.text(alphabet='{}[]":,\\u0_type1.5eE-+ \n\tNaInfityrsl\ufeff', max_size=40))
    def test_reads_and_refuses_the_same_text(self, text):
        # Given
        def outcome(read):
            try:
                return repr(read(text))
            except json.JSONDecodeError as exc:
                return str(exc)

        # Then
        assert outcome(loads) == outcome(lambda s: json.loads(s, object_hook=object_hook))

    @pytest.mark.parametrize(
        "value", [float("inf"), float("-inf"), 2**64, -(2**63) - 1, 2**2000, 1e308, 5e-324]
    )
    def test_numbers_keep_their_value(self, value):
        assert loads(dumps(value)) == value

    def test_nan_stays_nan(self):
        assert dumps(float("nan")) == "NaN"
        assert isnan(loads("NaN"))

    @pytest.mark.parametrize("key", [b"bytes", (1, 2), datetime.date(2024, 1, 1), uuid.uuid4()])
    def test_keys_must_be_scalars(self, key):
        with pytest.raises(TypeError, match="keys must be"):
            dumps({key: 1})

    def test_a_value_that_contains_itself_is_a_clean_error(self):
        # Given
        circle: list = []
        circle.append({"in": circle})
        # Then
        with pytest.raises(ValueError, match="Circular reference"):
            dumps(circle)

    def test_an_object_whose_json_is_itself_is_a_clean_error(self):
        class Mirror:
            def __json__(self):
                return self

        with pytest.raises(ValueError, match="Circular reference"):
            dumps([Mirror()])

    def test_works_when_the_c_accelerator_is_missing(self):
        # Given: an interpreter whose json has no C part.
        program = (
            "import sys; sys.modules['_json'] = None\n"
            "import json.encoder; assert json.encoder.c_make_encoder is None\n"
            "import datetime\n"
            "from kombu.utils.json import dumps, loads\n"
            "value = [{'a': datetime.date(2024, 2, 29), 'b': b'x', 'c': '\\u00e9'}, 1.5]\n"
            "assert loads(dumps(value)) == value\n"
            "print(dumps(value))\n"
        )
        # When
        out = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        # Then
        value = [{"a": datetime.date(2024, 2, 29), "b": b"x", "c": "\u00e9"}, 1.5]
        assert out.strip() == dumps(value)


class TestMarkers:
    @given(typed)
    def test_types_come_back(self, value):
        assert loads(dumps(value)) == value

    @given(typed)
    def test_fast_and_slow_encoder_agree(self, value):
        assert dumps(value) == JSONEncoder().encode(value) == dumps(value, ensure_ascii=True)

    @given(typed)
    def test_every_form_of_text_is_read(self, value):
        text = dumps(value)
        assert (
            loads(text)
            == loads(text.encode())
            == loads(bytearray(text.encode()))
            == loads(memoryview(text.encode()))
        )

    def test_an_escaped_marker_is_a_marker(self):
        assert loads('{"_\\u005ftype__": "date", "__value__": "2024-02-29"}') == datetime.date(2024, 2, 29)

    def test_only_a_pair_is_a_marker(self):
        more = {"__type__": "date", "__value__": "2024-02-29", "x": 1}
        assert loads(json.dumps(more)) == more
        assert loads('{"__type__": "date"}') == {"__type__": "date"}

    @pytest.mark.parametrize("marker", ["nobody", 1, None, ["list"]])
    def test_an_unknown_marker_is_refused_by_name(self, marker):
        text = json.dumps({"__type__": marker, "__value__": 1})
        with pytest.raises(ValueError, match="not registered") as caught:
            loads(text)
        assert repr(marker) in str(caught.value)

    def test_without_hook_markers_stay_as_written(self):
        text = dumps(datetime.date(2024, 2, 29))
        assert loads(text, object_hook=None) == {"__type__": "date", "__value__": "2024-02-29"}

    def test_a_hook_of_ones_own(self):
        assert loads('{"a": {}}', object_hook=lambda d: ("hook", d)) == ("hook", {"a": ("hook", {})})

    def test_unknown_types_say_how_to_teach_them(self):
        with pytest.raises(TypeError, match="set is not JSON serializable.*register_type"):
            dumps({1, 2})

    def test_json_method_goes_before_the_type(self):
        class Birthday(datetime.date):
            def __json__(self):
                return "today"

        assert dumps(Birthday(2024, 2, 29)) == '"today"'

    def test_subclasses_count_as_their_base(self):
        class Stamp(datetime.datetime):
            pass

        assert loads(dumps(Stamp(2024, 2, 29))) == datetime.datetime(2024, 2, 29)

    def test_utf16_when_bytes_are_left_to_json(self):
        assert loads('["é"]'.encode("utf-16"), decode_bytes=False) == ["é"]
        with pytest.raises(UnicodeDecodeError):
            loads('["é"]'.encode("utf-16"))


class TestRegisterType:
    class Money:
        def __init__(self, cents):
            self.cents = cents

    def test_goes_and_comes(self, registry):
        register_type(self.Money, "money", lambda m: {"c": m.cents}, lambda v: self.Money(v["c"]))
        assert dumps(self.Money(5)) == '{"__type__": "money", "__value__": {"c": 5}}'
        assert loads(dumps([self.Money(5)]))[0].cents == 5

    def test_without_decoder_the_value_is_read(self, registry):
        register_type(self.Money, "money", lambda m: m.cents)
        assert loads(dumps(self.Money(5))) == 5

    def test_without_marker_the_value_is_bare(self, registry):
        register_type(self.Money, None, lambda m: m.cents)
        assert dumps([self.Money(5)]) == "[5]"

    def test_the_nearest_registration_counts(self, registry):
        class Euro(self.Money):
            pass

        register_type(self.Money, "money", lambda m: 0)
        register_type(Euro, "euro", lambda m: 1)
        assert '"euro"' in dumps(Euro(1))

    def test_what_the_encoder_returns_may_be_special_too(self, registry):
        register_type(self.Money, "money", lambda m: decimal.Decimal(m.cents), str)
        assert loads(dumps(self.Money(5))) == "5"

    def test_a_default_type_can_be_replaced(self, registry):
        register_type(datetime.date, "date", lambda o: o.toordinal(), datetime.date.fromordinal)
        assert dumps(datetime.date(1, 1, 2)) == '{"__type__": "date", "__value__": 2}'
        assert loads(dumps(datetime.date(1, 1, 2))) == datetime.date(1, 1, 2)


class TestKeywords:
    def test_those_of_json_dumps(self):
        assert dumps({"b": 1, "a": "é"}, sort_keys=True, ensure_ascii=False) == '{"a": "é", "b": 1}'

    def test_defaults_give_way(self):
        assert dumps([1], default_kwargs={"indent": 1}, indent=None) == "[1]"
        assert dumps([1], default_kwargs={"indent": 1}) == "[\n 1\n]"

    def test_another_encoder(self):
        class Sets(JSONEncoder):
            def default(self, o):
                return sorted(o) if isinstance(o, set) else super().default(o)

        assert dumps([{2, 1}, b"x"], cls=Sets) == '[[1, 2], {"__type__": "bytes", "__value__": "x"}]'

    def test_another_implementation(self):
        assert dumps([1], _dumps=lambda s, **kwargs: sorted(kwargs)) == ["cls"]
        assert loads("[1]", _loads=lambda s, **kwargs: (s, sorted(kwargs))) == ("[1]", ["object_hook"])


class TestPlain:
    def test_no_markers(self):
        # Given
        value = {
            "at": datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc),
            "day": datetime.date(2024, 2, 29),
            "time": datetime.time(12, 30),
            "price": decimal.Decimal("1.10"),
            "id": uuid.UUID(int=5),
            "text": b"abc",
            "raw": b"\xff\x00",
        }
        # When
        text = dumps_plain(value)
        # Then
        assert json.loads(text) == {
            "at": "2024-02-29T12:00:00+00:00",
            "day": "2024-02-29",
            "time": "12:30:00",
            "price": "1.10",
            "id": "00000000-0000-0000-0000-000000000005",
            "text": "abc",
            "raw": "/wA=",
        }

    @given(plain)
    def test_what_is_plain_already_is_the_same(self, value):
        assert dumps_plain(value) == dumps(value)

    def test_registered_types_are_their_value(self, registry):
        register_type(complex, "complex", lambda c: [c.real, c.imag])
        assert dumps_plain({"c": 1 + 2j}) == '{"c": [1.0, 2.0]}'


def test_the_modules_of_the_types_are_loaded_when_needed():
    # Given / When
    program = (
        "import sys, kombu.serialization as s\n"
        "s.loads(s.dumps({'a': [1, 'x']})[2], 'application/json', 'utf-8')\n"
        "print(*sorted({'datetime', 'decimal', 'uuid', 'pickle', 'yaml', 'msgpack', 'zlib',\n"
        "  'importlib.metadata', 'importlib_metadata', 'urllib.parse', 'inspect'} & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    # Then
    assert out.split() == []
