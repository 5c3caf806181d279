"""Declaring each entity once for a connection."""

from __future__ import annotations

import gc
import weakref

import pytest

from kombu import Exchange, Queue
from kombu.entity import declare_once
from kombu.exceptions import ChannelError, RecoverableConnectionError

from .channels import PaperChannel


@pytest.fixture
def channel():
    return PaperChannel()


def test_an_equal_declaration_is_made_once(channel):
    # When two equal queues are declared, one after the other
    assert declare_once(Queue("q", Exchange("e"), "k"), channel) is True
    assert declare_once(Queue("q", Exchange("e"), "k"), channel) is False
    # Then
    assert channel.verbs() == ["exchange_declare", "queue_declare", "queue_bind"]


@pytest.mark.parametrize("other", [Queue("q", Exchange("e"), "k2"), Queue("q", Exchange("e2"), "k"), Queue("q2")])
def test_another_declaration_is_made_even_under_the_same_name(channel, other):
    # Given
    declare_once(Queue("q", Exchange("e"), "k"), channel)
    # When / Then
    assert declare_once(other, channel) is True


def test_what_may_go_away_is_declared_every_time(channel):
    queue = Queue("q", auto_delete=True)
    assert declare_once(queue, channel) and declare_once(queue, channel)
    assert channel.verbs() == ["queue_declare"] * 2


def test_each_connection_is_told(channel):
    other = PaperChannel()
    declare_once(Exchange("e"), channel)
    assert declare_once(Exchange("e"), other) is True and other.verbs() == ["exchange_declare"]


def test_a_name_chosen_by_the_broker_is_written_back(channel):
    # Given
    queue = Queue("")
    # When
    declare_once(queue, channel)
    # Then the queue is known by that name, and not declared again
    assert queue.name == "amq.gen-1" and not queue.is_bound
    assert declare_once(queue, channel) is False


def test_nothing_without_a_name_is_taken_for_declared(channel):
    declare_once(Queue(""), channel)
    assert declare_once(Queue(""), channel) is True


def test_bound_entities_use_their_own_channel(channel):
    assert declare_once(Exchange("e")(channel)) is True
    assert channel.verbs() == ["exchange_declare"]


def test_what_was_deleted_is_declared_again(channel):
    # Given a queue and an exchange that are declared
    queue, exchange = Queue("q"), Exchange("q")
    declare_once(queue, channel)
    declare_once(exchange, channel)
    # When the queue is deleted
    queue(channel).delete()
    # Then the queue has to be declared anew, the exchange of that name not
    assert declare_once(queue, channel) is True
    assert declare_once(exchange, channel) is False


@pytest.mark.parametrize(
    ("bound", "again"),
    [
        (Queue("q", Exchange("e"), "k"), True),
        (Queue("q", [Exchange("e").binding("k")]), True),
        (Queue("q", Exchange("other"), "k"), False),
        (Queue("e"), False),
    ],
)
def test_queues_of_a_deleted_exchange_are_declared_again(channel, bound, again):
    # Given
    declare_once(bound, channel)
    # When the exchange goes, and its bindings with it
    Exchange("e")(channel).delete()
    # Then
    assert declare_once(bound, channel) is again


def test_the_memory_of_what_was_declared_keeps_no_channel_alive():
    # Given a bound queue that was declared on a connection that lives on
    channel = PaperChannel()
    client = channel.connection.client
    queue = Queue("q", Exchange("e"), "k")(channel)
    declare_once(queue)
    # When channel and queue are forgotten
    gone = weakref.ref(channel)
    del channel, queue
    gc.collect()
    # Then
    assert gone() is None and len(client.declared_entities) == 1


def test_changing_an_entity_afterwards_makes_it_another(channel):
    # Given
    queue = Queue("q", Exchange("e"), "k")
    declare_once(queue, channel)
    # When
    queue.routing_key = "other"
    # Then
    assert declare_once(queue, channel) is True


def test_a_channel_is_needed():
    with pytest.raises(ChannelError, match="is not bound, and no channel was given"):
        declare_once(Queue("q"))


def test_a_lost_connection_is_told_before_anything_is_tried(channel):
    channel.connection = None
    with pytest.raises(RecoverableConnectionError, match="channel disconnected"):
        declare_once(Queue("q"), channel)
