"""Commands as bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kombu_redis.client import Client
from kombu_redis.resp import pack
from tests.unit.kombu_redis.support_client import client_to


@pytest.fixture
def client(redis_url: str) -> Any:
    with client_to(redis_url) as client:
        yield client


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(arguments=st.lists(st.one_of(st.text(), st.binary(), st.integers(), st.floats()), min_size=1))
def test_a_server_reads_what_is_packed(client: Client, arguments: list[Any]) -> None:
    expected = [
        argument
        if isinstance(argument, bytes)
        else argument.encode("utf-8", "surrogateescape")
        if isinstance(argument, str)
        else repr(argument).encode()
        for argument in arguments
    ]
    assert client.call("EVAL", "return ARGV", 0, *arguments) == expected


def test_what_is_not_text_comes_back_as_it_was() -> None:
    # (a name read with surrogateescape, as file names are)
    assert pack(b"caf\xe9".decode("utf-8", "surrogateescape")) == b"*1\r\n$4\r\ncaf\xe9\r\n"
