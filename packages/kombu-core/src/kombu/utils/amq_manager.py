"""RabbitMQ's management API, through the client library of your choice."""

from __future__ import annotations

from typing import Any

__all__ = ("get_manager",)


def get_manager(
    client: Any,
    hostname: str | None = None,
    port: int | None = None,
    userid: str | None = None,
    password: str | None = None,
) -> Any:
    """A ``pyrabbit`` client for the broker that ``client`` (a Connection) talks to.

    What is not given comes from ``client``'s transport options ``manager_hostname``, ``manager_port`` (15672),
    ``manager_userid`` and ``manager_password``, then from the connection itself.

    Raises:
        ImportError: ``pyrabbit`` is not installed.
    """
    from importlib import import_module

    try:
        pyrabbit = import_module("pyrabbit")
    except ImportError as exc:
        raise ImportError("the management API needs pyrabbit: pip install pyrabbit") from exc
    options = getattr(client, "transport_options", None) or {}

    def choose(name: str, given: Any, default: Any) -> Any:
        return given if given is not None else options.get(f"manager_{name}", default)

    host = choose("hostname", hostname, getattr(client, "hostname", None) or "localhost")
    user = choose("userid", userid, getattr(client, "userid", None) or "guest")
    secret = choose("password", password, getattr(client, "password", None) or "guest")
    return pyrabbit.Client(f"{host}:{choose('port', port, 15672)}", user, secret)
