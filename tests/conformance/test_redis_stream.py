"""The conformance suite on ``redis://`` with ``fanout="stream"``, as far as it has to do with broadcasts; nothing is degraded.

(All of it passes as well: ``from kombu.testing.conformance import *``. It takes half a minute, and differs from
``test_redis.py`` in these classes only.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import (
    TestDeadLetter,
    TestExchangeBindings,
    TestExpiredLetter,
    TestFanout,
    TestRequeue,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("TestDeadLetter", "TestExchangeBindings", "TestExpiredLetter", "TestFanout", "TestRequeue")


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def connection_options() -> Mapping[str, Any]:
    return {"transport_options": {"fanout": "stream", "priority_order": "rabbitmq"}}
