"""A program with oslo.messaging, driven as :mod:`tests.support.member` is: commands and events are lines of JSON.

It knows nothing of kombu: all that it does goes through oslo.messaging's ``rabbit`` driver.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from functools import partial
from threading import Thread
from time import monotonic, sleep

START = json.loads(sys.argv[1])
read, write = sys.stdin.buffer.readline, os.write

if START["options"].pop("eventlet", False):
    from eventlet import monkey_patch, patcher, tpool

    monkey_patch()
    read = partial(tpool.execute, read)  # (it would stop all green threads)
    write = patcher.original("os").write

import oslo_messaging as om  # noqa: E402
from oslo_config import cfg  # noqa: E402

#: Seconds for the answer to a call.
PATIENCE = 30


def say(**event):
    """Write an event: ``say(name=value)``."""
    write(1, json.dumps(event).encode() + b"\n")


class Endpoint:
    """What servers offer."""

    target = om.Target(namespace="test", version="1.1")

    def __init__(self, name):
        self.name = name

    def add(self, context, a, b):
        return a + b

    def whoami(self, context):
        return {"server": self.name, "context": context}

    def fail(self, context, text):
        raise ValueError(text)

    def note(self, context, text):
        say(noted=text, by=self.name)


class Notices:
    """Hears notifications; those of the priority ``error`` go back so many times."""

    def __init__(self, back):
        self.back = back

    def info(self, context, publisher, kind, payload, metadata):
        say(heard=payload, kind=kind, publisher=publisher)

    def error(self, context, publisher, kind, payload, metadata):
        self.back -= 1
        say(heard=payload, kind=kind, left=self.back)
        return om.NotificationResult.REQUEUE if self.back >= 0 else om.NotificationResult.HANDLED


class Member:
    def __init__(self, url, options):
        self.conf = cfg.CONF
        self.conf([], project="test", default_config_files=[])
        om.set_transport_defaults(options.pop("exchange"))
        self.rpc = om.get_rpc_transport(self.conf, url=url)
        self.notification = om.get_notification_transport(self.conf, url=url)
        for name, value in options.items():
            self.conf.set_override(name, value, group="oslo_messaging_rabbit")
        self.running = []

    def obey(self, command):
        getattr(self, command.pop("do"))(**command)

    # -- procedure calls

    def serve(self, topic, name):
        """Be a server of the topic."""
        server = om.get_rpc_server(self.rpc, om.Target(topic=topic, server=name), [Endpoint(name)])
        server.start()
        self.running.append(server)
        say(serving=name)

    def client(self, topic, timeout=PATIENCE, context=None, **target):
        target = om.Target(topic=topic, namespace="test", version="1.0", **target)
        return om.get_rpc_client(self.rpc, target, timeout=timeout), context or {}

    def call(self, method, arguments=None, **target):
        """Call it, and say the ``answer`` or the ``error``."""
        client, context = self.client(**target)
        began = monotonic()
        try:
            say(answer=client.call(context, method, **arguments or {}))
        except Exception as exc:
            say(error=[cls.__name__ for cls in type(exc).__mro__], text=str(exc), after=monotonic() - began)

    def cast(self, method, arguments, **target):
        client, context = self.client(**target)
        client.cast(context, method, **arguments)

    def sums(self, count, **target):
        """Call as many times, one after the other."""
        client, context = self.client(**target)
        for number in range(count):
            say(answer=client.call(context, "add", a=number, b=1))

    def knock(self, topic):
        """Call until somebody answers."""
        client, context = self.client(topic, timeout=2)
        while True:
            try:
                return say(answer=client.call(context, "whoami")["server"])
            except om.MessagingTimeout:
                pass

    # -- notifications

    def listen(self, topics, back=0, pool=None):
        targets = [om.Target(topic=topic) for topic in topics]
        listener = om.get_notification_listener(
            self.notification, targets, [Notices(back)], allow_requeue=True, pool=pool
        )
        listener.start()
        self.running.append(listener)
        say(listening=topics)

    def notify(self, topic, payloads, priority="info"):
        """Send each; ``sent`` when the driver has done so."""
        notifier = om.Notifier(self.notification, "here", driver="messagingv2", topics=[topic])
        for payload in payloads:
            getattr(notifier, priority)({}, "test.notice", payload)
            say(sent=payload)

    def stop(self):
        """End servers, listeners and transports."""
        for each in self.running:
            each.stop()
            each.wait()
        self.rpc.cleanup()
        self.notification.cleanup()
        say(stopped=True)


def main():
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    member = Member(START["url"], START["options"])
    say(started=os.getpid())
    while line := read():
        command = json.loads(line)
        last = command.pop("last", False)
        if last:
            Thread(target=lambda: (read(), os._exit(0)), daemon=True).start()
        member.obey(command)
        say(done=True)
        if last:
            sleep(1e6)
    os._exit(0)  # (servers that nobody stopped)


if __name__ == "__main__":
    main()
