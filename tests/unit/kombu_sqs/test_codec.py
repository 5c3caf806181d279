"""Envelopes as SQS bodies, also those of kombu 5, and what is none."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.utils.json import loads
from kombu_sqs.attributes import from_aws, size_of, to_aws
from kombu_sqs.codec import decode, encode, encode_raw

#: Captured from kombu 5.7.0: the body of an SQS message, and the JSON in it.
KOMBU_5 = {
    "body": "eyJhIjogMX0=",
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"h": 1},
    "properties": {
        "delivery_mode": 2,
        "delivery_info": {"exchange": "obs.x", "routing_key": "obs.q"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": "8a8be770-86cf-404a-b9df-18e2b7ef7bb6",
    },
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def envelope(body: Any, headers: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }


@pytest.mark.parametrize("base64", [True, False])
def test_what_kombu_5_wrote_is_read(base64: bool) -> None:
    text = json.dumps(KOMBU_5)
    found = decode(b64encode(text.encode()).decode() if base64 else text, {})
    properties = {name: value for name, value in KOMBU_5["properties"].items() if name != "body_encoding"}
    assert found == {**KOMBU_5, "body": b'{"a": 1}', "properties": properties}


def test_kombu_5_reads_what_is_written() -> None:
    # base64 of a JSON object with these keys, the body in base64, is what it sends itself
    text = b64decode(encode(KOMBU_5, True), validate=True).decode()
    assert json.loads(text) == KOMBU_5
    assert json.loads(encode(KOMBU_5, False)) == KOMBU_5


@given(st.text(), st.dictionaries(st.text(), values, max_size=3), st.booleans())
def test_round_trip(body: str, headers: dict[str, Any], base64: bool) -> None:
    message = envelope(body, headers, delivery_tag="t")
    found = decode(encode(message, base64), {})
    assert found == message


@given(st.text())
def test_any_other_text_is_left_as_it_is(text: str) -> None:
    try:
        found = decode(text, {})
    except UnicodeEncodeError:  # a lone surrogate, which SQS does not carry
        return
    assert found["body"].decode(errors="surrogatepass") == text
    assert found["headers"] == {}


@pytest.mark.parametrize("odd", ['"quoted"', "back\\slash"])
def test_a_body_that_only_claims_to_be_base64(odd: str) -> None:
    message = envelope(odd, {}, body_encoding="base64")
    assert loads(encode(message, False)) == message


def test_properties_for_sqs_stay_outside() -> None:
    message = envelope("x", {}, MessageGroupId="g", message_attributes={}, DelaySeconds=3, correlation_id="c")
    assert decode(encode(message, True), {})["properties"] == {"correlation_id": "c"}


class TestRaw:
    def test_headers_and_type_are_attributes(self) -> None:
        text, attributes = encode_raw(b'{"a": 1}', envelope(None, {"h": [1]}))
        found = decode(text, attributes, raw=True)
        assert text == '{"a": 1}'
        assert (found["body"], found["headers"]) == (b'{"a": 1}', {"h": [1]})
        assert (found["content-type"], found["content-encoding"]) == ("application/json", "utf-8")

    def test_an_envelope_is_not_looked_for(self) -> None:
        text = json.dumps(KOMBU_5)
        assert decode(text, {}, raw=True)["body"] == text.encode()


class TestAttributes:
    def test_their_size_counts(self) -> None:
        # name, type and value, in bytes of UTF-8
        assert size_of(to_aws({"ä": "ö"})) == 2 + len("String") + 2
        assert size_of(to_aws({"b": b"\0\1"})) == 1 + len("Binary") + 2

    @pytest.mark.parametrize("value", ["", b"", None, True, [], {}])
    def test_what_sqs_has_no_type_for_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="'odd'"):
            to_aws({"odd": value})

    def test_received_ones_can_be_sent_again(self) -> None:
        given = {"n": {"DataType": "Number", "StringValue": "1"}}
        assert to_aws(from_aws(given)) == given
