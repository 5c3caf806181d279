"""A publisher and a consumer, each in a thread, that go on whatever happens to their connections."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.mixins import ConsumerMixin
from kombu.pidbox import Mailbox
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: So many messages may wait in the queue.
BACKLOG = 300

TASKS = Exchange("tasks", "direct")
WORK = Queue("work", TASKS, "work")
NEWS = Exchange("news", "fanout")
INBOX = Queue("inbox", NEWS)
#: (An exclusive queue is its connection's until the lease of that ends, so a broken one would be in the way.)
CONTROL = Mailbox("control", "fanout", queue_exclusive=False)

POLICY = {"interval_start": 0.02, "interval_step": 0.05, "interval_max": 0.2}


class Publisher:
    """Publishes numbers, each until the server has it or its time is over, and tells of some to everybody."""

    def __init__(self, url: str, options: dict[str, Any], received: set[int]) -> None:
        self.connection = Connection(url, transport_options=options)
        self.received = received
        #: What the server has said it has.
        self.confirmed: set[int] = set()
        #: What it has told everybody.
        self.told: list[int] = []
        self.number = 0
        self.stop = Event()

    def run(self) -> None:
        rounds = 0
        with self.connection, self.connection.Producer() as producer:
            while not self.stop.is_set():
                if len(self.confirmed) - len(self.received) > BACKLOG:
                    self.stop.wait(0.001)  # (a busy machine is slower to consume than to publish)
                    continue
                rounds += 1
                try:
                    self.publish(producer, rounds)
                except OperationalError:
                    pass  # nobody knows, so nothing is promised
                except (*self.connection.connection_errors, *self.connection.channel_errors):
                    self.connection.collect(0.1)

    def publish(self, producer: Any, rounds: int) -> None:
        limits = {"retry": True, "timeout": 10, "retry_policy": POLICY}
        if rounds % 10 == 0:
            self.batch(producer)
        else:
            self.number += 1
            number = self.number
            producer.publish(number, exchange=TASKS, routing_key="work", declare=[WORK], **limits)
            self.confirmed.add(number)
        if rounds % 5 == 0:
            producer.publish(self.number, exchange=NEWS, declare=[NEWS], **limits)
            self.told.append(self.number)

    def batch(self, producer: Any) -> None:
        numbers = range(self.number + 1, self.number + 21)
        self.number = numbers[-1]
        try:
            with producer.batch(50):
                for number in numbers:
                    producer.publish(number, exchange=TASKS, routing_key="work")
        except BatchPublishError as exc:
            self.confirmed.update(n for n, outcome in zip(numbers, exc.outcomes, strict=False) if outcome is None)
        else:
            self.confirmed.update(numbers)


class Unlimited:
    def can_consume(self, tokens: int) -> bool:
        return True


class Program(ConsumerMixin):
    """Acknowledges what it gets, listens to what is told to everybody, and answers when it is asked."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.connection = Connection(url, transport_options=options)
        self.received: set[int] = set()
        self.last = 0
        self.heard = 0
        #: All that it has heard.
        self.news: list[int] = []

    def get_consumers(self, make: Any, channel: Any) -> list[Consumer]:
        handlers = {"ping": lambda state: "pong"}
        node = CONTROL(self.connection).Node("program", channel=channel, handlers=handlers)
        return [
            make([WORK], on_message=self.on_message, prefetch_count=20),
            make([INBOX], on_message=self.on_news, no_ack=True),
            node.Consumer(callbacks=[node.handle_message]),
        ]

    def establish_connection(self) -> Connection:
        """As the mixin does, without its pauses of many seconds."""
        connection = self.connection.clone()
        connection.ensure_connection(self.on_connection_error, **POLICY)
        return connection

    def on_connection_error(self, exc: BaseException, interval: float) -> None:
        super().on_connection_error(exc, interval)
        if self.should_stop:
            raise exc

    @property
    def restart_limit(self) -> Any:  # type: ignore[override]
        """As often as need be."""
        return Unlimited()

    def on_message(self, message: Any) -> None:
        self.received.add(message.payload)
        self.last = max(self.last, message.payload)
        message.ack()

    def on_news(self, message: Any) -> None:
        self.heard = max(self.heard, message.payload)
        self.news.append(message.payload)


class Work(Thread):
    """A thread whose end can be awaited, and that says how it ended."""

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = run
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as exc:
            self._error = exc

    def check(self) -> None:
        """Raise what has ended it."""
        if not self.is_alive() and self._error is not None:
            raise self._error

    def await_end(self, seconds: float = 30) -> None:
        """Wait for its end; fail, and say where it is, if that does not come."""
        self.join(seconds)
        if self.is_alive():
            frames = traceback.extract_stack(sys._current_frames()[self.ident or 0])
            where = " > ".join(f"{os.path.basename(file)}:{line} {name}" for file, line, name, _ in frames)
            raise AssertionError(f"{self.name} has not ended after {seconds:g} s: {where}")
        self.check()


class Running:
    """Both at work."""

    def __init__(self, publisher: Publisher, program: Program) -> None:
        self.publisher, self.program = publisher, program
        self.publishing = Work("publisher", publisher.run)
        self.consuming = Work("program", program.run)

    def check(self) -> None:
        """Raise what ended one of them."""
        self.publishing.check()
        self.consuming.check()

    def await_going(self, what: str, seconds: float = 15) -> None:
        """Wait until something published from now on has arrived, by the queue and by the broadcast."""
        before = self.publisher.number

        def going() -> bool:
            self.check()
            return self.program.last > before and self.program.heard > before

        try:
            until(going, seconds, what)
        except AssertionError as exc:
            numbers = f"{before=} {self.publisher.number=} {self.program.last=} {self.program.heard=}"
            raise AssertionError(f"{exc}: {numbers}") from None

    def await_answer(self, seconds: float = 5) -> None:
        """Ask who is there until the program answers."""

        def answered() -> bool:
            with self.publisher.connection.clone() as connection:
                answers = CONTROL(connection).multi_call("ping", timeout=0.5, limit=1)
                return bool(answers == [{"program": "pong"}])

        until(answered, seconds, "an answer to a ping")

    def stop(self, seconds: float = 20) -> None:
        """Let the publisher end, and the other one receive all that was confirmed."""
        self.publisher.stop.set()
        self.publishing.await_end()
        missing = lambda: self.publisher.confirmed - self.program.received  # noqa: E731
        try:
            until(lambda: not missing(), seconds, "all that was confirmed is received")
        except AssertionError as exc:
            raise AssertionError(f"{exc}; {len(missing())} missing: {sorted(missing())[:10]}") from None


@contextmanager
def running(publish_url: str, consume_url: str, **options: Any) -> Iterator[Running]:
    """Both at work, by these URLs, while the block runs."""
    program = Program(consume_url, options)
    publisher = Publisher(publish_url, options, program.received)
    load = Running(publisher, program)
    try:
        load.await_going("the load begins")
        yield load
    finally:
        publisher.stop.set()
        program.should_stop = True
    load.publishing.await_end()
    load.consuming.await_end()
    program.connection.release()


def descriptors() -> int:
    """Open files of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def memory() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
