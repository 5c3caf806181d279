"""The frame parser: the same events however the bytes are split, and a clean error for what is no AMQP."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from amqp.exceptions import ConnectionError as AmqpConnectionError
from amqp.exceptions import FrameError, UnexpectedFrame
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kombu_amqp.frames import CONTENT_METHODS, DELIVER, Event, FrameParser

FRAME_MAX = 4096
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
CLOSE = b"\x00\x14\x00\x28" + b"\x01\x94\x00\x00\x00\x00\x00"
PLAIN_METHODS = (b"\x00\x3c\x00\x50", b"\x00\x32\x00\x0b", b"\x00\x14\x00\x0b")


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def header(channel: int, size: int, properties: bytes = b"\x00\x00") -> bytes:
    return frame(2, channel, pack(">HHQ", 60, 0, size) + properties)


def frames_of(event: Event, sizes: list[int]) -> list[bytes]:
    """The frames of a message; the body in pieces of ``sizes``, the rest in one."""
    channel, method, properties, body = event
    frames = [frame(1, channel, method)]
    if properties is not None and body is not None:
        frames.append(header(channel, len(body), properties))
        while body:
            size = sizes.pop() if sizes else len(body)
            frames.append(frame(3, channel, body[:size]))
            body = body[size:]
    return frames


CHANNELS = st.integers(1, 3)
PLAIN = st.builds(
    lambda channel, kind, rest: (channel, kind + rest, None, None),
    CHANNELS, st.sampled_from(PLAIN_METHODS), st.binary(max_size=30),
)  # fmt: skip
MESSAGES = st.builds(
    lambda channel, kind, rest, properties, body: (channel, kind + rest, b"\x00\x00" + properties, body),
    CHANNELS, st.sampled_from(sorted(CONTENT_METHODS)), st.binary(max_size=30), st.binary(max_size=30),
    st.binary(max_size=200),
)  # fmt: skip


@st.composite
def streams(draw: Any) -> tuple[dict[int, list[Event]], bytes, int]:
    """Events of several channels, their frames interleaved as channels may be, with heartbeats in between."""
    events: list[Event] = draw(st.lists(PLAIN | MESSAGES, max_size=8))
    waiting: dict[int, list[bytes]] = {}
    expected: dict[int, list[Event]] = {}
    for event in events:
        sizes = draw(st.lists(st.integers(1, 100), max_size=4))
        waiting.setdefault(event[0], []).extend(frames_of(event, sizes))
        expected.setdefault(event[0], []).append(event)
    sent = []
    beats = 0
    while waiting:
        if draw(st.booleans()):
            sent.append(HEARTBEAT)
            beats += 1
        channel = draw(st.sampled_from(sorted(waiting)))
        for _ in range(draw(st.integers(1, 4))):
            if waiting[channel]:
                sent.append(waiting[channel].pop(0))
        if not waiting[channel]:
            del waiting[channel]
    return expected, b"".join(sent), beats


def by_channel(parser: FrameParser) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for event in parser.events:
        found.setdefault(event[0], []).append(event)
    return found


@given(streams(), st.lists(st.integers(1, 60)))
@settings(max_examples=200)
def test_the_events_are_the_same_however_the_bytes_are_split(stream: Any, cuts: list[int]) -> None:
    # Given the frames of several channels, interleaved
    expected, data, beats = stream
    # When they come in pieces of any size
    parser = FrameParser(FRAME_MAX)
    rest = data
    for cut in cuts:
        parser.feed(rest[:cut])
        rest = rest[cut:]
    parser.feed(rest)
    # Then every channel has its events in order, and nothing is left over
    assert by_channel(parser) == expected
    assert parser.heartbeats == beats
    assert parser.is_clean
    # And it is the same octet by octet
    slow = FrameParser(FRAME_MAX)
    for octet in data:
        slow.feed(bytes((octet,)))
    assert list(slow.events) == list(parser.events)


@given(streams(), st.data())
@settings(max_examples=200)
def test_damaged_bytes_make_events_or_a_clean_error(stream: Any, data: Any) -> None:
    # Given a stream with a few octets changed
    raw = bytearray(stream[1] or HEARTBEAT)
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=3)):
        raw[place] = data.draw(st.integers(0, 255))
    # When it is parsed at once and in two halves
    outcomes = []
    cut = data.draw(st.integers(0, len(raw)))
    for pieces in ([bytes(raw)], [bytes(raw[:cut]), bytes(raw[cut:])]):
        parser = FrameParser(FRAME_MAX)
        error = None
        try:
            for piece in pieces:
                parser.feed(piece)
        except (FrameError, UnexpectedFrame) as exc:
            error = type(exc), str(exc)
        outcomes.append((list(parser.events), error))
    # Then nothing but these errors came, and both ways agree
    assert outcomes[0] == outcomes[1]


@given(st.binary(min_size=8, max_size=100))
@example(b"AMQP\x00\x00\x09\x01")
@example(b"HTTP/1.1 400 Bad Request\r\n")
@example(b"\x15\x03\x03\x00\x02\x02\x46\x00")
def test_what_is_no_amqp_is_a_connection_error_at_once_or_waits_for_more(data: bytes) -> None:
    parser = FrameParser(FRAME_MAX)
    try:
        parser.feed(data)
    except AmqpConnectionError:
        assert data[0] not in (1, 2, 3, 8) or len(data) >= 8
    else:
        assert data[0] in (1, 2, 3, 8)


BAD = {
    "another version": (b"AMQP\x00\x00\x09\x01", FrameError, "another protocol"),
    "a web server": (b"HTTP/1.1 400 Bad\r\n", FrameError, "another protocol"),
    "unknown kind": (frame(4, 0, b""), FrameError, "not 4"),
    "wrong end": (frame(1, 1, b"1234")[:-1] + b"\xcd", FrameError, "0xcd"),
    "too large": (pack(">BHI", 3, 1, FRAME_MAX - 7) + b"x", FrameError, "4097 octets.*4096"),
    "method too short": (frame(1, 1, b"\x00\x3c"), FrameError, "2 octets"),
    "heartbeat on a channel": (frame(8, 3, b""), FrameError, "channel 3"),
    "header alone": (header(2, 5), UnexpectedFrame, "channel 2"),
    "body alone": (frame(3, 2, b"x"), UnexpectedFrame, "channel 2"),
    "body before header": (frame(1, 1, DELIVER) + frame(3, 1, b"x"), UnexpectedFrame, "channel 1"),
    "two headers": (frame(1, 1, DELIVER) + header(1, 5) * 2, UnexpectedFrame, "channel 1"),
    "method inside a message": (frame(1, 1, DELIVER) * 2, UnexpectedFrame, "middle"),
    "header too short": (frame(1, 1, DELIVER) + frame(2, 1, b"\x00\x3c" * 6), FrameError, "12 octets"),
    "header of another class": (
        frame(1, 1, DELIVER) + frame(2, 1, pack(">HHQH", 50, 0, 0, 0)), FrameError, "not 50",
    ),
    "too large, and all there": (frame(1, 1, b"\x00" * (FRAME_MAX - 7)), FrameError, "4097 octets.*4096"),
    "body too large, and all there": (
        frame(1, 1, DELIVER) + header(1, FRAME_MAX - 7) + frame(3, 1, b"x" * (FRAME_MAX - 7)), FrameError, "4097",
    ),
    "header of another channel": (frame(1, 1, DELIVER) + header(2, 0), UnexpectedFrame, "channel 2"),
    "header without flags": (
        frame(1, 1, DELIVER) + frame(2, 1, pack(">HHQ", 60, 0, 0)) + HEARTBEAT, FrameError, "12 octets",
    ),
    "header with a wrong end": (frame(1, 1, DELIVER) + header(1, 0)[:-1] + b"\xcd" + b"\x00", FrameError, "0xcd"),
    "body with a wrong end": (
        frame(1, 1, DELIVER) + header(1, 1) + frame(3, 1, b"x")[:-1] + b"\xcd", FrameError, "0xcd",
    ),
    "body too long": (frame(1, 1, DELIVER) + header(1, 2) + frame(3, 1, b"xyz"), FrameError, "2 were missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_malformed_frames_end_the_parsing(name: str) -> None:
    # Given a good frame before the bad one
    data, error, text = BAD[name]
    parser = FrameParser(FRAME_MAX)
    # When it comes, Then the error says what was wrong
    with pytest.raises(error, match=text):
        parser.feed(frame(1, 1, b"\x00\x14\x00\x0b") + data)
    # And what came before is kept
    assert list(parser.events) == [(1, b"\x00\x14\x00\x0b", None, None)]
    # And nothing after it is believed
    with pytest.raises(error, match=text):
        parser.feed(HEARTBEAT)


def test_a_frame_that_is_too_large_is_refused_before_it_has_come() -> None:
    parser = FrameParser(FRAME_MAX)
    with pytest.raises(FrameError, match="frame_max"):
        parser.feed(pack(">BHIB", 1, 1, 0xFFFFFFFF, 0))


def test_the_largest_frame_agreed_is_taken_and_the_agreement_may_change() -> None:
    # Given a body of exactly one frame
    parser = FrameParser(FRAME_MAX)
    body = b"x" * (FRAME_MAX - 8)
    parser.feed(frame(1, 1, DELIVER) + header(1, len(body)) + frame(3, 1, body))
    assert parser.events.pop()[3] == body
    # When larger frames are agreed on, Then they are taken
    parser.frame_max = 2 * FRAME_MAX
    parser.feed(frame(1, 1, DELIVER) + header(1, 2 * len(body)) + frame(3, 1, body * 2))
    assert parser.events.pop()[3] == body * 2


@pytest.mark.parametrize("together", [True, False])
def test_a_channel_closed_in_the_middle_of_a_message(together: bool) -> None:
    # Given half a message on channel 1, and another message on channel 2
    half = frame(1, 1, DELIVER) + header(1, 10) + frame(3, 1, b"12345")
    other = frame(1, 2, DELIVER) + header(2, 1) + frame(3, 2, b"x")
    parser = FrameParser(FRAME_MAX)
    pieces = [half, frame(1, 1, CLOSE), other]
    # When the broker closes channel 1
    for piece in [b"".join(pieces)] if together else pieces:
        parser.feed(piece)
    # Then the half is dropped, and channel 1 can be used anew
    parser.feed(frame(1, 1, DELIVER) + header(1, 0))
    assert list(parser.events) == [
        (1, CLOSE, None, None),
        (2, DELIVER, b"\x00\x00", b"x"),
        (1, DELIVER, b"\x00\x00", b""),
    ]
    assert parser.is_clean


def test_a_large_message_comes_in_many_frames_and_costs_no_more_than_its_size() -> None:
    # Given eight million octets, in frames, received in small pieces
    body = bytes(range(256)) * 32768
    step = 131072 - 8
    data = frame(1, 1, DELIVER) + header(1, len(body))
    data += b"".join(frame(3, 1, body[start : start + step]) for start in range(0, len(body), step))
    parser = FrameParser()
    for start in range(0, len(data), 1000):
        parser.feed(data[start : start + 1000])
    # Then it is whole
    ((channel, method, properties, received),) = parser.events
    assert (channel, method, properties) == (1, DELIVER, b"\x00\x00")
    assert received == body


def test_empty_body_frames_are_harmless() -> None:
    parser = FrameParser()
    empty = frame(3, 1, b"")
    parser.feed(frame(1, 1, DELIVER) + header(1, 2) + empty + frame(3, 1, b"x") + empty + frame(3, 1, b"y"))
    assert parser.events.pop() == (1, DELIVER, b"\x00\x00", b"xy")
