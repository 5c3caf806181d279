"""Connecting, waiting with a time limit, and the transport's own description of itself."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu.testing.rig import Rig


class TestConnection:
    def test_connects(self, rig: Rig) -> None:
        # When
        connection = rig.connect()
        # Then
        assert connection.connected
        assert connection.transport.verify_connection(connection.connection)

    def test_a_clone_reaches_the_same_broker(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        with rig.connection.clone() as clone:
            # When
            rig.send(queue, "hello", channel=clone.default_channel)
            # Then
            assert rig.get(queue).payload == "hello"

    def test_release_can_be_repeated(self, rig: Rig) -> None:
        # Given
        connection = rig.connect()
        # When
        connection.release()
        connection.release()
        # Then
        assert not connection.connected

    def test_error_classes_are_named(self, rig: Rig) -> None:
        connection = rig.connection
        for errors in (connection.connection_errors, connection.channel_errors):
            assert errors
            assert all(issubclass(error, Exception) for error in errors)
        assert set(connection.recoverable_connection_errors)

    @pytest.mark.parametrize("timeout", [0.05, 0.2])
    def test_drain_events_gives_up_in_time(self, rig: Rig, timeout: float) -> None:
        # Given: a consumer, and nothing to consume
        rig.consume(rig.queue())
        started = monotonic()
        # When
        with pytest.raises(TimeoutError):
            rig.connection.drain_events(timeout=timeout)
        # Then
        assert timeout * 0.9 <= monotonic() - started < timeout + 1

    def test_drain_events_gives_up_without_a_consumer(self, rig: Rig) -> None:
        # Given
        rig.sync(rig.channel)
        # Then
        with pytest.raises(TimeoutError):
            rig.connection.drain_events(timeout=0.05)

    def test_a_channel_is_a_context(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "held")
        # When
        with rig.connection.channel() as channel:
            assert rig.get(queue, no_ack=False, channel=channel).payload == "held"
        # Then: leaving it closed the channel
        assert rig.get(queue).payload == "held"


class TestDeclaredCapabilities:
    def test_every_transport_routes_directly(self, rig: Rig) -> None:
        assert "direct" in rig.connection.transport.implements.exchange_type

    def test_flags_of_the_transport_agree(self, rig: Rig) -> None:
        transport = rig.connection.transport
        assert bool(transport.supports_heartbeats) == bool(transport.implements.heartbeats)
        assert bool(rig.connection.is_evented) == bool(transport.implements.asynchronous)
        assert transport.driver_type and transport.driver_name

    def test_exchange_types_asked_one_by_one(self, rig: Rig) -> None:
        claimed = rig.connection.transport.implements.exchange_type
        for name in ("direct", "topic", "fanout", "headers"):
            assert rig.connection.supports_exchange_type(name) == (name in claimed)

    def test_what_is_claimed_is_not_also_excused(self, rig: Rig, degradations: Mapping[str, str]) -> None:
        implements = rig.connection.transport.implements
        excused = [key for key in degradations if "." not in key and ":" not in key]
        assert [key for key in excused if getattr(implements, key)] == []

    def test_heartbeats_can_be_checked(self, rig: Rig) -> None:
        # Where there are none, checking does nothing; it is safe everywhere
        rig.connection.heartbeat_check()
        assert rig.connection.get_heartbeat_interval() >= 0
