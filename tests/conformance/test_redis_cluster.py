"""The conformance suite on ``redis+cluster://``, three masters with replicas: nothing is degraded.

With ``--cluster`` all of it runs, else the classes in which slots may matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.testing.conformance import *  # noqa: F403

if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL = """
    TestAck TestAlternateExchange TestAutoDelete TestBatch TestBind TestCancelNotification TestCloseAndReconnect TestConfirm
    TestConsume TestDeadLetter TestDeclaredCapabilities TestDelete TestDeliveryCount TestDeliveryLimit TestErrors
    TestEventLoop TestExchangeBindings TestExclusive TestExclusiveConsumer TestFanout TestGet TestMandatory TestMaxLength
    TestPriority TestRecover TestRedeclare TestRejectPublish TestRequeue TestThreads
""".split()


@pytest.fixture
def url(redis_cluster_url: str) -> str:
    return redis_cluster_url


@pytest.fixture
def connection_options(redis_prefix: str) -> Mapping[str, Any]:
    options = {"fanout": "queue", "priority_order": "rabbitmq", "global_keyprefix": redis_prefix}
    return {"transport_options": options}
