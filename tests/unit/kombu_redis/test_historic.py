"""What programs read from a channel by its historic names."""

from __future__ import annotations

from kombu import Connection
from kombu.transport import redis as historic


def test_options_are_attributes_of_the_channel_and_defaults_of_its_class(redis_url: str) -> None:
    options = {"visibility_timeout": 50, "priority_steps": [0, 5], "sep": ":"}
    with Connection(redis_url, transport_options=options) as connection:
        channel = connection.default_channel
        assert (channel.visibility_timeout, channel.priority_steps, channel.sep) == (50, (0, 5), ":")
        assert (channel.qos.visibility_timeout, channel.qos.unacked_key) == (50, "unacked")
        assert channel.priority(7) == 5
        assert channel.active_queues == set()
        with channel.conn_or_acquire() as client:
            assert client.ping()
    assert historic.Channel.visibility_timeout == 3600


def test_what_clients_import_is_there() -> None:
    for name in ("Channel", "QoS", "SentinelChannel", "Transport", "get_redis_error_classes"):
        assert hasattr(historic, name)
