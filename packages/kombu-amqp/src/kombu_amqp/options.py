"""The transport's options: what ``transport_options`` may say for RabbitMQ."""

from __future__ import annotations

from difflib import get_close_matches
from logging import getLogger
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("OPTIONS", "connection_options", "flag")

logger = getLogger("kombu.transport.pyamqp")

#: Handed to :class:`kombu_amqp.Connection`; see docs/amqp.md for what each does.
OPTIONS = frozenset(
    (
        "authentication",
        "background_heartbeat",
        "blocked_timeout",
        "channel_max",
        "client_properties",
        "confirm_publish",
        "frame_max",
        "locale",
        "login_response",
        "on_blocked",
        "on_open",
        "on_tune_ok",
        "on_unblocked",
        "read_timeout",
        "reply_timeout",
        "socket_settings",
        "write_timeout",
    )
)

_FLAGS = frozenset(("background_heartbeat", "confirm_publish"))

#: Read elsewhere: by kombu's connection and by the management interface.
_ELSEWHERE = frozenset(
    (
        "callback",
        "connect_retries_timeout",
        "errback",
        "interval_max",
        "interval_start",
        "interval_step",
        "max_retries",
        "manager_hostname",
        "manager_password",
        "manager_port",
        "manager_userid",
    )
)


def connection_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options for the connection out of ``transport_options``; one that nobody knows is logged."""
    known = {}
    for name, value in (given or {}).items():
        if name in OPTIONS:
            known[name] = flag(value) if name in _FLAGS else value
        elif name not in _ELSEWHERE:
            near = get_close_matches(name, sorted(OPTIONS | _ELSEWHERE), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            logger.warning("the transport amqp has no option %r: ignored.%s", name, hint)
    return known


def flag(value: Any) -> bool:
    """Yes or no, which may come as text out of a file of settings."""
    return value.lower() in ("1", "true", "yes", "on") if isinstance(value, str) else bool(value)
