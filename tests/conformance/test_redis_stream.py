"""The conformance suite on ``redis://`` with ``fanout="stream"``, as far as it is about broadcasts: nothing degraded.

(All of it passes. Without the loop below that takes half a minute, and the rest says what ``test_redis.py`` does.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping

ABOUT = {"TestDeadLetter", "TestExchangeBindings", "TestFanout", "TestRequeue"}
for _name in [name for name in globals() if name.startswith("Test") and name not in ABOUT]:
    del globals()[_name]


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def connection_options() -> Mapping[str, Any]:
    return {"transport_options": {"fanout": "stream", "priority_order": "rabbitmq"}}
