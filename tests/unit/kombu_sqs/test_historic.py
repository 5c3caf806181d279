"""Names of earlier versions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

import kombu_sqs
from tests.unit.kombu_sqs.helpers import Inbox, connect

if TYPE_CHECKING:
    from tests.support.sqs import Endpoint


def test_the_historic_path_is_the_same_module() -> None:
    assert import_module("kombu.transport.SQS") is kombu_sqs
    historic = import_module("kombu.transport.SQS.exceptions")
    assert historic.UndefinedQueueException is kombu_sqs.UndefinedQueueException


def test_what_a_channel_says_of_itself(sqs_endpoint: Endpoint) -> None:
    options = {"region": "eu-west-1", "queue_name_prefix": "pre-", "visibility_timeout": 60}
    with connect(sqs_endpoint.url, **options) as connection:
        channel = connection.channel()
        assert (channel.region, channel.queue_name_prefix, channel.visibility_timeout) == (
            "eu-west-1",
            "pre-",
            60,
        )
        assert (channel.endpoint_url, channel.port) == (sqs_endpoint.address, sqs_endpoint.port)
        assert (channel.is_secure, channel.sqs_base64_encoding) == (False, True)
        assert channel.canonical_queue_name("a.b") == "pre-a-b"
        assert channel.entity_name("a.b.fifo") == "a-b.fifo"
        assert channel.sqs().meta.service_model.service_name == "sqs"
        assert "ApproximateReceiveCount" in channel.fetch_message_attributes["MessageSystemAttributeNames"]
        assert channel.conninfo is connection
        assert connection.transport.driver_type == "sqs"
        assert connection.transport.driver_version()


def test_settings_of_the_client(sqs_endpoint: Endpoint) -> None:
    options = {"client-config": {"connect_timeout": 1.5, "max_pool_connections": 3}}
    with connect(sqs_endpoint.url, **options) as connection:
        config = connection.channel().sqs().meta.config
        assert (config.connect_timeout, config.max_pool_connections) == (1.5, 3)


@pytest.mark.parametrize(
    "wanted",
    [["SentTimestamp"], {"MessageSystemAttributeNames": ["SentTimestamp"], "MessageAttributeNames": ["a"]}],
)
def test_more_attributes_of_messages(sqs_endpoint: Endpoint, sqs_name: str, wanted: Any) -> None:
    sqs_endpoint.create(sqs_name)
    with connect(sqs_endpoint.url, fetch_message_attributes=wanted) as connection:
        attributes = {"a": "1", "b": "2"}
        connection.Producer().publish("hello", routing_key=sqs_name, message_attributes=attributes)
        message = Inbox(connection, sqs_name).receive(1)[0]
        system = message.delivery_info["sqs_message"]["Attributes"]
        assert int(system["SentTimestamp"]) > 0
        assert message.delivery_count == 0
        expected = {"a"} if isinstance(wanted, dict) else {"a", "b"}
        assert set(message.properties["message_attributes"]) == expected
