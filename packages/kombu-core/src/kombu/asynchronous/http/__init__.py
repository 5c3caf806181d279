"""HTTP requests whose answers come through the event loop.

``get_client(hub).perform(Request(url, on_ready=callback))``: the callback is called in the thread that drives the
hub. The distribution's extra ``http`` installs what does the talking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.asynchronous.http.base import BaseClient, Headers, Request, Response
from kombu.asynchronous.hub import get_event_loop

if TYPE_CHECKING:
    from kombu.asynchronous.hub import Hub

__all__ = ("BaseClient", "Client", "Headers", "Request", "Response", "get_client")


def _hub_or_current(hub: Hub | None) -> Hub:
    hub = hub or get_event_loop()
    if hub is None:
        raise RuntimeError(
            "an HTTP client needs an event loop: pass hub=Hub(), or make one current with set_event_loop(Hub())"
        )
    return hub


def Client(hub: Hub | None = None, **kwargs: Any) -> BaseClient:
    """A new client on ``hub``, or on the current event loop; ``max_clients=10`` limits requests at a time.

    Raises:
        RuntimeError: there is no event loop.
        ImportError: urllib3 is missing.
    """
    from kombu.asynchronous.http.urllib3_client import Urllib3Client

    return Urllib3Client(_hub_or_current(hub), **kwargs)


def get_client(hub: Hub | None = None, **kwargs: Any) -> BaseClient:
    """The client of ``hub``, or of the current event loop: one for each, made when it is first asked for."""
    hub = _hub_or_current(hub)
    client: BaseClient | None = getattr(hub, "_current_http_client", None)
    if client is None or client.closed:
        client = Client(hub, **kwargs)
        hub._current_http_client = client
    return client
