"""Queue arguments and properties with impossible values (RabbitMQ's checks).

What a transport does not claim it need not check, so these cases are skipped there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.exceptions import PreconditionFailed

if TYPE_CHECKING:
    from kombu.testing.rig import Rig

#: Capability, name of the argument without ``x-``, impossible value.
QUEUE_ARGUMENTS: list[tuple[str, str, Any]] = [
    ("priority", "max_priority", 256),
    ("priority", "max_priority", -1),
    ("priority", "max_priority", "high"),
    ("message_ttl", "message_ttl", -1),
    ("message_ttl", "message_ttl", "soon"),
    ("queue_expires", "expires", 0),
    ("queue_expires", "expires", -1),
    ("queue_expires", "expires", "soon"),
    ("max_length", "max_length", -1),
    ("max_length", "max_length", "3"),
    ("max_length", "max_length_bytes", -1),
    ("max_length", "overflow", "burst"),
    ("dead_letter", "dead_letter_routing_key", "a key without an exchange"),
    ("dead_letter", "dead_letter_exchange", 1),
]


class TestArguments:
    @pytest.mark.parametrize(("capability", "name", "value"), QUEUE_ARGUMENTS)
    def test_an_impossible_queue_is_refused(self, rig: Rig, capability: str, name: str, value: Any) -> None:
        # Given
        rig.skip_without(capability)
        queue = rig.name()
        # Then: the answer names the argument
        with rig.refuses(PreconditionFailed, match=f"x-{name.replace('_', '-')}") as channel:
            rig.queue(queue, channel=channel, **{name: value})
        assert not rig.exists(queue)

    @pytest.mark.parametrize("value", ["soon", "-1", "1.5", ""])
    def test_an_impossible_expiration_is_refused(self, rig: Rig, value: str) -> None:
        rig.skip_without("message_ttl")
        queue = rig.queue()
        with rig.refuses(PreconditionFailed, match="expiration") as channel:
            rig.send(queue, "hello", expiration=value, channel=channel)
        assert rig.payloads(queue, 0) == []
