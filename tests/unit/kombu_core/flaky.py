"""The memory transport with a connection that breaks on demand, or takes its time."""

from __future__ import annotations

from time import sleep

import kombu_memory
from kombu.exceptions import ConnectionError
from kombu.utils.deadline import remaining


class FlakyChannel(kombu_memory.Channel):
    """Each publish does the next thing in the transport option ``script``: raises an exception, or takes seconds."""

    def basic_publish(self, message, **kwargs):
        script = self.connection.client.transport_options.get("script", [])
        step = script.pop(0) if script else None
        if isinstance(step, Exception):
            if isinstance(step, ConnectionError):
                self.connection.client.collect()
            raise step
        if step:
            sleep(remaining(step))
            remaining()  # a step that took too long is not finished
        return super().basic_publish(message, **kwargs)


class FlakyTransport(kombu_memory.Transport):
    Channel = FlakyChannel
