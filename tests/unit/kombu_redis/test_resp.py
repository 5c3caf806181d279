"""The protocol, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu_redis.errors import CommandError, InvalidReply
from kombu_redis.resp import Reader, pack

STREAM = (
    b"+OK\r\n:-12\r\n$-1\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n*0\r\n*-1\r\n"
    b"*3\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n$2\r\n\xff\x00\r\n"
)
REPLIES = [b"OK", -12, None, b"", b"a\r\nbc", [], None, [1, [b"x", None], b"\xff\x00"]]


def reader(chunks: list[bytes]) -> Reader:
    source = iter(chunks)
    return Reader(lambda *size: next(source))


@given(cuts=st.lists(st.integers(1, len(STREAM) - 1), max_size=40, unique=True))
def test_however_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    source = reader([STREAM[start:end] for start, end in zip(edges, edges[1:], strict=False)])
    assert [source.read() for _ in REPLIES] == REPLIES
    assert not source.pending


def test_errors_are_values() -> None:
    source = reader([b"-ERR no\r\n*2\r\n-ERR inner\r\n:1\r\n"])
    assert isinstance(source.read(), CommandError)
    assert source.pending
    inner, number = source.read()
    assert str(inner) == "ERR inner" and number == 1


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"$x\r\n", b"*1.5\r\n", b":\r\n"]
)
def test_garbage(garbage: bytes) -> None:
    with pytest.raises(InvalidReply, match="Redis' protocol"):
        reader([garbage]).read()


@given(st.lists(st.one_of(st.text(), st.binary(), st.integers(), st.floats()), min_size=1))
def test_a_command_reads_back(arguments: list[Any]) -> None:
    expected = [
        argument
        if isinstance(argument, bytes)
        else argument.encode()
        if isinstance(argument, str)
        else repr(argument).encode()
        for argument in arguments
    ]
    assert reader([pack(*arguments)]).read() == expected
