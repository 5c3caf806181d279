"""Messages: settling them, decoding them, what they tell about themselves."""

from __future__ import annotations

import json
import logging
import zlib

import pytest

from kombu.exceptions import ContentDisallowed, DecodeError, MessageStateError
from kombu.message import Message

from .channels import PaperChannel, received


@pytest.fixture
def channel():
    return PaperChannel()


SETTLE = {
    "ack": (lambda m: m.ack(), "ACK", ("basic_ack", "tag-1", {"multiple": False})),
    "ack multiple": (lambda m: m.ack(multiple=True), "ACK", ("basic_ack", "tag-1", {"multiple": True})),
    "reject": (lambda m: m.reject(), "REJECTED", ("basic_reject", "tag-1", {"requeue": False})),
    "reject requeue": (lambda m: m.reject(requeue=True), "REJECTED", ("basic_reject", "tag-1", {"requeue": True})),
    "requeue": (lambda m: m.requeue(), "REQUEUED", ("basic_reject", "tag-1", {"requeue": True})),
}


@pytest.mark.parametrize(("settle", "state", "told"), SETTLE.values(), ids=SETTLE)
def test_settling_tells_the_channel_once(channel, settle, state, told):
    # Given
    message = received(channel=channel)
    assert message._state == "RECEIVED" and not message.acknowledged
    # When
    settle(message)
    # Then
    assert channel.calls == [told]
    assert message._state == state and message.acknowledged


@pytest.mark.parametrize("first", SETTLE)
@pytest.mark.parametrize("second", SETTLE)
def test_settling_twice_is_an_error_and_not_sent(channel, first, second):
    # Given
    message = received(channel=channel)
    SETTLE[first][0](message)
    # When / Then
    with pytest.raises(MessageStateError, match=f"already acknowledged with state: {SETTLE[first][1]}.*'tag-1'"):
        SETTLE[second][0](message)
    assert len(channel.calls) == 1


@pytest.mark.parametrize("settle", [case[0] for case in SETTLE.values()])
def test_without_a_channel_there_is_nobody_to_tell(settle):
    with pytest.raises(MessageStateError, match="does not have a receiving channel"):
        settle(received())


@pytest.mark.parametrize("settle", [case[0] for case in SETTLE.values()])
def test_a_failure_of_the_channel_leaves_the_message_unsettled(channel, settle):
    # Given
    message = received(channel=channel)
    channel.fail = {"basic_ack": OSError("gone"), "basic_reject": OSError("gone")}
    # When / Then
    with pytest.raises(OSError, match="gone"):
        settle(message)
    assert not message.acknowledged


def test_messages_of_a_consumer_that_does_not_acknowledge_are_not_acknowledged(channel):
    # Given a channel with such a consumer, and another
    channel.no_ack_consumers = {"quiet"}
    quiet = received(channel=channel, delivery_info={"consumer_tag": "quiet"})
    other = received(channel=channel, delivery_info={"consumer_tag": "other"})
    # When
    quiet.ack()
    quiet.ack()
    other.ack()
    # Then
    assert len(channel.asked("basic_ack")) == 1
    assert not quiet.acknowledged and other.acknowledged


def test_ack_and_reject_can_log_errors_in_the_place_of_raising(channel, caplog):
    # Given a channel that is gone
    logger = logging.getLogger("test.message")
    channel.fail = {"basic_ack": OSError("gone"), "basic_reject": OSError("gone")}
    # When
    received(channel=channel).ack_log_error(logger, (OSError,))
    received(channel=channel).reject_log_error(logger, (OSError,), requeue=True)
    # Then
    assert [record.levelname for record in caplog.records] == ["CRITICAL"] * 2
    assert "Couldn't ack 'tag-1'" in caplog.text and "Couldn't reject 'tag-1'" in caplog.text
    # But other errors are raised
    with pytest.raises(OSError, match="gone"):
        received(channel=channel).ack_log_error(logger, (KeyError,))


def test_the_payload_is_decoded_once():
    message = received(b'{"a": [1]}')
    assert message.payload == {"a": [1]}
    assert message.payload is message.payload is message.decode()
    assert message._decode() == message.payload and message._decode() is not message.payload


@pytest.mark.parametrize(
    ("body", "content_type", "content_encoding", "payload"),
    [
        ("text", "text/plain", "utf-8", "text"),
        ("Grüße".encode("latin-1"), "application/x-own", "latin-1", "Grüße"),
        (b"\x00\xff", "application/data", "binary", b"\x00\xff"),
        (b"[null, 1]", "application/json", "utf-8", [None, 1]),
        (b"null", "application/json", "utf-8", None),
        (b"", "application/json", "utf-8", b""),
        (None, "application/json", "utf-8", None),
        (b"plain", None, None, "plain"),
    ],
)
def test_bodies_are_decoded_by_content_type_and_encoding(body, content_type, content_encoding, payload):
    message = Message(body, content_type=content_type, content_encoding=content_encoding)
    assert message.payload == payload


def test_a_body_that_does_not_fit_its_type_is_an_error_each_time():
    message = received(b"\xff{")
    for _ in range(2):
        with pytest.raises(DecodeError):
            message.decode()
    assert not message.acknowledged


def test_only_accepted_types_are_decoded():
    message = received(b"{}", accept={"text/plain"})
    with pytest.raises(ContentDisallowed, match="untrusted content of type json"):
        message.decode()


def test_compressed_bodies_are_decompressed_at_once():
    body = zlib.compress(b"[1, 2]")
    message = received(body, headers={"compression": "application/x-gzip"})
    assert message.body == b"[1, 2]" and message.payload == [1, 2] and not message.errors


@pytest.mark.parametrize("compression", ["application/x-gzip", "application/x-unheard-of"])
def test_a_failed_decompression_is_kept_and_raised_when_decoding(compression):
    # When
    message = received(b"junk", headers={"compression": compression})
    # Then the message can be made and settled, and says what is wrong when it is read
    (error,) = message.errors
    assert message.body == b"junk" and error[0] is type(error[1])
    for _ in range(2):
        with pytest.raises(type(error[1])) as raised:
            message.decode()
        assert raised.value is error[1]


def test_text_bodies_can_be_made_bytes():
    assert Message("Grüße", postencode="utf-8").body == "Grüße".encode()
    broken = Message("\ud800", postencode="utf-8")
    with pytest.raises(UnicodeEncodeError):
        broken.decode()


def test_empty_messages_have_dictionaries_of_their_own():
    one, other = Message(), Message(surprise="ignored")
    for name in ("properties", "headers", "delivery_info"):
        assert getattr(one, name) == {} and getattr(one, name) is not getattr(other, name)
    assert list(one.errors) == []


@pytest.mark.parametrize(
    ("message", "count", "redelivered"),
    [
        (received(), 0, False),
        (received(delivery_info={"redelivered": True}), 1, True),
        (received(delivery_info={"redelivered": True}, properties={"delivery_count": 4}), 4, True),
        (received(headers={"x-delivery-count": 3}, delivery_info={"redelivered": True}), 3, True),
        (received(headers={"x-delivery-count": 0}, delivery_info={"redelivered": False}), 0, False),
    ],
)
def test_a_message_knows_how_often_it_was_delivered_before(message, count, redelivered):
    assert message.delivery_count == count and message.redelivered is redelivered


def test_applications_may_put_things_on_messages():
    message = received()
    message.mine = 1
    assert message.mine == 1


def test_repr_shows_what_helps_to_find_it_but_not_the_body():
    message = received(
        b'{"secret": 1}',
        delivery_info={"exchange": "e", "routing_key": "k", "consumer_tag": "c"},
        properties={"correlation_id": "id", "reply_to": "r"},
    )
    details = repr(message).partition(" with details ")[2].rstrip(">")
    assert json.loads(details.replace("'", '"')) == {
        "state": "RECEIVED",
        "content_type": "application/json",
        "delivery_tag": "tag-1",
        "body_length": 13,
        "properties": {"correlation_id": "id"},
        "delivery_info": {"exchange": "e", "routing_key": "k"},
    }
