"""Scripts for :class:`tests.support.player.Player`: what a program may do with a broker, and what it may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.player import Player

__all__ = ("SCRIPTS",)


def topic(p: Player) -> None:
    p.exchange("t", "topic")
    patterns = ["#", "*", "a.*", "*.b", "a.#", "#.b", "a.*.b", "*.#.b", "a.#.b", "", "#.#", "a.b", "*.*.*"]
    for number, pattern in enumerate(patterns):
        p.queue(f"q{number}")
        p.bind(f"q{number}", "t", pattern)
    for key in ["a", "b", "a.b", "a.x.b", "a.x.y.b", "", "a.", ".b", "a..b", "ab", "b.a", "x.y.z"]:
        p.publish(key, "t", key)
        p.ready()
    for number in range(len(patterns)):
        p.consume(f"q{number}", then="ack")


def headers(p: Player) -> None:
    p.exchange("h", "headers")
    bindings: list[dict[str, Any]] = [
        {"x_match": "all", "a": 1},
        {"x_match": "all", "a": 1, "b": "x"},
        {"x_match": "any", "a": 1, "b": "x"},
        {"x_match": "any"},
        {"x_match": "all"},
        {"a": 1},
        {"x_match": "all", "c": None},
        {"x_match": "all", "x_own": 1},
        {"x_match": "any", "a": True},
        {"x_match": "any", "a": "1"},
    ]
    for number, arguments in enumerate(bindings):
        p.queue(f"q{number}")
        p.bind(f"q{number}", "h", "", **arguments)
    sent: list[dict[str, Any]] = [
        {}, {"a": 1}, {"a": 2}, {"a": 1, "b": "x"}, {"b": "x", "z": 0}, {"a": "1"}, {"a": True}, {"c": "anything"},
        {"c": None}, {"x-own": 1}, {"a": 1.0},
    ]  # fmt: skip
    for each in sent:
        p.publish("x", "h", "ignored", headers=each)
        p.ready()
    p.queue("bad")
    p.bind("bad", "h", "", x_match="some")


def fanout_and_exchange_bindings(p: Player) -> None:
    p.exchange("f", "fanout")
    p.exchange("d", "direct")
    for name in ("q0", "q1"):
        p.queue(name)
        p.bind(name, "f", "ignored")
    p.bind("q0", "d", "k")
    p.bind("q0", "d", "k")  # twice is once
    p.bind_exchange("f", "d", "both")
    p.publish(1, "f", "anything")
    p.publish(2, "d", "both")
    p.publish(3, "d", "k")
    p.publish(4, "d", "nobody")
    p.ready()
    p.consume("q0", then="ack")
    p.consume("q1", then="ack")
    p.unbind("q0", "d", "k")
    p.publish(5, "d", "k")
    p.unbind("q0", "d", "k")  # no such binding
    p.ready()


def alternate_exchange(p: Player) -> None:
    p.exchange("last", "fanout")
    p.exchange("middle", "direct", alternate_exchange="last")
    p.exchange("first", "topic", alternate_exchange="middle")
    p.exchange("lost", "direct", alternate_exchange="nowhere")
    for name, exchange, key in [("q0", "first", "a.*"), ("q1", "middle", "b"), ("q2", "last", "")]:
        p.queue(name)
        p.bind(name, exchange, key)
    for key in ("a.b", "b", "c"):
        p.publish(key, "first", key, mandatory=True)
        p.ready()
    p.publish("x", "lost", "x")
    p.publish("y", "lost", "y", mandatory=True)
    for name in ("q0", "q1", "q2"):
        p.consume(name, then="ack")


def dead_letters(p: Player) -> None:
    p.exchange("dlx", "direct")
    p.queue("dead")
    p.bind("dead", "dlx", "work")
    p.bind("dead", "dlx", "again")
    p.queue("work", dead_letter_exchange="dlx")
    p.exchange("x", "fanout")
    p.bind("work", "x")
    p.publish("one", "x", "work", headers={"mine": 1})
    p.publish("two", "x", "nobody-takes-this-key")
    p.publish("three", "x", "again", expiration=60)
    p.ready()
    p.consume("work", then="reject")
    p.ready()
    p.get("dead")
    p.get("dead")
    p.get("dead")
    # what was dead goes round once more
    p.settle("ack", 0)
    p.settle("ack", 0)
    p.queue("work2", dead_letter_exchange="dlx", dead_letter_routing_key="again")
    p.publish("four", "", "work2")
    p.get("work2")
    p.settle("reject")
    p.ready()
    p.get("dead")
    # requeued is not rejected
    p.publish("five", "", "work2")
    p.get("work2")
    p.settle("requeue", 1)
    p.get("work2")
    p.ready()


def dead_letters_by_name_and_round_again(p: Player) -> None:
    p.queue("work")
    p.queue("waiting", dead_letter_exchange="", dead_letter_routing_key="work", message_ttl=30)
    p.publish("x", "", "waiting")
    p.await_ready("work", 1)
    p.get("work", no_ack=True)
    p.publish("y", "", "waiting", expiration=0.02)
    p.await_ready("work", 1)
    p.get("work", no_ack=True)


def same_message_dies_twice(p: Player) -> None:
    p.exchange("dlx", "fanout")
    p.exchange("retry", "fanout")
    p.queue("work", dead_letter_exchange="dlx")
    p.queue("pause", dead_letter_exchange="retry", message_ttl=20)
    p.bind("work", "retry")
    p.bind("pause", "dlx")
    p.publish("x", "retry", "key", headers={"h": [1, {"a": None}]})
    for _ in range(3):
        p.get("work")
        p.settle("reject")
        p.await_ready("work", 1)
    p.get("work")


def ttl(p: Player) -> None:
    p.queue("q0", message_ttl=40)
    p.queue("q1")
    p.publish("a", "", "q0")
    p.publish("b", "", "q0", expiration=30)
    p.publish("c", "", "q1", expiration=0.03)
    p.publish("d", "", "q1")
    p.await_ready("q0", 0)
    p.await_ready("q1", 1)
    p.get("q0")
    p.get("q1")
    p.queue("q2", message_ttl=0)
    p.publish("e", "", "q2")
    p.ready()


def priorities(p: Player) -> None:
    p.queue("q0", max_priority=5)
    p.queue("q1")
    for number, priority in enumerate([0, 5, None, 9, 1, 5, 3, 0]):
        for name in ("q0", "q1"):
            p.publish(number, "", name, **({} if priority is None else {"priority": priority}))
    p.get("q0")
    p.get("q0")
    p.settle("requeue", 1)
    p.settle("requeue", 0)
    p.consume("q0", then="ack")
    p.consume("q1", then="ack")


def drop_head(p: Player) -> None:
    p.exchange("dlx", "fanout")
    p.queue("dead")
    p.bind("dead", "dlx")
    p.queue("q0", max_length=2, dead_letter_exchange="dlx")
    p.queue("q1", max_length_bytes=10)
    p.queue("q2", max_length=0)
    for number in range(5):
        p.publish(number, "", "q0")
        p.publish("x" * 2 * number, "", "q1")
        p.ready()
    p.publish("x", "", "q2")
    p.get("q0")
    p.publish(5, "", "q0")
    p.publish(6, "", "q0")
    p.ready()
    p.settle("requeue")  # one too many: the first goes
    p.ready()
    p.consume("q0", then="ack")
    p.consume("q1", then="ack")
    p.consume("dead", then="ack")


def reject_publish(p: Player) -> None:
    p.exchange("dlx", "fanout")
    p.queue("dead")
    p.bind("dead", "dlx")
    p.queue("q0", max_length=2, overflow="reject-publish", dead_letter_exchange="dlx")
    p.queue("q1", max_length=1, overflow="reject-publish-dlx", dead_letter_exchange="dlx")
    for number in range(4):
        p.publish(number, "", "q0")
        p.publish(number, "", "q1")
        p.ready()
    p.consume("q0", then="ack")
    p.publish(9, "", "q0")
    p.consume("q0")
    p.consume("dead", then="ack")
    # one of several queues is full
    p.exchange("f", "fanout")
    p.queue("roomy")
    p.bind("roomy", "f")
    p.bind("q1", "f")
    p.publish("both", "f")
    p.ready()


def mandatory(p: Player) -> None:
    p.exchange("d", "direct")
    p.queue("q0")
    p.publish("a", "", "nobody", mandatory=True)
    p.publish("b", "d", "nobody", mandatory=True, headers={"h": 1}, correlation_id="c")
    p.publish("c", "", "q0", mandatory=True)
    p.publish("d", "", "nobody")
    p.publish("e", "missing", "x", mandatory=True)
    p.publish("f", "", "q0", mandatory=True)
    p.ready()


def acknowledging(p: Player) -> None:
    p.queue("q0")
    for number in range(8):
        p.publish(number, "", "q0")
    p.consume("q0", prefetch=3)
    p.settle("ack", 1, multiple=True)
    p.consume("q0", prefetch=2)
    p.ready()
    p.settle("requeue", 0)
    p.settle("requeue", 1)
    p.get("q0")
    p.recover()
    p.ready()
    p.get("q0")
    p.settle("reject", 0, requeue=True)
    p.get("q0")
    p.close_channel()
    p.ready()
    p.consume("q0", prefetch=2, then="ack")
    p.ready()


def not_acknowledging(p: Player) -> None:
    p.queue("q0")
    for number in range(6):
        p.publish(number, "", "q0")
    p.get("q0", no_ack=True)
    p.consume("q0", no_ack=True)
    p.close_channel()
    p.ready()


def purge_and_delete(p: Player) -> None:
    p.exchange("d", "direct")
    p.queue("q0")
    p.queue("q1")
    p.bind("q0", "d", "k")
    for number in range(4):
        p.publish(number, "", "q0")
    p.get("q0")
    p.purge("q0")
    p.settle("requeue")
    p.ready()
    p.delete_queue("q0", if_empty=True)  # it is not
    p.ready()
    p.delete_exchange("d", if_unused=True)  # it is
    p.delete_queue("q1", if_unused=True, if_empty=True)
    p.get("q0")
    p.delete_queue("q0")
    p.settle("ack")  # of a queue that is gone
    p.ready()
    p.publish("x", "d", "k", mandatory=True)
    p.delete_exchange("d", if_unused=True)
    p.publish("y", "d", "k")
    p.delete_exchange("d")
    p.delete_queue("q0")
    p.purge("q0")


def messages_of_a_queue_that_was_replaced(p: Player) -> None:
    p.queue("dead")
    for _ in range(2):
        p.queue("q0", dead_letter_exchange="", dead_letter_routing_key="dead")
        for number in range(3):
            p.publish(number, "", "q0")
        p.consume("q0")
        p.delete_queue("q0")
    p.queue("q0", dead_letter_exchange="", dead_letter_routing_key="dead")
    p.settle("requeue")
    p.ready()
    p.settle("reject")
    p.ready()
    p.settle("ack")
    p.recover()
    p.ready()


def refused(p: Player) -> None:
    p.exchange("d", "direct")
    p.exchange("d", "topic")
    p.queue("q0", max_length=3)
    p.queue("q0", max_length=4)
    p.queue("q0")
    p.queue("bad", message_ttl=-1)
    p.queue("bad", overflow="no-such-overflow")
    p.queue("bad", max_priority="x")
    p.bind("q0", "missing", "k")
    p.bind("missing", "d", "k")
    p.bind("missing", "missing too", "k")
    p.bind_exchange("missing", "missing too", "k")
    p.bind_exchange("missing", "d", "k")
    p.unbind("q0", "missing", "k")
    p.unbind("missing", "d", "k")
    p.get("missing")
    p.consume("missing")
    p.purge("missing")
    p.delete_queue("missing")
    p.delete_exchange("missing")
    p.publish("x", "missing", "k")
    p.publish("x", "", "q0")
    p.get("q0")
    p.publish("y", "missing", "k")  # the channel ends, and what it held goes back
    p.ready()
    p.get("q0")


def properties(p: Player) -> None:
    p.queue("q0")
    nested = {"n": 1, "t": True, "l": [1, "x"], "d": {"e": 1.5}, "none": None}
    p.publish({"a": [1, None, "ü"]}, "", "q0", headers=nested)
    p.publish("text", "", "q0", serializer="raw", delivery_mode=1, correlation_id="c", reply_to="r", message_id="m")
    p.publish(b"\x00\xff", "", "q0", type="t", app_id="a", timestamp=1234567890, priority=3)
    p.publish(b"", "", "q0")
    p.publish("", "", "q0")
    p.publish("x" * 3000, "", "q0", compression="zlib")
    p.publish("big" * 100_000, "", "q0", expiration=60)
    p.consume("q0", prefetch=4)
    p.recover()
    p.consume("q0", then="ack")


SCRIPTS = [
    topic,
    headers,
    fanout_and_exchange_bindings,
    alternate_exchange,
    dead_letters,
    dead_letters_by_name_and_round_again,
    same_message_dies_twice,
    ttl,
    priorities,
    drop_head,
    reject_publish,
    mandatory,
    acknowledging,
    not_acknowledging,
    purge_and_delete,
    messages_of_a_queue_that_was_replaced,
    refused,
    properties,
]
