"""The conformance suite: what a transport has to do, as AMQP 0-9-1 and RabbitMQ's documentation say it.

A transport's author imports it in a test file and says where the broker is::

    from kombu.testing.conformance import *

    @pytest.fixture
    def url():
        return "myscheme://localhost"

Which tests have to pass follows from what the transport claims in ``implements``: see
:mod:`kombu.testing.claims`. The fixtures ``connection_options`` and ``degradations`` of
:mod:`kombu.testing.fixtures` can be overridden in the test file.
"""

from __future__ import annotations

from kombu.testing.conformance.arguments import TestArguments
from kombu.testing.conformance.bindings import TestAlternateExchange, TestExchangeBindings
from kombu.testing.conformance.connection import TestConnection, TestDeclaredCapabilities
from kombu.testing.conformance.consume import TestCallbacks, TestConsume, TestGet, TestTurns
from kombu.testing.conformance.consumers import TestCancelNotification, TestConsumerApi, TestExclusiveConsumer
from kombu.testing.conformance.deadletter import TestDeadLetter, TestDeliveryLimit, TestExpiredLetter
from kombu.testing.conformance.declare import TestBind, TestDelete, TestPassive, TestQueue, TestRedeclare
from kombu.testing.conformance.delay import TestDelay
from kombu.testing.conformance.errors import TestErrors
from kombu.testing.conformance.eventloop import TestEventLoop
from kombu.testing.conformance.exchanges import TestDefaultExchange, TestDirect, TestFanout, TestTopic
from kombu.testing.conformance.headers import TestHeaders
from kombu.testing.conformance.lifecycle import TestCloseAndReconnect
from kombu.testing.conformance.lifetimes import TestAutoDelete, TestExclusive, TestQueueExpires
from kombu.testing.conformance.limits import TestMaxLength, TestRejectPublish
from kombu.testing.conformance.payloads import TestPayloads
from kombu.testing.conformance.prefetch import TestChannelPrefetch, TestConsumerPrefetch
from kombu.testing.conformance.priority import TestNoPriority, TestPriority
from kombu.testing.conformance.publish import TestBatch, TestConfirm, TestMandatory, TestPublish
from kombu.testing.conformance.settle import TestAck, TestDeliveryCount, TestRecover, TestReject, TestRequeue
from kombu.testing.conformance.threads import TestThreads
from kombu.testing.conformance.ttl import TestMessageTtl
from kombu.testing.fixtures import connection_options, degradations, rig

__all__ = (
    "TestAck",
    "TestAlternateExchange",
    "TestArguments",
    "TestAutoDelete",
    "TestBatch",
    "TestBind",
    "TestCallbacks",
    "TestCancelNotification",
    "TestChannelPrefetch",
    "TestCloseAndReconnect",
    "TestConfirm",
    "TestConnection",
    "TestConsume",
    "TestConsumerApi",
    "TestConsumerPrefetch",
    "TestDeadLetter",
    "TestDeclaredCapabilities",
    "TestDefaultExchange",
    "TestDelay",
    "TestDelete",
    "TestDeliveryCount",
    "TestDeliveryLimit",
    "TestDirect",
    "TestErrors",
    "TestEventLoop",
    "TestExchangeBindings",
    "TestExclusive",
    "TestExclusiveConsumer",
    "TestExpiredLetter",
    "TestFanout",
    "TestGet",
    "TestHeaders",
    "TestMandatory",
    "TestMaxLength",
    "TestMessageTtl",
    "TestNoPriority",
    "TestPassive",
    "TestPayloads",
    "TestPriority",
    "TestPublish",
    "TestQueue",
    "TestQueueExpires",
    "TestRecover",
    "TestRedeclare",
    "TestReject",
    "TestRejectPublish",
    "TestRequeue",
    "TestThreads",
    "TestTopic",
    "TestTurns",
    "connection_options",
    "degradations",
    "rig",
)
