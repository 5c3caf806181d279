"""A process of the soak: publishes, consumes or buries, whatever happens to its connections, until it is killed.

What happens goes out as lines "KIND NUMBER", each written at once and whole. It runs by path, with kombu alone.
What a message is for follows from its number, so everybody knows.
"""

from __future__ import annotations

import json
import os
import random
import sys
from threading import Event, Thread
from time import sleep

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.mixins import ConsumerMixin

POLICY = {"interval_start": 0.02, "interval_step": 0.05, "interval_max": 0.3}

DEAD = Queue("dead", Exchange("dead", "direct"), "work")
#: Whoever dies holding a message has had it delivered: with so many deaths ten of them are no sign of poison yet.
WORK = Queue(
    "work",
    Exchange("tasks", "direct"),
    "work",
    queue_arguments={"x-dead-letter-exchange": "dead", "x-delivery-limit": 10},
)

#: The exit status of who took poison.
POISONED = 7

#: Publishing pauses when so many messages are ready.
BACKLOG = 500


def say(kind, number):
    os.write(1, f"{kind} {number}\n".encode())


def options_of(number):
    """How the message of this number is published: with a priority, a delay, a time to live, an unreadable body."""
    options = {"priority": (0, 3, 6, 9)[number % 4]}
    if number % 11 == 0:
        options["delay"] = 0.1 + number % 30 / 10
    if number % 13 == 0:
        options["expiration"] = 0.01 + number % 20 / 40
    return options


def is_broken(number):
    """Its body cannot be decoded."""
    return number % 211 == 0


def is_refused(number):
    """Consumers reject it."""
    return number % 97 == 0


def is_poison(number):
    """Whoever gets it dies."""
    return number % 1009 == 0


def publish(connection, first, rate):
    """Publish numbers from ``first`` on, ``rate`` a second at the most; "p" when the server has it, "u" if unknown."""
    stop = Event()
    Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    number = first
    errors = (*connection.connection_errors, *connection.channel_errors)
    with connection, connection.Producer() as producer:
        while not stop.wait(20 / rate):
            for _ in range(20):
                try:
                    publish_one(producer, number)
                except (OperationalError, *errors):
                    say("u", number)
                else:
                    say("p", number)
                number += 1
            while not stop.is_set() and backlog(connection) > BACKLOG:
                sleep(0.1)
    say("end", number)


def publish_one(producer, number):
    limits = {"declare": [WORK, DEAD], "retry": True, "retry_policy": POLICY, "timeout": 10}
    to = {"exchange": WORK.exchange, "routing_key": "work", "headers": {"number": number}}
    if is_broken(number):
        kind = {"content_type": "application/json", "content_encoding": "utf-8"}
        producer.publish(b"{broken", **to, **kind, **limits)
    else:
        producer.publish(number, **to, **options_of(number), **limits)


def backlog(connection):
    try:
        return connection.default_channel.queue_declare(queue="work", passive=True).message_count
    except (*connection.connection_errors, *connection.channel_errors):
        return 0


class Unlimited:
    def can_consume(self, tokens):
        return True


class Worker(ConsumerMixin):
    """Says "a" before it acknowledges, and "r" before it rejects."""

    restart_limit = Unlimited()

    def __init__(self, connection, brave=False):
        self.connection = connection
        #: It survives poison, by giving it back.
        self.brave = brave
        self.chance = random.Random(os.getpid())

    def establish_connection(self):
        connection = self.connection.clone()
        connection.ensure_connection(self.on_connection_error, **POLICY)
        return connection

    def on_connection_error(self, exc, interval):
        pass

    def get_consumers(self, make, channel):
        channel.basic_qos(0, self.chance.choice((1, 10, 30)), False)
        return [make([WORK], callbacks=[self.on_message])]

    # (no on_decode_error: what cannot be read goes to the dead letters by itself)
    on_decode_error = None

    def on_message(self, body, message):
        number = message.headers["number"]
        if is_poison(number):
            if not self.brave:
                os._exit(POISONED)
            message.requeue()
            return
        if number % 501 == 0:
            sleep(1.5)  # longer than a lease
        if is_refused(number):
            say("r", number)
            message.reject()
        else:
            say("a", number)
            message.ack()


class Undertaker(Worker):
    """Says of each dead letter why it is one."""

    def get_consumers(self, make, channel):
        return [make([DEAD], on_message=self.on_dead, prefetch_count=50)]

    def on_dead(self, message):
        say(message.headers["x-death"][0]["reason"], message.headers["number"])
        message.ack()


def main():
    start = json.loads(sys.argv[1])
    connection = Connection(start["url"], transport_options=start["options"])
    if start["role"] == "publish":
        publish(connection, start["first"], start["rate"])
    else:
        {"work": Worker, "bury": Undertaker}[start["role"]](connection, start["brave"]).run()


if __name__ == "__main__":
    main()
