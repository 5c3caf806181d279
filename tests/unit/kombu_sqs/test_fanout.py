"""Fanout exchanges are topics of SNS: they reach other processes, and leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.exceptions import UnsupportedCapability
from kombu.pidbox import Mailbox
from kombu_sqs import UndefinedExchangeException, reset
from tests.support.sqs import Endpoint
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from tests.support.sqs_proxy import HttpProxy

#: Another process, which knows nothing of the bindings made here.
PUBLISHER = """
import sys
from kombu import Connection, Exchange
url, name, body = sys.argv[1:]
with Connection(url, transport_options={"supports_fanout": True}) as connection:
    connection.Producer(exchange=Exchange(name, "fanout")).publish(body)
"""


def subscriptions(endpoint: Endpoint, name: str) -> list[str]:
    sns = endpoint.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    return [one["Endpoint"] for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]


def fanout(url: str, **options: Any) -> Connection:
    return connect(url, supports_fanout=True, **options)


def test_a_message_reaches_every_queue_from_another_process(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given
    with fanout(sqs_endpoint.url) as connection:
        exchange = Exchange(sqs_name, "fanout")
        inboxes = []
        for number in range(2):
            name = f"{sqs_name}-{number}"
            Queue(name, exchange, channel=connection.channel()).declare()
            inboxes.append(Inbox(connection, name))
        # When
        subprocess.run([sys.executable, "-c", PUBLISHER, sqs_endpoint.url, sqs_name, "hello"], check=True)
        # Then
        for inbox in inboxes:
            message = inbox.receive(1)[0]
            assert message.payload == "hello"
            assert message.delivery_info["exchange"] == sqs_name
            message.ack()


def test_queues_that_go_take_their_subscriptions_along(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given: one queue that stays, one of this connection alone
    with fanout(sqs_endpoint.url) as connection:
        exchange = Exchange(sqs_name, "fanout")
        Queue(f"{sqs_name}-stays", exchange, channel=connection.channel()).declare()
        Queue(f"{sqs_name}-goes", exchange, exclusive=True, channel=connection.channel()).declare()
        assert len(subscriptions(sqs_endpoint, sqs_name)) == 2
    # Then
    assert [arn.rpartition(":")[2] for arn in subscriptions(sqs_endpoint, sqs_name)] == [f"{sqs_name}-stays"]
    # And: the topic goes with its exchange
    with fanout(sqs_endpoint.url) as connection:
        connection.default_channel.exchange_delete(sqs_name)
        topics = sqs_endpoint.client("sns").list_topics()["Topics"]
        assert not any(one["TopicArn"].endswith(f":{sqs_name}") for one in topics)


def test_what_killed_workers_left_can_be_removed(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    with fanout(sqs_endpoint.url) as connection:
        exchange = Exchange(sqs_name, "fanout")
        for name in ("dead", "alive"):
            Queue(f"{sqs_name}-{name}", exchange, channel=connection.channel()).declare()
        url = sqs_endpoint.client().get_queue_url(QueueName=f"{sqs_name}-dead")["QueueUrl"]
        sqs_endpoint.client().delete_queue(QueueUrl=url)
        # When
        gone = connection.default_channel.remove_stale_sns_subscriptions(sqs_name)
        # Then
        assert [arn.rpartition(":")[2] for arn in gone] == [f"{sqs_name}-dead"]
        assert len(subscriptions(sqs_endpoint, sqs_name)) == 1


def test_the_policy_of_others_is_kept(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    arn = sqs_endpoint.attributes(queue)["QueueArn"]
    theirs = {
        "Sid": "theirs",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [theirs]})
    sqs_endpoint.client().set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    with fanout(sqs_endpoint.url) as connection:
        for number in range(2):
            exchange = Exchange(f"{sqs_name}-{number}", "fanout")
            Queue(sqs_name, exchange, channel=connection.channel()).declare()
    statements = json.loads(sqs_endpoint.attributes(queue)["Policy"])["Statement"]
    assert [one["Sid"] for one in statements] == ["theirs", "KombuFanout"]
    assert len(statements[1]["Condition"]["ArnEquals"]["aws:SourceArn"]) == 2


class TestTwoProcessesThatBindAtOnce:
    """Each reads the queue's policy, adds its topic and writes it: the second undoes what the first wrote."""

    def test_who_binds_sees_to_it_that_its_topic_is_in(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
    ) -> None:
        # Given: what is written is gone at once, twice
        sqs_proxy.rule = lambda action, number: {} if action == "SetQueueAttributes" and number <= 2 else None
        with fanout(Endpoint(sqs_proxy.port).url) as connection:
            # When
            Queue(sqs_name, Exchange(sqs_name, "fanout"), channel=connection.channel()).declare()
            # Then
            url = sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]
            assert f":{sqs_name}" in sqs_endpoint.attributes(url)["Policy"]

    def test_and_that_it_stays_in(self, sqs_endpoint: Endpoint, sqs_name: str) -> None:
        # Given
        with fanout(sqs_endpoint.url) as connection:
            Queue(sqs_name, Exchange(sqs_name, "fanout"), channel=connection.channel()).declare()
            url = sqs_endpoint.client().get_queue_url(QueueName=sqs_name)["QueueUrl"]
            policy = sqs_endpoint.attributes(url)["Policy"]
            topic = json.loads(policy)["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"][0]
            # When: the other one, which had read it before, is slower
            theirs = policy.replace(topic, f"{topic}-of-another")
            sqs_endpoint.client().set_queue_attributes(QueueUrl=url, Attributes={"Policy": theirs})
            # Then: both are in
            until(lambda: f'"{topic}"' in sqs_endpoint.attributes(url)["Policy"], "it is put back")
            assert f'"{topic}-of-another"' in sqs_endpoint.attributes(url)["Policy"]


def test_predefined_exchanges(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    # Given
    arn = sqs_endpoint.client("sns").create_topic(Name=f"{sqs_name}-given")["TopicArn"]
    options = {"predefined_exchanges": {sqs_name: {"arn": arn}}}
    reset()
    with fanout(sqs_endpoint.url, **options) as connection:
        Queue(sqs_name, Exchange(sqs_name, "fanout"), channel=connection.channel()).declare()
        connection.Producer(exchange=Exchange(sqs_name, "fanout")).publish("hello")
        Inbox(connection, sqs_name).receive(1)[0].ack()
        with pytest.raises(UndefinedExchangeException, match="predefined_exchanges"):
            Exchange("other", "fanout", channel=connection.channel()).declare()
    assert len(subscriptions(sqs_endpoint, f"{sqs_name}-given")) == 1


def test_without_the_option_it_is_refused(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    with connect(sqs_endpoint.url) as connection:
        assert not connection.supports_exchange_type("fanout")
        with pytest.raises(UnsupportedCapability, match="supports_fanout"):
            Exchange(sqs_name, "fanout", channel=connection.channel()).declare()


def test_remote_control(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    """Celery's remote control: a broadcast, and an answer to the queue of who asked."""
    mailbox = Mailbox(sqs_name, type="fanout", accept=["json"])
    with fanout(sqs_endpoint.url) as worker:
        reset()  # from here on it is as in another process, where nothing of this one is known
        controller = fanout(sqs_endpoint.url)
        # Given
        node = mailbox(worker).Node("worker", channel=worker.channel())
        node.handlers["ping"] = lambda state, **kwargs: "pong"
        node.listen(callback=node.handle_message)
        answers: list[Any] = []

        def ask() -> None:
            answers.extend(mailbox(controller).multi_call("ping", timeout=5, limit=1) or ())

        asking = Thread(target=ask)
        asking.start()
        # When
        until(lambda: not asking.is_alive(), "the answer comes", worker)
        controller.release()
        # Then
        assert answers == [{"worker": "pong"}]
