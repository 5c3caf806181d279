"""Plays a script on a broker through kombu's public interface, and writes down everything that can be seen.

Two transcripts of one script are equal when two brokers do the same. Names get a prefix of their own on the broker and
lose it in the transcript. What a broker does in its own time (dead letters, messages of a closed channel going back) is
waited for: :meth:`Player.ready` looks until it sees what the transcript to compare with says, or patience is over.
"""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kombu import Connection, Exchange, Queue
from kombu.exceptions import ChannelError, ConnectionError, MessageNacked, MessageStateError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Player",)

#: Seconds that a broker may take to do what it does in its own time.
PATIENCE = 20.0

#: What is written down of a message's properties.
PROPERTIES = (
    "app_id",
    "correlation_id",
    "delivery_mode",
    "expiration",
    "message_id",
    "priority",
    "reply_to",
    "timestamp",
    "type",
)


def quiet(action: Callable[[], Any]) -> Callable[[], None]:
    """The same, whatever it returns."""

    def act() -> None:
        action()

    return act


class Player:
    """One performance.

    Arguments:
        url: of the broker.
        expected: the transcript to compare with, if there is one already.
    """

    def __init__(self, url: str, expected: list[Any] | None = None) -> None:
        self.expected = expected
        self.transcript: list[Any] = []
        self.prefix = f"script.{uuid4().hex[:10]}."
        self.connection = Connection(
            url, transport_options={"confirm_publish": True} if "amqp" in url else None
        )
        self.channel = self.connection.channel()
        #: For looking at queues without disturbing the script's channel.
        self._probe = self.connection.channel()
        self._queues: dict[str, None] = {}
        self._exchanges: dict[str, None] = {}
        self._returned: list[Any] = []
        #: The messages of this channel that were received and not yet settled, in order.
        self.held: list[Any] = []

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self.connection, self.connection.channel() as channel:
            for queue in self._queues:
                Queue(self._full(queue))(channel).delete()
            for exchange in self._exchanges:
                Exchange(self._full(exchange))(channel).delete()

    # -- declaring

    def exchange(self, name: str, type: str = "direct", **arguments: Any) -> None:
        """Declare; ``alternate_exchange="other"`` and so on."""
        arguments = {key.replace("_", "-"): self._full(value) for key, value in arguments.items()}
        made = Exchange(self._full(name), type, arguments=arguments)
        self._exchanges[name] = None
        self._play("exchange", quiet(lambda: made(self.channel).declare()), name, type)

    def queue(self, name: str, **arguments: Any) -> None:
        """Declare; ``max_length=3`` and so on, and the names of other entities are given their prefix."""
        known = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        if known.get("x-dead-letter-exchange"):
            known["x-dead-letter-exchange"] = self._full(known["x-dead-letter-exchange"])
        if known.get("x-dead-letter-routing-key") in self._queues:
            known["x-dead-letter-routing-key"] = self._full(known["x-dead-letter-routing-key"])
        queue = Queue(self._full(name), queue_arguments=known)
        self._queues[name] = None
        self._play("queue", quiet(lambda: queue(self.channel).queue_declare()), name, arguments)

    def bind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        bound = self._queue(queue)
        self._play(
            "bind", quiet(lambda: bound.bind_to(self._full(exchange), key, arguments)), queue, exchange, key
        )

    def unbind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        bound = self._queue(queue)
        self._play(
            "unbind",
            quiet(lambda: bound.unbind_from(self._full(exchange), key, arguments)),
            queue,
            exchange,
            key,
        )

    def bind_exchange(self, destination: str, source: str, key: str = "") -> None:
        bound = Exchange(self._full(destination))(self.channel)
        self._play(
            "bind_exchange", quiet(lambda: bound.bind_to(self._full(source), key)), destination, source, key
        )

    def purge(self, queue: str) -> None:
        self._play("purge", self._queue(queue).purge, queue)

    def delete_queue(self, queue: str, **conditions: Any) -> None:
        self._play("delete_queue", lambda: self._queue(queue).delete(**conditions), queue, conditions)

    def delete_exchange(self, exchange: str, **conditions: Any) -> None:
        made = Exchange(self._full(exchange))(self.channel)
        self._play("delete_exchange", quiet(lambda: made.delete(**conditions)), exchange, conditions)

    # -- messages

    def publish(
        self, body: Any, exchange: str = "", key: str = "", mandatory: bool = False, **options: Any
    ) -> None:
        """Publish; by the default exchange the key is a queue's name. What is returned is written down, too."""
        producer = self.connection.Producer(self.channel, on_return=self._on_return)
        routing_key = key if exchange else self._full(key)

        def publish() -> list[Any]:
            self._returned.clear()
            producer.publish(
                body, exchange=self._full(exchange), routing_key=routing_key, mandatory=mandatory, **options
            )
            return list(self._returned)

        self._play("publish", publish, body, exchange, key)

    def _on_return(self, exception: Any, exchange: str, routing_key: str, message: Any) -> None:
        message = self.channel.message_to_python(message)
        self._returned.append(
            (exception.reply_code, self._short(exchange), self._short(routing_key), message.payload)
        )

    def get(self, queue: str, no_ack: bool = False) -> None:
        """Get one, which is then held unless ``no_ack``."""

        def get() -> Any:
            message = self._queue(queue).get(no_ack=no_ack)
            if message is None:
                return None
            if not no_ack:
                self.held.append(message)
            return self.seen(message), message.delivery_info.get("message_count")

        self._play("get", get, queue, no_ack)

    def consume(self, queue: str, prefetch: int = 0, then: str = "", no_ack: bool = False) -> None:
        """Consume until nothing is left, or as much as ``prefetch`` lets.

        Arguments:
            then: ``ack`` or ``reject`` each message at once; by default they are held.
        """

        def consume() -> list[Any]:
            received: list[Any] = []

            def on_message(message: Any) -> None:
                received.append(self.seen(message))
                if then:
                    getattr(message, then)()
                elif not no_ack:
                    self.held.append(message)

            consumer = self.connection.Consumer(
                [self._queue(queue)], self.channel, no_ack=no_ack, on_message=on_message, auto_declare=False
            )
            consumer.qos(prefetch_count=prefetch)
            with consumer:
                self._drain(queue, lambda: bool(prefetch) and not then and len(received) >= prefetch)
            return received

        self._play("consume", consume, queue, prefetch, then, no_ack)

    def _drain(self, queue: str, is_full: Callable[[], bool]) -> None:
        until = monotonic() + PATIENCE
        while monotonic() < until:
            # What was sent before the second answer has come with it.
            left = [self._queue(queue).queue_declare(passive=True).message_count for _ in range(2)][1]
            moved = False
            try:
                while True:
                    self.connection.drain_events(timeout=0)
                    moved = True
            except TimeoutError:
                if not moved and (is_full() or not left):
                    return

    def settle(self, verb: str, which: int = 0, **options: Any) -> None:
        """``ack``, ``reject`` or ``requeue`` a held message."""
        if not self.held:
            return
        message = self.held[which % len(self.held)]
        settled = self.held[: which % len(self.held) + 1] if options.get("multiple") else [message]
        self.held = [each for each in self.held if each not in settled]
        self._play(verb, lambda: getattr(message, verb)(**options), message.payload, options)

    def recover(self) -> None:
        """Everything held goes back."""
        self.held.clear()
        self._play("recover", quiet(lambda: self.channel.basic_recover(requeue=True)))

    def close_channel(self) -> None:
        """Everything held goes back, and the script goes on with another channel."""
        self._play("close_channel", quiet(lambda: self.channel.close()))
        self._new_channel()

    def act(
        self, what: str, action: Callable[[Any, Callable[[str], str]], Any], *, elsewhere: bool = False
    ) -> None:
        """Do anything else: ``action(channel, name)``, where ``name`` gives what a thing is called on the broker.

        Arguments:
            elsewhere: on a connection of its own.
        """

        def act() -> Any:
            if not elsewhere:
                return action(self.channel, self._full)
            with self.connection.clone() as connection:
                return action(connection.channel(), self._full)

        self._play("act", act, what)

    # -- looking

    def seen(self, message: Any) -> dict[str, Any]:
        """What is written down of a message."""
        info, properties = message.delivery_info, message.properties
        return {
            "payload": message.payload,
            "type": (message.content_type, message.content_encoding),
            "from": (self._short(info["exchange"]), self._short(info["routing_key"])),
            "redelivered": message.redelivered,
            "headers": self._plain(message.headers),
            **{name: properties[name] for name in PROPERTIES if properties.get(name) is not None},
        }

    def ready(self) -> None:
        """Write down how many messages are ready in each queue."""
        expected = None
        if self.expected is not None and len(self.transcript) < len(self.expected):
            expected = self.expected[len(self.transcript)]
        until = monotonic() + PATIENCE
        while True:
            found = ("ready", {queue: self._count(queue) for queue in self._queues})
            if expected is None or found == expected or monotonic() > until:
                break
            sleep(0.002)
        self.transcript.append(found)

    def await_ready(self, queue: str, count: int | None, pause: float = 0.002) -> None:
        """Wait until a queue has so many messages (None: is gone), which takes time on any broker.

        Arguments:
            pause: seconds between two looks. To look is to use a queue, so one that expires needs longer ones.
        """
        until = monotonic() + PATIENCE
        while self._count(queue) != count and monotonic() < until:
            sleep(pause)
        self.ready()

    def _count(self, queue: str) -> int | None:
        try:
            return int(Queue(self._full(queue))(self._probe).queue_declare(passive=True).message_count)
        except NotFound:
            self._probe = self.connection.channel()
            return None

    # -- how

    def _play(self, verb: str, action: Callable[[], Any], *what: Any) -> None:
        """Do it and write down what came of it. A channel error ends the channel, and the next one goes on."""
        try:
            result = action()
        except (MessageNacked, MessageStateError) as exc:
            result = type(exc).__name__
        except ChannelError as exc:
            family = next(kind for kind in type(exc).__mro__ if kind.__module__ == "kombu.exceptions")
            # (what is wrong with an argument, each says in its own words)
            text = (
                str(exc.reply_text)
                .partition(" - ")[0 if exc.reply_code == 406 else 2]
                .partition(" in vhost")[0]
            )
            result = (family.__name__, exc.reply_code, self._short(text))
            self._new_channel()
        except ConnectionError as exc:
            result = ("connection error", getattr(exc, "reply_code", None))
            self.connection.close()
            self._new_channel()
            self._probe = self.connection.channel()
        self.transcript.append((verb, what, result))

    def _new_channel(self) -> None:
        self.held.clear()
        self.channel = self.connection.channel()

    def _queue(self, name: str) -> Any:
        return Queue(self._full(name))(self.channel)

    def _full(self, name: str) -> str:
        return f"{self.prefix}{name}" if name else name

    def _short(self, name: str) -> str:
        return name.replace(self.prefix, "")

    def _plain(self, value: Any) -> Any:
        """Headers without prefixes, and without the moment of a death."""
        if isinstance(value, dict):
            return {key: self._plain(each) for key, each in value.items() if key != "time"}
        if isinstance(value, list):
            return [self._plain(each) for each in value]
        return self._short(value) if isinstance(value, str) else value
