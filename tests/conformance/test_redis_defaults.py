"""The conformance suite on ``redis://`` as it comes, compatible with kombu 5.7: what that costs is written here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping

FANOUT = "fanout is pub/sub, as with kombu 5: only consumers that listen get it, and queues keep nothing"
PRIORITY = "priorities are kombu 5's four steps, smaller first, in every queue (priority_order)"

DEGRADATIONS = {
    FANOUT: (
        "TestDeadLetter.test_by_a_fanout_exchange",
        "TestExpiredLetter.test_a_circle_without_a_rejection_ends",
        "TestFanout.test_an_unbound_queue_gets_nothing_more",
        "TestFanout.test_queues_keep_it_until_somebody_consumes",
        "TestRequeue.test_into_the_source_queue_only",
    ),
    PRIORITY: (
        "TestMaxLength.test_drops_what_would_come_first",
        "TestNoPriority.test_a_queue_without_the_argument_keeps_the_order",
        "TestPriority.test_above_the_maximum_is_the_maximum",
        "TestPriority.test_all_256_levels",
        "TestPriority.test_greater_first_and_in_order_within",
        "TestPriority.test_is_kept_when_requeued",
        "TestPriority.test_none_is_the_lowest",
        "TestPriority.test_overtakes_what_waits_behind_a_busy_consumer",
        "TestPriority.test_to_a_consumer",
    ),
}


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def degradations() -> Mapping[str, str]:
    return {test: reason for reason, tests in DEGRADATIONS.items() for test in tests}
