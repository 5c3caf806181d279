"""One script, two brokers: RabbitMQ and ``memory://`` show the same, step by step.

Where they do not, and cannot, docs/amqp.md says so, and the last tests here prove it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from time import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kombu import Connection, Queue
from kombu.exceptions import AccessRefused, ChannelError
from kombu_memory import reset
from tests.support import scripts, scripts_of_rules
from tests.support.player import Player

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = "memory://same-script"


def play(script: Callable[[Player], None], url: str, expected: list[Any] | None = None) -> list[Any]:
    """The transcript of a performance."""
    try:
        with Player(url, expected) as player:
            script(player)
    finally:
        reset("same-script")
    return player.transcript


def compare(script: Callable[[Player], None], amqp_url: str) -> None:
    """Play it on both, and fail with all that differs."""
    memory = play(script, MEMORY)
    rabbit = play(script, amqp_url, memory)
    both = zip(memory, rabbit, strict=True)
    differing = [f"memory:   {ours}\nRabbitMQ: {theirs}" for ours, theirs in both if ours != theirs]
    assert not differing, "\n".join(differing)
    assert len(memory) > 3


@pytest.mark.parametrize(
    "script", [*scripts.SCRIPTS, *scripts_of_rules.SCRIPTS], ids=lambda script: script.__name__
)
def test_the_same_on_both(script: Callable[[Player], None], amqp_url: str) -> None:
    compare(script, amqp_url)


QUEUES = st.sampled_from(["q0", "q1", "q2"])
EXCHANGES = st.sampled_from(["x0", "x1"])
KEYS = st.sampled_from(["a", "b", "a.b", "a.*", "#"])
BOOLEANS = st.booleans()
ARGUMENTS: Any = st.sampled_from(
    [
        {},
        {},
        {"max_length": 2},
        {"max_length": 1, "overflow": "reject-publish"},
        {"max_priority": 3},
        {"dead_letter_exchange": "x1"},
        {"max_length": 1, "dead_letter_exchange": "x1"},
        {"max_length": 1, "overflow": "reject-publish-dlx", "dead_letter_exchange": "x1"},
        {"max_length": 2, "max_priority": 3},
    ]
)


def step(verb: str, /, **options: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(verb), st.fixed_dictionaries(options))


STEPS = st.lists(
    st.one_of(
        step("queue", name=QUEUES, more=ARGUMENTS),
        step("exchange", name=EXCHANGES, type=st.sampled_from(["direct", "topic", "fanout"])),
        step("bind", queue=QUEUES, exchange=EXCHANGES, key=KEYS),
        step("unbind", queue=QUEUES, exchange=EXCHANGES, key=KEYS),
        step(
            "publish", exchange=EXCHANGES, key=KEYS, mandatory=BOOLEANS, priority=st.sampled_from([0, 2, 9])
        ),
        step(
            "publish",
            exchange=st.just(""),
            key=QUEUES,
            mandatory=BOOLEANS,
            priority=st.sampled_from([0, 2, 9]),
        ),
        step("get", queue=QUEUES, no_ack=BOOLEANS),
        step(
            "consume",
            queue=QUEUES,
            prefetch=st.sampled_from([0, 1, 2]),
            then=st.sampled_from(["", "ack", "reject"]),
        ),
        step("settle", verb=st.just("ack"), which=st.integers(0, 3), multiple=BOOLEANS),
        step("settle", verb=st.sampled_from(["reject", "requeue"]), which=st.integers(0, 3)),
        step("purge", queue=QUEUES),
        step("delete_queue", queue=QUEUES, if_unused=BOOLEANS, if_empty=BOOLEANS),
        step("delete_exchange", exchange=EXCHANGES, if_unused=BOOLEANS),
        step("recover"),
        step("close_channel"),
    ),
    min_size=5,
    max_size=30,
)

#: What there is in the beginning, so that most steps find something.
BEGINNING = [
    ("exchange", {"name": "x0", "type": "topic"}),
    ("exchange", {"name": "x1", "type": "fanout"}),
    ("queue", {"name": "q0"}),
    ("queue", {"name": "q2"}),
    ("bind", {"queue": "q0", "exchange": "x0", "key": "a.*"}),
    ("bind", {"queue": "q2", "exchange": "x1", "key": "a"}),
]


@settings(max_examples=60)
@given(arguments=ARGUMENTS, steps=STEPS)
def test_any_script(amqp_url: str, arguments: dict[str, Any], steps: list[Any]) -> None:
    def script(player: Player) -> None:
        player.queue("q1", **arguments)
        for number, (verb, options) in enumerate([*BEGINNING, *steps]):
            more = options.get("more", {})
            options = {name: value for name, value in options.items() if name != "more"}
            if verb == "publish":
                options["body"] = number
            getattr(player, verb)(**options, **more)
            player.ready()

    compare(script, amqp_url)


# -- the documented differences


def test_an_unknown_exchange_type_ends_the_connection_of_rabbitmq(amqp_url: str) -> None:
    def script(player: Player) -> None:
        player.exchange("x", "no-such-type")

    [(*_, memory)] = play(script, MEMORY)
    [(*_, rabbit)] = play(script, amqp_url)
    assert memory[:2] == ("PreconditionFailed", 503)
    assert rabbit == ("connection error", 503)


def test_rabbitmq_sends_ahead_and_memory_is_asked(amqp_url: str) -> None:
    def ready_after_one(url: str) -> int:
        """Of three messages, with a consumer that has no prefetch limit and was given one."""
        with (
            Connection(url, transport_options={"confirm_publish": True}) as connection,
            connection.channel() as probe,
        ):
            queue = Queue(f"ahead-{uuid4()}")
            for body in range(3):
                connection.Producer().publish(body, routing_key=queue.name, declare=[queue])
            received: list[Any] = []
            with connection.Consumer([queue], on_message=received.append):
                while not received:
                    connection.drain_events(timeout=5)
                ready = queue(probe).queue_declare(passive=True).message_count
            queue(probe).delete()
            return int(ready)

    assert ready_after_one(amqp_url) == 0
    assert ready_after_one(MEMORY) == 2


def test_the_moment_of_a_death(amqp_url: str) -> None:
    def moment(url: str) -> Any:
        with Connection(url) as connection:
            dead, queue = Queue(f"dead-{uuid4()}"), Queue(f"work-{uuid4()}")
            queue.queue_arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name}
            connection.Producer().publish("x", routing_key=queue.name, declare=[dead, queue])
            with connection.Consumer([queue], on_message=lambda message: message.reject()):
                connection.drain_events(timeout=5)
            received: list[Any] = []
            with connection.Consumer([dead], on_message=received.append, no_ack=True):
                while not received:
                    connection.drain_events(timeout=5)
            for each in (dead, queue):
                each(connection.default_channel).delete()
            return received[0].headers["x-death"][0]["time"]

    assert abs(moment(amqp_url) - datetime.now(timezone.utc).replace(tzinfo=None)) < timedelta(minutes=1)
    assert abs(moment(MEMORY) - time()) < 60


def test_a_message_that_comes_back_without_on_return(amqp_url: str) -> None:
    def publish(url: str, **options: Any) -> None:
        with Connection(url, transport_options=options) as connection:
            connection.Producer().publish("x", routing_key=f"nobody-{uuid4()}", mandatory=True)

    with pytest.raises(ChannelError, match="NO_ROUTE"):
        publish(amqp_url, confirm_publish=True)
    publish(MEMORY)


def test_deliveries_are_counted_in_every_queue_of_memory(amqp_url: str) -> None:
    def counts(url: str) -> list[int]:
        with Connection(url) as connection:
            queue = Queue(f"counted-{uuid4()}")(connection.default_channel)
            connection.Producer().publish("x", routing_key=queue.name, declare=[queue])
            found = []
            for _ in range(3):
                message = queue.get()
                found.append(message.delivery_count)
                message.requeue()
            queue.delete()
            return found

    assert counts(amqp_url) == [0, 1, 1]
    assert counts(MEMORY) == [0, 1, 2]


def test_names_that_are_rabbitmqs_own(amqp_url: str) -> None:
    def declare(url: str) -> None:
        with Connection(url) as connection:
            Queue("amq.mine", exclusive=True)(connection.default_channel).declare()

    with pytest.raises(AccessRefused, match="reserved prefix"):
        declare(amqp_url)
    declare(MEMORY)
