"""More scripts for :class:`tests.support.player.Player`: who may do what, and what goes by itself."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.player import Player

__all__ = ("SCRIPTS",)


def settled_wrongly(p: Player) -> None:
    p.queue("q0")
    for number in range(4):
        p.publish(number, "", "q0")
    p.get("q0")
    message = p.held[0]
    p.settle("ack")
    p.act("twice", lambda channel, name: message.ack())
    p.get("q0")

    def settle_unknown(channel: Any, verb: str, **options: Any) -> None:
        getattr(channel, verb)(99, **options)
        channel.queue_declare("amq.nothing", passive=True)  # (the broker's answer comes before the next one)

    p.act("ack", lambda channel, name: settle_unknown(channel, "basic_ack"))
    p.ready()
    p.act("ack multiple", lambda channel, name: settle_unknown(channel, "basic_ack", multiple=True))
    p.act("reject", lambda channel, name: settle_unknown(channel, "basic_reject"))
    p.get("q0")
    p.act("ack all", lambda channel, name: channel.basic_ack(0, multiple=True))
    p.ready()


def exclusive(p: Player) -> None:
    p.act(
        "declare",
        lambda channel, name: channel.queue_declare(name("mine"), exclusive=True).queue == name("mine"),
    )
    p.publish("x", "", "mine")

    def use(channel: Any, name: Any) -> None:
        channel.queue_declare(name("mine"), passive=True)

    p.act("passive", use)
    p.act("passive elsewhere", use, elsewhere=True)
    p.act(
        "declare elsewhere",
        lambda channel, name: channel.queue_declare(name("mine")) and None,
        elsewhere=True,
    )
    p.act("get elsewhere", lambda channel, name: channel.basic_get(name("mine")), elsewhere=True)
    p.act("delete elsewhere", lambda channel, name: channel.queue_delete(name("mine")), elsewhere=True)
    p.act("purge elsewhere", lambda channel, name: channel.queue_purge(name("mine")), elsewhere=True)
    p.act(
        "consume elsewhere",
        lambda channel, name: channel.basic_consume(name("mine")) and None,
        elsewhere=True,
    )
    p.publish("y", "", "mine")
    p.consume("mine", then="ack")
    # an exclusive consumer
    p.queue("q0")

    def consume_twice(channel: Any, name: Any, *exclusive: bool) -> None:
        for number, each in enumerate(exclusive):
            channel.basic_consume(name("q0"), consumer_tag=f"t{number}", callback=print, exclusive=each)

    p.act("after an exclusive one", lambda channel, name: consume_twice(channel, name, True, False))
    p.act("after another", lambda channel, name: consume_twice(channel, name, False, True))
    p.act("shared", lambda channel, name: consume_twice(channel, name, False, False))


def auto_delete(p: Player) -> None:
    p.exchange("d", "direct")
    p.act("queue", lambda channel, name: channel.queue_declare(name("auto"), auto_delete=True) and None)
    p.act(
        "exchange",
        lambda channel, name: channel.exchange_declare(name("x"), "fanout", auto_delete=True) and None,
    )
    p.bind("auto", "x")
    p.bind("auto", "d", "k")
    p.publish(1, "x")
    p.publish(2, "d", "k")
    p.get("auto")
    p.settle("requeue")
    p.consume("auto")
    # the last consumer is gone, so the queue is, and the exchange without a binding, too
    p.publish(3, "d", "k", mandatory=True)
    p.publish(4, "x")
    p.act("passive", lambda channel, name: channel.queue_declare(name("auto"), passive=True))


def forbidden(p: Player) -> None:
    kept, gone = {"auto_delete": False}, {"auto_delete": True}
    p.queue("q0")
    p.exchange("d", "direct")
    p.act(
        "bind to the default exchange", lambda channel, name: channel.queue_bind(name("q0"), "", "k") and None
    )
    p.act("unbind", lambda channel, name: channel.queue_unbind(name("q0"), "", name("q0")) and None)
    p.act("delete the default exchange", lambda channel, name: channel.exchange_delete("") and None)
    p.publish("x", "", "q0", expiration=-1)
    p.publish("x", "amq.fanout", "k")
    p.act(
        "passive", lambda channel, name: channel.exchange_declare(name("d"), "topic", passive=True) and None
    )
    p.act(
        "passive", lambda channel, name: channel.exchange_declare(name("e"), "direct", passive=True) and None
    )
    p.act("not durable", lambda channel, name: channel.queue_declare(name("q0"), durable=False, **kept))
    p.act(
        "auto delete",
        lambda channel, name: channel.exchange_declare(name("d"), "direct", durable=True, **gone),
    )
    p.ready()


def unused_queue_expires(p: Player) -> None:
    p.queue("q0", expires=1500)
    p.publish("x", "", "q0")
    for _ in range(6):  # to ask is to use
        p.act("time goes by", lambda channel, name: Event().wait(0.3))
        p.ready()
    p.await_ready("q0", None, pause=1.7)
    p.publish("y", "", "q0", mandatory=True)


def a_consumer_whose_queue_is_deleted(p: Player) -> None:
    p.queue("q0")
    p.publish("x", "", "q0")

    def consume(channel: Any, name: Any) -> Any:
        cancelled: list[str] = []
        channel.basic_consume(name("q0"), consumer_tag="t", callback=print, on_cancel=cancelled.append)
        with p.connection.clone() as other:
            other.channel().queue_delete(name("q0"))
        while not cancelled:
            p.connection.drain_events(timeout=5)
        return cancelled

    p.act("consume", consume)
    p.ready()


SCRIPTS = [
    settled_wrongly,
    exclusive,
    auto_delete,
    forbidden,
    unused_queue_expires,
    a_consumer_whose_queue_is_deleted,
]
