"""Services that ``nameko run service`` runs; what happens to them goes out as lines of JSON.

They know kombu by what Nameko's documentation has services import: exchanges and queues. Their names begin with
``TEST_PREFIX``, so that tests do not meet on a broker.
"""

from __future__ import annotations

import json
import os

import eventlet
from eventlet.patcher import original
from nameko.contextdata import Language
from nameko.events import BROADCAST, EventDispatcher, event_handler
from nameko.messaging import Publisher, consume
from nameko.rpc import rpc

from kombu import Exchange, Queue

try:
    from nameko.rpc import RpcProxy
except ImportError:
    from nameko.rpc import ServiceRpc as RpcProxy

PREFIX = os.environ["TEST_PREFIX"]

exchange = Exchange(f"{PREFIX}-exchange", "topic")
careful = Queue(f"{PREFIX}-careful", exchange, "careful")
careless = Queue(f"{PREFIX}-careless", exchange, "careless")


def say(**event):
    """Write an event. (Eventlet's own lets only one green thread write at a time.)"""
    original("os").write(1, json.dumps(event).encode() + b"\n")


class Front:
    name = f"{PREFIX}-front"

    publish = Publisher(exchange=exchange, declare=[careful, careless])
    dispatch = EventDispatcher()
    back = RpcProxy(f"{PREFIX}-back")
    language = Language()

    @rpc
    def add(self, a, b):
        return a + b

    @rpc
    def fail(self, text):
        raise ValueError(text)

    @rpc
    def ask_behind(self):
        """What the other service hears, when it is called in turn."""
        return [self.language, self.back.whoami()]

    @rpc
    def send(self, bodies, key, **options):
        for body in bodies:
            self.publish(body, routing_key=key, **options)

    @rpc
    def announce(self, payload):
        self.dispatch("happened", payload)


class Back:
    name = f"{PREFIX}-back"

    language = Language()

    @rpc
    def whoami(self):
        return self.language

    @consume(careful, requeue_on_error=True)
    def careful(self, body):
        """``{"number"}``; so many deliveries as it ``fails`` end in an error, each ``takes`` so many seconds."""
        number = body["number"]
        times[number] = times.get(number, 0) + 1
        say(began=number, times=times[number], language=self.language)
        eventlet.sleep(body.get("takes", 0))
        if times[number] <= body.get("fails", 0):
            raise RuntimeError("not yet")
        say(took=number)

    @consume(careless)
    def careless(self, body):
        say(began=body["number"])
        raise RuntimeError("never")

    @event_handler(f"{PREFIX}-front", "happened")
    def hear(self, payload):
        say(heard=payload)

    @event_handler(f"{PREFIX}-front", "happened", handler_type=BROADCAST, reliable_delivery=False)
    def overhear(self, payload):
        say(overheard=payload)


#: How often each number was delivered.
times = {}

# Who started this process is gone when the standard input ends. (A real thread: reading would stop all green ones; and
# not from sys.stdin, which Python has to close at its end.)
original("threading").Thread(target=lambda: (original("os").read(0, 1), os._exit(0)), daemon=True).start()
