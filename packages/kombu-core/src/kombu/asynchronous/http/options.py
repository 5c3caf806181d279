"""A request in urllib3's terms: what goes over the wire, and which connections will do for it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from kombu.asynchronous.http.base import Request

__all__ = ("Route", "call", "credentials", "redirected", "route")

#: Headers that are not for another server.
_SECRET = {"authorization", "cookie", "proxy-authorization"}


class Route(NamedTuple):
    """Requests of one route can share connections."""

    proxy: str | None
    proxy_auth: str | None
    ca_certs: str | None
    validate_cert: bool
    client_cert: str | None
    client_key: str | None
    network_interface: str | None

    def __repr__(self) -> str:
        return f"<Route by {self.proxy or 'no proxy'}>"

    def arguments(self) -> dict[str, Any]:
        """For urllib3's pool manager."""
        arguments: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED" if self.validate_cert else "CERT_NONE"}
        files = {"ca_certs": self.ca_certs, "cert_file": self.client_cert, "key_file": self.client_key}
        arguments |= {name: value for name, value in files.items() if value}
        return arguments | self._interface()

    def _interface(self) -> dict[str, Any]:
        name = self.network_interface
        if not name:
            return {}
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, name)
            except OSError:
                continue
            return {"source_address": (name, 0)}
        device = getattr(socket, "SO_BINDTODEVICE", None)
        if device is None:
            raise ValueError(f"network_interface={name!r}: this system takes a local address only, not a name")
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, device, name.encode() + b"\0")]
        return {"socket_options": options}


def route(request: Request) -> Route:
    """The route of ``request``.

    Raises:
        ValueError: a proxy without a port.
    """
    proxy, auth = _proxy(request)
    return Route(
        proxy=proxy,
        proxy_auth=auth,
        ca_certs=request.ca_certs,
        validate_cert=request.validate_cert,
        client_cert=request.client_cert,
        client_key=request.client_key,
        network_interface=request.network_interface,
    )


def _proxy(request: Request) -> tuple[str | None, str | None]:
    if request.proxy_host:
        if not request.proxy_port:
            raise ValueError(f"proxy_host={request.proxy_host!r} needs a proxy_port")
        user, password = request.proxy_username, request.proxy_password
        auth = f"{user}:{password or ''}" if user is not None else None
        return f"http://{request.proxy_host}:{int(request.proxy_port)}", auth
    parts = urlsplit(request.url)
    found = getproxies_environment().get(parts.scheme)
    if not found or proxy_bypass_environment(parts.netloc.rpartition("@")[2]):
        return None, None
    split = urlsplit(found if "://" in found else f"http://{found}")
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}", _userinfo(split)


def _userinfo(split: Any) -> str | None:
    return f"{unquote(split.username)}:{unquote(split.password or '')}" if split.username is not None else None


def credentials(request: Request) -> tuple[str, str] | None:
    """User and password: of the options, else of the URL."""
    if request.auth_username is not None:
        return request.auth_username, request.auth_password or ""
    info = _userinfo(urlsplit(request.url))
    if info is None:
        return None
    user, _, password = info.partition(":")
    return user, password


def call(request: Request, user_agent: str) -> dict[str, Any]:
    """The keyword arguments of urllib3's ``urlopen`` that say what ``request`` says.

    Raises:
        ValueError: another scheme than http and https; an unknown ``auth_mode``.
    """
    from urllib3.util import Timeout, make_headers

    parts = urlsplit(request.url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{request!r}: the URL must be http://host... or https://host...")
    if request.auth_mode not in (None, "basic", "digest"):
        raise ValueError(f"auth_mode={request.auth_mode!r}: expected 'basic' or 'digest'")
    headers = {"Accept": "*/*", "User-Agent": request.user_agent or user_agent}
    headers["Accept-Encoding"] = "gzip,deflate" if request.use_gzip else "identity"
    who = credentials(request)
    if who is not None and request.auth_mode != "digest":
        headers["Authorization"] = make_headers(basic_auth=":".join(who))["authorization"]
    if request.method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    given = {name.lower() for name in request.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in given} | request.headers
    body = request.body.encode() if isinstance(request.body, str) else request.body
    netloc = parts.netloc.rpartition("@")[2]
    limits = [limit for limit in (request.connect_timeout, request.request_timeout) if limit]
    return {
        "method": request.method,
        "url": quote(parts._replace(netloc=netloc).geturl(), safe="/:?#[]@!$&'()*+,;=%~"),
        "headers": headers,
        "body": body,
        "timeout": Timeout(connect=min(limits, default=None), read=request.request_timeout or None),
    }


def redirected(arguments: dict[str, Any], status: int, location: str) -> dict[str, Any]:
    """The arguments for what a redirect leads to (RFC 9110, 15.4), without what is secret if the server is another."""
    old, url = arguments["url"], urljoin(arguments["url"], location)
    drop = set() if _server(old) == _server(url) else set(_SECRET)
    method = arguments["method"]
    changes: dict[str, Any] = {"url": url}
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        changes |= {"method": "GET", "body": None}
        drop |= {"content-type", "content-length", "transfer-encoding"}
    headers = {name: value for name, value in arguments["headers"].items() if name.lower() not in drop}
    return arguments | changes | {"headers": headers}


def _server(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
