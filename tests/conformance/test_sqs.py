"""The conformance suite on ``sqs://``, with fanout by SNS, against moto's server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.sqs import Endpoint


@pytest.fixture
def url(sqs_endpoint: Endpoint) -> str:
    return sqs_endpoint.url


@pytest.fixture
def connection_options() -> Mapping[str, Any]:
    # (short polls, since leaving a queue waits for the one in flight)
    options = {"supports_fanout": True, "wait_time_seconds": 0, "polling_interval": 0.02}
    return {"transport_options": options}
