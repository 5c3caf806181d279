"""The conformance suite on ``amqp://``, with publisher confirms: what is published is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def url(amqp_url: str) -> str:
    return amqp_url


@pytest.fixture
def connection_options() -> Mapping[str, Any]:
    return {"transport_options": {"confirm_publish": True}}
