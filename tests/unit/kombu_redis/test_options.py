"""Every option is known, checked and documented."""

from __future__ import annotations

import logging
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from kombu import Connection
from kombu.utils.deadline import deadline_scope
from kombu_redis.options import Options

PAGE = Path(__file__).parents[3] / "docs" / "redis.md"

#: What kombu 5.7 takes from transport_options, with its defaults where they still hold.
HISTORIC: dict[str, Any] = {
    "ack_emulation": True,
    "body_encoding": "base64",
    "client_name": None,
    "deadletter_queue": None,
    "fanout_patterns": True,
    "fanout_prefix": True,
    "global_keyprefix": "",
    "health_check_interval": 25,
    "master_name": None,
    "max_connections": 10,
    "min_other_sentinels": 0,
    "priority_steps": (0, 3, 6, 9),
    "queue_order_strategy": "round_robin",
    "retry_on_timeout": None,
    "sentinel_fanout_compat": False,
    "sentinel_kwargs": None,
    "sep": "\x06\x16",
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "socket_keepalive_options": None,
    "socket_timeout": 10,
    "unacked_index_key": "unacked_index",
    "unacked_key": "unacked",
    "unacked_mutex_expire": 300,
    "unacked_mutex_key": "unacked_mutex",
    "unacked_restore_interval": 10,
    "unacked_restore_limit": None,
    "unacked_restore_throttle": 10,
    "visibility_timeout": 3600,
}


def test_the_historic_options_and_their_defaults() -> None:
    options = Options.parse()
    assert {name: getattr(options, name) for name in HISTORIC} == HISTORIC


def test_values_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    given = {
        "visibility_timeout": "1800",
        "global_keyprefix": "p:",
        "fanout_prefix": "shared.",
        "fanout_patterns": "false",
        "priority_steps": [9, 0, 5],
        "socket_keepalive_options": {1: 30},
        "unacked_restore_limit": 5,
        "max_deliveries": 3,
        "priority_order": "rabbitmq",
        "fanout": "queue",
    }
    options = Options.parse(given)
    assert options.visibility_timeout == 1800 and options.priority_steps == (0, 5, 9)
    assert options.fanout_prefix == "shared." and options.fanout_patterns is False
    assert options.socket_keepalive_options == {1: 30} and options.max_deliveries == 3
    assert not caplog.records


def test_unknown_options_are_logged_with_the_near_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        # (those of kombu's connection are not the transport's business)
        Options.parse({"visiblity_timeout": 5, "nonsense": 1, "max_retries": 3, "interval_start": 0})
    assert [record.getMessage() for record in caplog.records] == [
        "the transport redis has no option 'visiblity_timeout': ignored. Did you mean 'visibility_timeout'?",
        "the transport redis has no option 'nonsense': ignored.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("visibility_timeout", "soon", "seconds"),
        ("visibility_timeout", 0, "above 0"),
        ("visibility_timeout", float("nan"), "above 0"),
        ("socket_timeout", -1, "above 0"),
        ("lease", True, "seconds"),
        ("visibility_timeout", float("inf"), "up to 1,000,000,000"),
        ("socket_timeout", 1e10, "up to"),
        ("wait_replicas", 1.5, "whole number"),
        ("max_connections", float("inf"), "whole number"),
        ("queue_order_strategy", "os.path", "dotted name of a class"),
        ("socket_keepalive_options", {"TCP_KEEPIDLE": 30}, "numbers, such as"),
        ("sep", "", "not empty"),
        ("sep", None, "text"),
        ("global_keyprefix", 5, "text"),
        ("fanout_patterns", "perhaps", "True or False"),
        ("priority_steps", [], "list of priorities"),
        ("priority_steps", ["low"], "whole number"),
        ("max_deliveries", -1, "0 or more"),
        ("priority_order", "reverse", "'steps', 'rabbitmq'"),
        ("fanout", "both", "'pubsub', 'queue', 'stream'"),
        ("fanout_length", 0, "1 or more"),
        ("fanout_age", 0, "seconds, a number above 0"),
        ("client_name", "two words", "without blanks"),
        ("socket_keepalive_options", 5, "mapping"),
    ],
)
def test_values_that_cannot_be(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"the option {name} of the transport redis.*({expected})"):
        Options.parse({name: value})


def test_secrets_are_not_shown() -> None:
    options = Options.parse(
        {"sentinel_kwargs": {"password": "sesame"}, "credential_provider": "sesame.Provider"}
    )
    assert "sesame" not in repr(options)
    with pytest.raises(ValueError) as caught:
        Options.parse({"sentinel_kwargs": "sesame"})
    assert "sesame" not in str(caught.value)


def test_no_wait_is_without_an_end() -> None:
    options = Options.parse(
        {"socket_timeout": None, "socket_connect_timeout": None, "health_check_interval": 0}
    )
    assert (options.socket_timeout, options.socket_connect_timeout) == (10, 5)
    assert options.health_check_interval is None


def test_the_connection_s_own_parameters() -> None:
    provider = object()
    connection = Connection("redis://", connect_timeout=9, credential_provider=provider)
    with deadline_scope(1):
        options = Options.parse({}, client=connection)
    assert options.socket_connect_timeout == 9, "not what the deadline leaves"
    assert options.credential_provider is provider
    assert Options.parse({"socket_connect_timeout": 3}, client=connection).socket_connect_timeout == 3


def test_a_connect_timeout_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="socket_connect_timeout of the transport redis cannot be -1"):
        Options.parse({}, client=Connection("redis://", connect_timeout=-1))


def test_a_lease_is_never_longer_than_the_visibility_timeout() -> None:
    assert Options.parse({"visibility_timeout": 5}).lease == 5
    assert Options.parse({"lease": 7}).lease == 7


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Options().lease = 1  # type: ignore[misc]


def test_every_option_is_documented_and_nothing_else() -> None:
    section = PAGE.read_text().partition("## `transport_options`")[2].partition("\n## ")[0]
    first_cells = "".join(re.findall(r"^\|([^|]*)\|", section, re.M))
    documented = re.findall(r"`(\w+)`", first_cells)
    assert sorted(documented) == sorted(field.name for field in fields(Options) if field.init)
