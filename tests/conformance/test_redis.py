"""The conformance suite on ``redis://``: with every queue a list and RabbitMQ's priorities, nothing is degraded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def connection_options() -> Mapping[str, Any]:
    return {"transport_options": {"fanout": "queue", "priority_order": "rabbitmq"}}
