"""The conformance suite on ``redis+cluster://``, three masters with replicas: nothing is degraded.

With ``--cluster`` all of it runs, else not the classes in which slots matter little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping

LEFT_OUT = (
    "TestArguments",
    "TestCallbacks",
    "TestChannelPrefetch",
    "TestConnection",
    "TestDelay",
    "TestExpiredLetter",
    "TestHeaders",
    "TestMessageTtl",
    "TestPayloads",
    "TestPublish",
    "TestQueueExpires",
    "TestTopic",
    "TestTurns",
)


@pytest.fixture
def url(redis_cluster_url: str) -> str:
    return redis_cluster_url


@pytest.fixture
def connection_options(redis_prefix: str) -> Mapping[str, Any]:
    options = {"fanout": "queue", "priority_order": "rabbitmq", "global_keyprefix": redis_prefix}
    return {"transport_options": options}
