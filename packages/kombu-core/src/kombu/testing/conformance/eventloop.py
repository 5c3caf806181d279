"""Working inside kombu's event loop, as Celery's worker does."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu.testing.rig import Rig


class TestEventLoop:
    def test_messages_arrive_by_the_loop(self, rig: Rig) -> None:
        # (Who cannot says so by is_evented, see TestDeclaredCapabilities; nothing is refused)
        rig.skip_without("asynchronous")
        # Given: a connection that the loop watches; nobody calls drain_events
        queue, publisher = rig.queue(), rig.connect()
        inbox = rig.consume(queue)
        hub = import_module("kombu.asynchronous").Hub()
        rig.connection.register_with_event_loop(hub)
        # When
        bodies = [str(number) for number in range(5)]
        rig.send(queue, *bodies, channel=publisher.channel())
        # Then
        run(hub, lambda: len(inbox) >= 5, rig.patience)
        hub.close()
        assert inbox.payloads == bodies

    def test_a_consumer_that_comes_later_gets_what_waits(self, rig: Rig) -> None:
        """As when a worker is told to add a queue: the call's answer may bring the first messages along."""
        rig.skip_without("asynchronous")
        hub = import_module("kombu.asynchronous").Hub()
        rig.connection.register_with_event_loop(hub)
        for _ in range(5):
            # Given: messages that wait
            queue = rig.queue()
            inboxes: list[Any] = []
            rig.send(queue, "1", "2")
            # When: a call made by the loop consumes, Then: the loop delivers
            hub.call_soon(self._consume, rig, queue, inboxes)
            run(hub, partial(self._has, inboxes, 2), rig.patience)
            assert inboxes[0].payloads == ["1", "2"]
        hub.close()

    def test_what_a_call_of_drain_events_leaves_is_delivered_by_the_loop(self, rig: Rig) -> None:
        """As when a worker drains one event before its loop begins: that read may bring more than one message."""
        rig.skip_without("asynchronous")
        hub = import_module("kombu.asynchronous").Hub()
        queue, publisher = rig.queue(), rig.connect().channel()
        inbox = rig.consume(queue)
        rig.connection.register_with_event_loop(hub)
        for number in range(1, 11):
            # Given: messages that wait
            rig.send(queue, *"abc", channel=publisher)
            # When: a call made by the loop drains one, Then: the loop delivers all
            hub.call_soon(partial(rig.connection.drain_events, timeout=rig.patience))
            run(hub, partial(self._has, [inbox], 3 * number), rig.patience)
            assert inbox.payloads == list("abc" * number)
        hub.close()

    @staticmethod
    def _consume(rig: Rig, queue: str, inboxes: list[Any]) -> None:
        inboxes.append(rig.consume(queue))

    @staticmethod
    def _has(inboxes: list[Any], number: int) -> bool:
        return bool(inboxes) and len(inboxes[0]) >= number


def run(hub: Any, done: Callable[[], object], patience: float) -> None:
    """Let the loop make its rounds until it is done."""
    loop: Iterator[object] = hub.create_loop()
    hub.call_repeatedly(0.05, lambda: None)
    deadline = monotonic() + patience
    while not done() and monotonic() < deadline:
        next(loop)
