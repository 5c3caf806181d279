"""Exchanges, queues and bindings: what they ask of a channel, when they are equal, how they are copied."""

from __future__ import annotations

import pickle

import pytest

from kombu import Exchange, Queue, binding
from kombu.entity import maybe_delivery_mode, pretty_bindings
from kombu.exceptions import ContentDisallowed, NotBoundError
from kombu.message import Message

from .channels import PaperChannel, received


@pytest.fixture
def channel():
    return PaperChannel()


# -- exchanges


def test_declaring_an_exchange_sends_all_of_it(channel):
    # Given
    exchange = Exchange("news", "topic", durable=False, auto_delete=True, arguments={"alternate-exchange": "lost"})
    # When
    exchange(channel).declare()
    # Then
    assert channel.asked("exchange_declare") == [
        {
            "exchange": "news",
            "type": "topic",
            "durable": False,
            "auto_delete": True,
            "arguments": {"alternate-exchange": "lost"},
            "nowait": False,
            "passive": False,
        }
    ]


def test_an_unbound_exchange_can_be_declared_on_a_given_channel(channel):
    Exchange("news").declare(channel=channel, nowait=True, passive=True)
    (asked,) = channel.asked("exchange_declare")
    assert asked["nowait"] and asked["passive"]


@pytest.mark.parametrize("exchange", [Exchange(""), Exchange("amq.topic", "topic"), Exchange("x", no_declare=True)])
def test_what_belongs_to_the_broker_is_not_declared(channel, exchange):
    exchange(channel).declare()
    assert channel.calls == []


def test_a_passive_exchange_is_only_asserted(channel):
    Exchange("x", passive=True)(channel).declare()
    assert channel.asked("exchange_declare")[0]["passive"] is True


@pytest.mark.parametrize("source", ["src", Exchange("src", "topic")])
def test_exchanges_are_bound_to_exchanges_and_unbound(channel, source):
    # Given
    exchange = Exchange("dest")(channel)
    # When
    exchange.bind_to(source, "rk", {"a": 1}, nowait=True)
    exchange.unbind_from(source, "rk", arguments={"b": 2})
    # Then
    route = {"destination": "dest", "source": "src", "routing_key": "rk"}
    assert channel.asked("exchange_bind") == [{**route, "nowait": True, "arguments": {"a": 1}}]
    assert channel.asked("exchange_unbind") == [{**route, "nowait": False, "arguments": {"b": 2}}]


@pytest.mark.parametrize(
    ("of_exchange", "of_message", "expected"),
    [(None, None, 2), (1, None, 1), ("transient", None, 1), ("transient", "persistent", 2), (None, 1, 1)],
)
def test_messages_have_the_delivery_mode_asked_for_else_the_exchanges(channel, of_exchange, of_message, expected):
    exchange = Exchange("x", delivery_mode=of_exchange)(channel)
    assert exchange.Message("text", of_message)["properties"]["delivery_mode"] == expected


def test_message_leaves_the_properties_it_was_given_alone(channel):
    # Given
    properties = {"reply_to": "r"}
    # When
    message = Exchange("x")(channel).Message("text", properties=properties, priority=3, headers={"h": 1})
    # Then
    assert properties == {"reply_to": "r"}
    assert message["properties"] == {"reply_to": "r", "delivery_mode": 2}
    assert (message["priority"], message["headers"], message["content_encoding"]) == (3, {"h": 1}, "utf-8")


@pytest.mark.parametrize("body", ["text", b"bytes"])
def test_an_exchange_publishes_plain_bodies(channel, body):
    # When
    Exchange("x", delivery_mode=1)(channel).publish(body, "rk", mandatory=True)
    # Then
    ((message, options),) = channel.published()
    assert message["body"] == body and message["properties"] == {"delivery_mode": 1}
    assert options == {"exchange": "x", "routing_key": "rk", "mandatory": True, "immediate": False}


def test_an_exchange_publishes_prepared_messages_elsewhere_too(channel):
    exchange = Exchange("x")(channel)
    exchange.publish(exchange.Message("text"), "rk", exchange="other")
    assert channel.published()[0][1]["exchange"] == "other"


def test_deleting_an_exchange(channel):
    Exchange("x")(channel).delete(if_unused=True)
    assert channel.asked("exchange_delete") == [{"exchange": "x", "if_unused": True, "nowait": False}]


@pytest.mark.parametrize(
    "other",
    [
        Exchange("b"),
        Exchange("a", "topic"),
        Exchange("a", durable=False),
        Exchange("a", auto_delete=True),
        Exchange("a", delivery_mode=1),
        Exchange("a", arguments={"x": 1}),
    ],
)
def test_exchanges_differ_when_their_declarations_do(other):
    assert Exchange("a") != other


def test_equal_exchanges_have_equal_hashes():
    one, same = Exchange("a", arguments={"x": 1}, passive=True), Exchange("a", arguments={"x": 1}, no_declare=True)
    assert one == same and hash(one) == hash(same)
    assert one != "a" and one == one(PaperChannel())


def test_only_exchanges_that_stay_can_be_declared_once():
    assert Exchange("a").can_cache_declaration
    assert not Exchange("a", auto_delete=True).can_cache_declaration


def test_operations_need_a_channel():
    for operation in (Exchange("a").declare, Exchange("a").delete, Queue("q").purge, Queue("q").declare):
        with pytest.raises(NotBoundError, match="not bound to a channel"):
            operation()


@pytest.mark.parametrize(
    ("mode", "number"), [(None, 2), ("transient", 1), ("persistent", 2), (1, 1), (2, 2), (0, 2)]
)
def test_delivery_modes_have_names(mode, number):
    assert maybe_delivery_mode(mode) == number


def test_a_delivery_mode_nobody_knows_is_refused_by_name():
    with pytest.raises(ValueError, match=r"delivery_mode 'fast' is not known.*persistent or transient"):
        Exchange("x", delivery_mode="fast")


# -- bindings


def test_a_binding_declares_its_source_and_binds_queues_and_exchanges(channel):
    # Given
    route = binding(Exchange("e"), "k", {"a": 1}, {"u": 1})
    # When
    route.declare(channel)
    route.bind(Queue("q")(channel))
    route.bind(Exchange("x")(channel), nowait=True)
    route.unbind(Queue("q"), channel=channel)
    route.unbind(Exchange("x")(channel))
    # Then
    assert channel.asked("exchange_declare")[0]["exchange"] == "e"
    assert channel.asked("queue_bind")[0]["arguments"] == {"a": 1}
    assert channel.asked("exchange_bind")[0]["source"] == "e" and channel.asked("exchange_bind")[0]["nowait"]
    assert channel.asked("queue_unbind")[0]["arguments"] == {"u": 1}
    assert channel.asked("exchange_unbind")[0]["destination"] == "x"


def test_a_binding_may_name_an_exchange_that_exists(channel):
    # Given a source given by name: its type is unknown, so it is not declared
    Queue("q", [binding("there", "k")])(channel).declare()
    # Then
    assert channel.verbs() == ["queue_declare", "queue_bind"]
    assert channel.asked("queue_bind")[0]["exchange"] == "there"


def test_bindings_are_equal_by_value():
    one, same = binding(Exchange("e"), "k", {"a": 1}), Exchange("e").binding("k", {"a": 1})
    assert one == same and hash(one) == hash(same) and len({one, same}) == 1
    assert one != binding(Exchange("e"), "k") and one != "e->k"


def test_bindings_are_shown_short():
    routes = [binding(Exchange("foo"), "r1"), binding("bar", "r2"), binding()]
    assert pretty_bindings(routes) == "[''->'', bar->r2, foo->r1]"
    assert repr(routes[0]) == "<binding: foo->r1>"


# -- queues


def test_declaring_a_queue_declares_its_exchange_and_binds_it(channel):
    # Given
    queue = Queue(
        "q",
        Exchange("e"),
        "k",
        queue_arguments={"x-own": 1},
        binding_arguments={"b": 1},
        expires=3.5,
        message_ttl=2,
        max_length=5,
        max_length_bytes=6,
        max_priority=7,
    )
    # When
    assert queue(channel).declare() == "q"
    # Then
    assert channel.verbs() == ["exchange_declare", "queue_declare", "queue_bind"]
    assert channel.asked("queue_declare") == [
        {
            "queue": "q",
            "passive": False,
            "durable": True,
            "exclusive": False,
            "auto_delete": False,
            "nowait": False,
            "arguments": {
                "x-own": 1,
                "x-expires": 3500,
                "x-message-ttl": 2000,
                "x-max-length": 5,
                "x-max-length-bytes": 6,
                "x-max-priority": 7,
            },
        }
    ]
    assert channel.asked("queue_bind") == [
        {"queue": "q", "exchange": "e", "routing_key": "k", "arguments": {"b": 1}, "nowait": False}
    ]


def test_a_queue_on_the_default_exchange_is_not_bound(channel):
    Queue("q")(channel).declare()
    assert channel.verbs() == ["queue_declare"]


def test_a_queue_of_several_bindings_is_bound_by_each(channel):
    # Given an exchange besides: bindings take its place
    routes = [binding(Exchange("e1"), "1"), binding(Exchange("e2"), "2"), binding()]
    queue = Queue("q", Exchange("main"), bindings=routes)
    # When
    queue(channel).declare()
    # Then
    assert queue.exchange is None
    assert [asked["exchange"] for asked in channel.asked("exchange_declare")] == ["e1", "e2"]
    assert [(asked["exchange"], asked["routing_key"]) for asked in channel.asked("queue_bind")] == [
        ("e1", "1"),
        ("e2", "2"),
    ]


@pytest.mark.parametrize("exchange", [[binding(Exchange("e"), "k")], (binding(Exchange("e"), "k"),), binding("e", "k")])
def test_bindings_can_be_given_as_the_exchange(exchange):
    queue = Queue("q", exchange)
    assert queue.exchange is None and len(queue.bindings) == 1


def test_no_declare_leaves_the_broker_alone(channel):
    assert Queue("q", Exchange("e"), "k", no_declare=True)(channel).declare() == "q"
    assert channel.calls == []


def test_the_broker_may_choose_the_name(channel):
    # Given
    seen = []
    queue = Queue("", Exchange("e"), "k", on_declared=lambda *declared: seen.append(declared))(channel)
    # When
    queue.declare()
    # Then
    assert queue.name == "amq.gen-1" and channel.asked("queue_bind")[0]["queue"] == "amq.gen-1"
    assert seen == [("amq.gen-1", 5, 6)]


def test_on_declared_may_be_a_method_and_is_kept_by_bound_copies_only(channel):
    # Given
    seen = []
    queue = Queue("q", on_declared=lambda name, messages, consumers: seen.append(name))
    # When
    queue(channel).queue_declare(passive=True)
    # Then
    assert seen == ["q"] and channel.asked("queue_declare")[0]["passive"]
    assert pickle.loads(pickle.dumps(queue)).on_declared is None


def test_nothing_is_known_of_a_queue_declared_without_waiting(channel):
    # Given a channel that does not wait, as AMQP with nowait
    seen = []
    channel.queue_declare = lambda **kwargs: None
    # When
    queue = Queue("q", on_declared=lambda *declared: seen.append(declared))(channel)
    # Then
    assert queue.queue_declare(nowait=True) is None and queue.name == "q" and seen == []


def test_a_queue_takes_its_exchange_along_when_bound(channel):
    queue = Queue("q", Exchange("e"), "k")
    bound = queue(channel)
    assert bound.exchange.channel is channel and not queue.exchange.is_bound
    other = PaperChannel()
    bound.revive(other)
    assert bound.exchange.channel is other


@pytest.mark.parametrize("exchange", ["x", Exchange("x")])
def test_binding_by_hand(channel, exchange):
    # When
    queue = Queue("q", Exchange("e"), "k")(channel)
    queue.bind_to(exchange, "y", {"a": 1})
    queue.unbind_from(exchange, "y", {"a": 1}, nowait=True)
    queue.queue_unbind({"g": 1})
    # Then
    assert channel.asked("queue_bind") == [
        {"queue": "q", "exchange": "x", "routing_key": "y", "arguments": {"a": 1}, "nowait": False}
    ]
    assert [(asked["exchange"], asked["arguments"]) for asked in channel.asked("queue_unbind")] == [
        ("x", {"a": 1}),
        ("e", {"g": 1}),
    ]


def test_exclusive_queues_go_away_by_themselves():
    assert Queue("q", exclusive=True, auto_delete=False).auto_delete is True


def test_consuming(channel):
    # When
    queue = Queue("q", consumer_arguments={"x-priority": 3}, no_ack=True)(channel)
    queue.consume("tag", print, nowait=True, on_cancel=repr)
    queue.consume("tag2", print, no_ack=False)
    queue.cancel("tag")
    # Then
    asked = {"queue": "q", "callback": print, "arguments": {"x-priority": 3}}
    assert channel.asked("basic_consume") == [
        {**asked, "consumer_tag": "tag", "no_ack": True, "nowait": True, "on_cancel": repr},
        {**asked, "consumer_tag": "tag2", "no_ack": False, "nowait": False, "on_cancel": None},
    ]
    assert channel.asked("basic_cancel") == [("tag", {})]


def test_get_takes_one_message_or_none(channel):
    # Given one message
    channel.inbox.append(b"raw from the wire")
    queue = Queue("q")(channel)
    # When
    message = queue.get(accept=["pickle", "text/plain"])
    # Then
    assert isinstance(message, Message)
    assert message.accept == {"application/x-python-serialize", "text/plain"}
    assert queue.get() is None
    assert channel.asked("basic_get") == [{"queue": "q", "no_ack": False}] * 2


def test_what_is_got_with_no_ack_needs_no_acknowledgement(channel):
    # Given
    channel.inbox.append(received(b'{"a": 1}', channel))
    # When
    message = Queue("q", no_ack=True)(channel).get()
    message.ack()
    # Then nothing reaches the broker, which would not know the tag
    assert channel.asked("basic_ack") == [] and message.payload == {"a": 1}


def test_an_undecodable_message_is_handed_out_and_can_be_settled(channel):
    # Given a body that claims to be compressed
    channel.inbox.append(received(b"junk", channel, headers={"compression": "application/x-gzip"}))
    # When
    message = Queue("q")(channel).get()
    # Then decoding fails, and the message is still in our hands
    with pytest.raises(Exception, match="."):
        message.decode()
    message.reject()
    assert channel.asked("basic_reject") == [("tag-1", {"requeue": False})]


def test_purging_and_deleting(channel):
    # When
    queue = Queue("q")(channel)
    assert queue.purge() == 4
    queue.delete(if_unused=True, if_empty=True, nowait=True)
    # Then
    assert channel.asked("queue_delete") == [{"queue": "q", "if_unused": True, "if_empty": True, "nowait": True}]


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange": "e"},
        {"routing_key": "k"},
        {"queue_arguments": {"a": 1}},
        {"binding_arguments": {"a": 1}},
        {"consumer_arguments": {"a": 1}},
        {"durable": False},
        {"exclusive": True},
        {"auto_delete": True},
        {"bindings": [binding("e", "k")]},
        {"expires": 1},
        {"message_ttl": 1},
        {"max_length": 1},
        {"max_length_bytes": 1},
        {"max_priority": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_queues_differ_when_their_declarations_do(changes):
    assert Queue("q") != Queue("q", **changes)
    assert Queue("q", **changes) == Queue("q", **changes)
    assert hash(Queue("q")) == hash(Queue("q", **changes))


@pytest.mark.parametrize("changes", [{"no_ack": True}, {"alias": "a"}, {"no_declare": True}, {"on_declared": print}])
def test_what_the_broker_never_hears_makes_no_difference(changes):
    assert Queue("q") == Queue("q", **changes) and Queue("q") != "q"


@pytest.mark.parametrize(
    ("queue", "stays"),
    [
        (Queue("q"), True),
        (Queue("q", durable=False), True),
        (Queue("q", auto_delete=True), False),
        (Queue("q", exclusive=True), False),
        (Queue("q", expires=1), False),
        (Queue("q", queue_arguments={"x-expires": 1}), False),
        (Queue("q", queue_arguments={"other": 1}), True),
    ],
)
def test_only_queues_that_stay_can_be_declared_once(queue, stays):
    assert queue.can_cache_declaration is stays


def test_from_dict_reads_flat_options():
    # Given options as configuration files have them
    options = {
        "exchange": "e",
        "exchange_type": "topic",
        "exchange_durable": True,
        "exchange_arguments": {"f": 1},
        "delivery_mode": "transient",
        "binding_key": "bk",
        "routing_key": "rk",
        "durable": False,
        "queue_auto_delete": True,
        "queue_arguments": {"b": 1},
        "message_ttl": 3,
        "no_ack": True,
        "surprise": "ignored",
    }
    # When
    queue = Queue.from_dict("q", **options)
    # Then
    assert queue.exchange == Exchange("e", "topic", delivery_mode=1, arguments={"f": 1})
    assert (queue.name, queue.routing_key, queue.durable, queue.auto_delete) == ("q", "bk", False, True)
    assert (queue.queue_arguments, queue.message_ttl, queue.no_ack) == ({"b": 1}, 3.0, True)


def test_durable_and_auto_delete_are_for_both_when_nothing_else_is_said():
    queue = Queue.from_dict("q", exchange="e", durable=False, auto_delete=True)
    assert not queue.durable and not queue.exchange.durable
    assert queue.auto_delete and queue.exchange.auto_delete


def test_from_dict_takes_declarations_as_they_are():
    exchange = Exchange("e")
    assert Queue.from_dict("q", exchange=exchange).exchange is exchange
    assert Queue.from_dict("q", bindings=[{"exchange": {"name": "e"}, "routing_key": "k"}]).bindings == {
        binding(exchange, "k")
    }


def test_subclasses_are_copied_as_what_they_are(channel):
    # Given a subclass with an attribute of its own
    class Tagged(Queue):
        attrs = (*Queue.attrs, ("tag", None))

    # When / Then
    bound = Tagged("q", tag="x")(channel)
    assert isinstance(bound, Tagged) and bound.tag == "x"
    assert bound.ContentDisallowed is ContentDisallowed


def test_key_is_another_name_of_the_routing_key():
    assert Queue("q", Exchange("e"), key="k") == Queue("q", Exchange("e"), routing_key="k")


@pytest.mark.parametrize("kind", [Exchange, Queue])
def test_options_that_are_none_are_told(kind):
    with pytest.warns(UserWarning, match=f"{kind.__name__} has no option 'durabel' .ignored.; it has name, .*durable"):
        kind("x", durabel=False)


def test_bound_entities_show_their_channel(channel):
    assert repr(Exchange("e")(channel)) == "<Exchange e(direct) bound to chan:7>"
    assert repr(Queue("q", Exchange("e"), "k")(channel)) == (
        "<Queue q -> <Exchange e(direct) bound to chan:7> -> k bound to chan:7>"
    )
    assert repr(Queue("q", [binding("e", "k")])) == "<unbound Queue q -> [e->k]>"
    assert str(Exchange("e", "topic")) == "Exchange e(topic)"
