"""The conformance suite on ``redis://`` as it comes, compatible with kombu 5.7: what that costs is written here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping

FANOUT = "fanout is pub/sub: only who listens at the moment gets it, and every consumer a copy of its own"
PRIORITY = 'priorities are kombu 5\'s four steps, smaller first, in every queue: see the option "priority_order"'


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def degradations() -> Mapping[str, Any]:
    return {
        "TestFanout.test_queues_keep_it_until_somebody_consumes": FANOUT,
        "TestFanout.test_consumers_of_one_queue_share_its_copy": FANOUT,
        "TestNoPriority.test_a_queue_without_the_argument_keeps_the_order": PRIORITY,
        "priority": PRIORITY,
    }
