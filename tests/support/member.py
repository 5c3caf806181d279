"""A member of a fleet: a process that publishes and consumes as it is told, through kombu's public interface.

It runs with kombu 5.7.0 as well as with this one, so it uses what both have. Commands come as lines of JSON, and what
happens goes out as lines of JSON, each written at once and whole, so nothing is missing when it is killed. It
ends when its standard input does. ``{"do": VERB, ...}`` calls the function of that name below.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from itertools import count
from threading import Thread
from time import monotonic, sleep

from kombu import VERSION, Connection, Consumer, Exchange, Queue
from kombu.pidbox import Mailbox

#: Seconds for each wait. (kombu 5.7 restores what is overdue when a wait is over and its server has not answered, which
#: it does every second: with a longer one that never happens.)
WAIT = 0.5 if VERSION[0] < 6 else 5

#: Flooding pauses when so many messages are ready.
BACKLOG = 300


def say(**event):
    """Write an event."""
    os.write(1, json.dumps(event).encode() + b"\n")


def entity(spec):
    """``{"name", "exchange", "type", "key"}`` and arguments of a Queue -> the Queue."""
    spec = dict(spec)
    exchange = Exchange(spec.pop("exchange", ""), spec.pop("type", "direct"))
    key = spec.pop("key", spec["name"])
    return Queue(spec.pop("name"), exchange, key, **spec) if exchange.name else Queue(routing_key=key, **spec)


class Member:
    def __init__(self, url, options):
        self.url, self.options = url, options
        self.connection = Connection(url, transport_options=options)

    def obey(self, command):
        getattr(self, command.pop("do"))(**command)

    def declare(self, queues):
        channel = self.connection.default_channel
        for spec in queues:
            entity(spec)(channel).declare()
        say(declared=len(queues))

    def publish(self, bodies, exchange="", type="direct", key="", **options):
        """Publish each; ``at`` is when the call began."""
        to = Exchange(exchange, type) if exchange else None
        with self.connection.Producer(
            exchange=to
        ) as producer:  # (which declares it: kombu 5.7 needs to know its type)
            for body in bodies:
                at = monotonic()
                producer.publish(body, routing_key=key, **options)
                say(published=body, at=at)

    def flood(self, queue, first, exchange="", key=""):
        """Publish numbers for ever, as fast as they are consumed."""
        channel = self.connection.default_channel
        key = key or queue
        with self.connection.Producer(channel) as producer:
            while True:
                for _ in range(20):
                    producer.publish(first, exchange=exchange, routing_key=key, retry=False)
                    say(published=first)
                    first += 1
                while channel.queue_declare(queue=queue, passive=True).message_count > BACKLOG:
                    sleep(0.01)

    def consume(self, queues, prefetch=0, then="ack", seconds=0.0, quick=0, connection=None, **options):
        """Consume for ever; ``then`` is ack, hold, reject, requeue, sleep, compute or spin.

        The last three acknowledge after so many seconds, except the first ``quick`` messages, which they do at once.
        """
        number = count()
        connection = connection or self.connection
        channel = connection.channel()
        consumer = Consumer(channel, [entity(spec) for spec in queues], auto_declare=True, **options)
        if prefetch:
            consumer.qos(prefetch_count=prefetch)

        def receive(body, message):
            say(
                got=body,
                at=monotonic(),
                queue=queues[0]["name"],
                redelivered=bool(message.delivery_info.get("redelivered")),
                count=message.properties.get("delivery_count"),
                priority=message.properties.get("priority"),
                key=message.delivery_info.get("routing_key"),
            )
            if options.get("no_ack") or then == "hold":
                return
            if then in ("sleep", "compute", "spin") and next(number) >= quick:
                work(then, seconds)
            if then in ("reject", "requeue"):
                getattr(message, then)()
            else:
                say(ack=body)
                message.ack()
                say(acked=body)

        consumer.register_callback(receive)
        consumer.consume()
        say(consuming=[spec["name"] for spec in queues])
        self.drain(connection)

    def send(self, queue, body, **options):
        """Publish one message, also of bytes: ``{"bytes": [0, 255]}``."""
        if isinstance(body, dict) and "bytes" in body:
            body = bytes(body["bytes"])
        to = entity(queue)
        with self.connection.Producer() as producer:
            producer.publish(body, exchange=to.exchange, routing_key=to.routing_key, declare=[to], **options)

    def take(self, queue, then="ack", seconds=15, properties=()):
        """Consume one message, say what it is, and settle it."""
        taken = []
        with self.connection.channel() as channel:
            consumer = Consumer(channel, [entity(queue)], callbacks=[lambda *both: taken.append(both)])
            consumer.qos(prefetch_count=1)
            with consumer:
                end = monotonic() + seconds
                while not taken and monotonic() < end:
                    try:
                        self.connection.drain_events(timeout=WAIT)
                    except TimeoutError:
                        pass
                for body, message in taken:
                    getattr(message, then)()
                    say(
                        taken={"bytes": list(body)} if isinstance(body, bytes) else body,
                        type=[message.content_type, message.content_encoding],
                        headers=message.headers,
                        properties={name: message.properties.get(name) for name in properties},
                    )

    def hold(self, queue):
        """Take every message that is ready and keep it."""
        channel, held = self.connection.channel(), []
        while not held or held[-1] is not None:
            held.append(channel.basic_get(queue))
            say(held=len(held))
        self.drain(self.connection)

    def drain(self, connection):
        while True:
            try:
                connection.drain_events(timeout=WAIT)
            except TimeoutError:
                pass

    def crowd(self, count, queues, prefetch=1):
        """Consume with as many connections, each drained by a thread of its own."""
        for _ in range(count):
            connection = Connection(self.url, transport_options=self.options)
            Thread(
                target=self.consume, args=(queues, prefetch), kwargs={"connection": connection}, daemon=True
            ).start()

    def serve(self, name):
        """Be a node of the mailbox "control" that answers "ping"."""
        channel = self.connection.channel()
        handlers = {"ping": lambda state: "pong"}
        node = Mailbox("control", "fanout").Node(name, state={}, channel=channel, handlers=handlers)
        node.mailbox.connection = self.connection
        node.listen()
        say(serving=name)
        self.drain(self.connection)

    def multi_call(self, method, limit=1):
        """Ask all nodes, and wait a second for so many answers."""
        mailbox = Mailbox("control", "fanout")(self.connection)
        say(answers=mailbox.multi_call(method, timeout=1, limit=limit))

    def control(self, count, expires):
        """Ask "who is there" from as many processes, each killed while it waits for answers."""
        with self.connection:  # (which imports what children need, once)
            Mailbox("control", "fanout")(self.connection).abcast("ping")
        for number in range(count):
            ready, done = os.pipe()
            child = os.fork()
            if not child:
                mailbox = Mailbox("control", "fanout", reply_queue_expires=expires, queue_expires=expires)
                connection = Connection(self.url, transport_options=self.options)
                channel = connection.channel()
                replies = [mailbox(connection).reply_queue]
                Consumer(channel, replies, no_ack=True, callbacks=[lambda *got: None]).consume()
                mailbox(connection).abcast("ping")
                os.write(done, b"x")
                sleep(60)
            os.read(ready, 1)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(ready)
            os.close(done)
            say(killed=number)


def work(how, seconds):
    """Take that long: asleep, in C code that releases the GIL, or in Python code that holds it."""
    end = monotonic() + seconds
    while monotonic() < end:
        if how == "sleep":
            sleep(max(0.0, end - monotonic()))
        elif how == "compute":
            hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 50_000)


def main():
    start = json.loads(sys.argv[1])
    member = Member(start["url"], start["options"])
    commands = sys.stdin.buffer
    say(started=os.getpid())
    line = commands.readline()
    while line:
        command = json.loads(line)
        if command.pop("last", False):
            # (nothing more to read but the end, which must be noticed while this thread is at work)
            Thread(target=lambda: (commands.read(), os._exit(0)), daemon=True).start()
            member.obey(command)
            sleep(1e6)
        member.obey(command)
        say(done=True)
        line = commands.readline()


if __name__ == "__main__":
    main()
