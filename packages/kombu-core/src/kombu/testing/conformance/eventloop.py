"""Working inside kombu's event loop, as Celery's worker does."""

from __future__ import annotations

from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        loop: Iterator[object] = hub.create_loop()
        hub.call_repeatedly(0.05, lambda: None)
        deadline = monotonic() + rig.patience
        while len(inbox) < 5 and monotonic() < deadline:
            next(loop)
        hub.close()
        assert inbox.payloads == bodies
