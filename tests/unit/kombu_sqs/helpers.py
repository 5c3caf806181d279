"""What the tests of sqs:// share."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from kombu import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that something may take to happen.
PATIENCE = 30.0


def connect(url: str, **options: Any) -> Connection:
    """A connection that polls often and tries again soon, so that tests are short."""
    options = {"wait_time_seconds": 0, "polling_interval": 0.02, "retry_interval": 0.02, **options}
    connection = Connection(url, transport_options=options)
    connection.connect()
    return connection


def until(happened: Callable[[], Any], what: str, connection: Any = None, seconds: float = PATIENCE) -> Any:
    """Ask until it is so, and return what ``happened`` returned; events of ``connection`` are handled meanwhile."""
    deadline = monotonic() + seconds
    while True:
        found = happened()
        if found:
            return found
        assert monotonic() < deadline, f"did not happen within {seconds:g} s: {what}"
        try:
            (connection or _nothing).drain_events(timeout=0.05)
        except TimeoutError:
            pass


class _Nothing:
    """No connection: time passes."""

    @staticmethod
    def drain_events(timeout: float) -> None:
        from threading import Event

        Event().wait(timeout)


_nothing = _Nothing()


class Inbox(list[Any]):
    """Messages as they come to a consumer, unsettled."""

    def __init__(self, connection: Any, queue: str, prefetch: int = 10) -> None:
        super().__init__()
        self.connection = connection
        self.channel = connection.channel()
        self.channel.basic_qos(0, prefetch, False)
        self.tag = self.channel.basic_consume(queue, callback=self.append, consumer_tag=queue)

    def receive(self, count: int) -> list[Any]:
        """Drain until there are ``count``."""
        until(lambda: len(self) >= count, f"{count} messages, {len(self)} so far", self.connection)
        return list(self)
