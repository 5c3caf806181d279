"""Leases while something else goes wrong: what is held stays held, what goes back does."""

from __future__ import annotations

from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from kombu.exceptions import AMQPError
from tests.support.sqs import Endpoint, Shelf
from tests.support.sqs_proxy import HttpProxy, refusal
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from collections.abc import Callable

#: An entry of a batch that failed for no fault of the sender.
PASSING = {"Id": "0", "SenderFault": False, "Code": "InternalError", "Message": "try again"}


def fail_entry(action: str, times: int = 1) -> Callable[[str, int], Any]:
    """The first requests of the action are answered, and their first entry has failed."""
    return lambda asked, number: {"Failed": [PASSING]} if asked == action and number <= times else None


def test_a_message_that_was_got_is_held_too(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: a connection that consumes from nothing
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    with connect(Endpoint(sqs_proxy.port).url, visibility_timeout=3) as connection:
        # When
        message = connection.default_channel.basic_get(sqs_name)
        until(lambda: sqs_proxy.count("ChangeMessageVisibilityBatch") >= 2, "it is extended")
        # Then
        assert sqs_endpoint.ready(queue) == 0
        message.ack()
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 0)


def test_an_entry_that_was_not_extended_is_tried_again(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    sqs_proxy.rule = fail_entry("ChangeMessageVisibilityBatch")
    with connect(Endpoint(sqs_proxy.port).url, visibility_timeout=4) as connection:
        inbox = Inbox(connection, sqs_name)
        inbox.receive(1)
        (held,) = connection.transport.session.leases.all()
        end = held.received + 4
        until(lambda: held.extend_at > end, "again, with success", connection)
        assert sqs_proxy.count("ChangeMessageVisibilityBatch") >= 2
        assert (len(inbox), sqs_endpoint.ready(queue)) == (1, 0)
    assert "may be handled twice" not in caplog.text


def test_an_entry_that_did_not_go_back_is_tried_again(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        message = Inbox(connection, sqs_name).receive(1)[0]
        sqs_proxy.rule = fail_entry("ChangeMessageVisibilityBatch")
        message.requeue()
    assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 1)


def test_a_slow_store_does_not_cost_leases(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: deleting what was kept elsewhere takes longer than a lease, and is done in the background
    deleting, go_on = Event(), Event()

    class Slow(Shelf):
        def delete(self, key: str) -> None:
            deleting.set()
            go_on.wait(60)
            super().delete(key)

    queue = sqs_endpoint.create(sqs_name)
    shelf = Slow()
    options = {"offload": shelf, "max_message_size": 2000, "batch_deletes": True, "visibility_timeout": 3}
    with connect(Endpoint(sqs_proxy.port).url, **options) as connection:
        for body in ("x" * 2000, "y"):
            connection.Producer().publish(body, routing_key=sqs_name)
        inbox = Inbox(connection, sqs_name)
        large, small = sorted(inbox.receive(2), key=lambda message: -len(message.payload))
        # When
        large.ack()
        assert deleting.wait(30)
        before = sqs_proxy.count("ChangeMessageVisibilityBatch")
        # Then: the other one is extended meanwhile
        until(lambda: sqs_proxy.count("ChangeMessageVisibilityBatch") >= before + 2, "it is held", connection)
        go_on.set()
        assert (len(inbox), sqs_endpoint.ready(queue)) == (2, 0)
        small.ack()
    assert shelf == {}


def test_what_is_held_for_long_is_held_as_long_as_sqs_allows(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given: a message that is in hand for 12 hours less two minutes, by the clock of its lease
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 1)
    with connect(Endpoint(sqs_proxy.port).url, visibility_timeout=1800) as connection:
        session = connection.transport.session
        inbox = Inbox(connection, sqs_name)
        inbox.receive(1)
        held = session.leases.all()[0]
        held.received, held.extend_at = monotonic() - 43200 + 120, monotonic()
        # When
        session.leases.extend()
        # Then: for what is left of them, and nothing is said before their end
        (entry,) = sqs_proxy.requests("ChangeMessageVisibilityBatch")[0]["Entries"]
        assert 30 <= entry["VisibilityTimeout"] <= 120
        assert "12 hours" not in caplog.text
        # And: then it is
        held.received, held.extend_at = monotonic() - 43200, monotonic()
        session.leases.extend()
        assert "12 hours" in caplog.text
        assert len(session.leases) == 0


def test_a_purge_that_fails_gives_back_what_it_took(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    queue = sqs_endpoint.create(sqs_name)
    sqs_endpoint.fill(queue, 5)
    with connect(Endpoint(sqs_proxy.port).url, max_attempts=1) as connection:
        sqs_proxy.rule = lambda action, number: refusal() if action.startswith("DeleteMessage") else None
        with pytest.raises(AMQPError):
            connection.channel().queue_purge(sqs_name)
        assert (sqs_endpoint.in_flight(queue), sqs_endpoint.ready(queue)) == (0, 5)
