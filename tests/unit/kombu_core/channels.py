"""A channel that writes down which AMQP verbs it was asked for, and what it needs around it."""

from __future__ import annotations

from collections import defaultdict

from kombu.message import Message
from kombu.transport.base import Capabilities, StdChannel, queue_declare_ok_t


class Client:
    """The side of a ``kombu.Connection`` that channels, entities, producers and consumers look at."""

    connection_errors = (ConnectionResetError,)
    channel_errors = (LookupError,)

    def __init__(self, transport):
        self.transport = transport
        self.declared_entities = set()


class Transport:
    """What a channel calls its connection on virtual transports."""

    driver_name = driver_type = "paper"

    def __init__(self, **capabilities):
        self.implements = Capabilities().extend(**capabilities)
        self.client = Client(self)


class PaperChannel(StdChannel):
    """Notes every verb as ``(name, arguments)`` in ``calls``; nothing is sent anywhere."""

    channel_id = 7

    def __init__(self, **capabilities):
        self.connection = Transport(**capabilities)
        self.calls = []
        self.events = defaultdict(set)
        self.inbox = []
        self.fail = {}

    def __getattr__(self, verb):
        if verb.startswith(("__", "default_")):
            raise AttributeError(verb)

        def call(*args, **kwargs):
            self.note(verb, *args, **kwargs)

        return call

    def note(self, verb, *args, **kwargs):
        self.calls.append((verb, *args, kwargs) if args else (verb, kwargs))
        if verb in self.fail:
            raise self.fail[verb]

    def asked(self, *verbs):
        """The calls of these verbs, each as its keyword arguments or ``(positional..., keywords)``."""
        found = [call[1:] for call in self.calls if call[0] in verbs]
        return [call[0] if len(call) == 1 else call for call in found]

    def verbs(self):
        return [call[0] for call in self.calls]

    def queue_declare(self, **kwargs):
        self.note("queue_declare", **kwargs)
        return queue_declare_ok_t(kwargs["queue"] or "amq.gen-1", 5, 6)

    def queue_purge(self, **kwargs):
        self.note("queue_purge", **kwargs)
        return 4

    def basic_get(self, **kwargs):
        self.note("basic_get", **kwargs)
        return self.inbox.pop(0) if self.inbox else None

    def message_to_python(self, raw):
        return raw if isinstance(raw, Message) else Message(raw, channel=self, content_type="text/plain")

    def prepare_message(
        self, body, priority=None, content_type=None, content_encoding=None, headers=None, properties=None
    ):
        return {
            "body": body,
            "priority": priority,
            "content_type": content_type,
            "content_encoding": content_encoding,
            "headers": headers,
            "properties": properties,
        }

    def basic_publish(self, message, **kwargs):
        self.note("basic_publish", message, **kwargs)
        return "published"

    def published(self):
        """Messages and options of what was published."""
        return self.asked("basic_publish")


def received(body=b"{}", channel=None, content_type="application/json", **kwargs):
    """A message as a channel delivers it."""
    return Message(body, "tag-1", content_type, "utf-8", channel=channel, **kwargs)
