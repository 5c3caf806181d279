"""The conformance suite on ``sqs://``, with fanout by SNS, against moto's server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403
from tests.support.sqs import Shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu.testing.rig import Rig
    from tests.support.sqs import Endpoint


SHELF = Shelf()


class TestTurns(TestTurns):  # noqa: F405
    def test_also_by_two_connections(self, rig: Rig) -> None:
        """Where something limits them: a receive takes up to ten messages, so one may get everything otherwise."""
        queue = rig.queue()
        inboxes = []
        for _ in range(2):
            channel = rig.new_channel(rig.connect())
            channel.basic_qos(0, 1, False)
            inboxes.append(rig.consume(queue, channel=channel))
        rig.send(queue, "a", "b", "c")
        rig.receive(2, *inboxes)
        assert [len(inbox) for inbox in inboxes] == [1, 1]


@pytest.fixture
def url(sqs_endpoint: Endpoint) -> str:
    return sqs_endpoint.url


@pytest.fixture
def connection_options() -> Mapping[str, Any]:
    # (short polls, since leaving a queue waits for the one in flight)
    options = {"supports_fanout": True, "wait_time_seconds": 0, "polling_interval": 0.02, "offload": SHELF}
    return {"transport_options": options}


UNNOTICED = "a message that has expired stays in the queue until a consumer or a get comes to it"
SECONDS = "SQS delays by whole seconds: a fraction is rounded up"


@pytest.fixture
def degradations() -> Mapping[str, str]:
    return {
        "priority": "SQS has none: messages come about in the order of publishing",
        "max_length": "x-max-length is ignored: SQS knows the length of a queue only about",
        "queue_expires": "x-expires is ignored: a queue that nobody uses stays",
        "TestDelay.test_in_the_order_of_their_times": SECONDS,
        "TestMessageTtl.test_does_not_count_while_expired_messages_stand_first": UNNOTICED,
        "TestMessageTtl.test_zero_expires_unless_somebody_waits": UNNOTICED,
        "TestExpiredLetter.test_expired": UNNOTICED,
        "TestExpiredLetter.test_expired_by_the_queue": UNNOTICED,
        "TestExpiredLetter.test_several_causes_are_listed": UNNOTICED,
        "TestExpiredLetter.test_a_circle_without_a_rejection_ends": UNNOTICED,
        "TestExpiredLetter.test_retry_after_a_pause": UNNOTICED,
    }
