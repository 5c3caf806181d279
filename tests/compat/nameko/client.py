"""A program with Nameko's clients, driven as :mod:`tests.support.member` is: commands and events are lines of JSON."""

from __future__ import annotations

import json
import os
import sys

import nameko
from nameko.standalone.events import event_dispatcher
from nameko.standalone.rpc import ClusterRpcProxy


def say(**event):
    """Write an event."""
    os.write(1, json.dumps(event).encode() + b"\n")


class Client:
    def __init__(self, url):
        self.config = ({"AMQP_URI": url},)
        if hasattr(nameko, "config"):  # (Nameko 3 has one for the process)
            nameko.config.setup(*self.config)
            self.config = ()

    def call(self, service, method, arguments=(), language=None, **options):
        """Call it, and say the ``answer`` or the ``error``."""
        context = {"language": language} if language else None
        try:
            with ClusterRpcProxy(*self.config, context_data=context, timeout=30) as services:
                say(answer=getattr(services[service], method)(*arguments, **options))
        except Exception as exc:
            say(error=type(exc).__name__, text=str(exc))

    def sums(self, service, count):
        """Call as many times at once, and collect the answers."""
        with ClusterRpcProxy(*self.config, timeout=30) as services:
            calls = [services[service].add.call_async(number, 1) for number in range(count)]
            say(answers=[call.result() for call in calls])

    def dispatch(self, service, kind, payload):
        event_dispatcher(*self.config)(service, kind, payload)


def main():
    client = Client(json.loads(sys.argv[1])["url"])
    say(started=os.getpid())
    for line in sys.stdin.buffer:
        command = json.loads(line)
        getattr(client, command.pop("do"))(**command)
        say(done=True)


if __name__ == "__main__":
    main()
