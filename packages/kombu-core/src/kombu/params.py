"""From a URL and keywords to the parameters of a connection.

``transport://userid:password@hostname:port/virtual_host?option=value``: every part may be left out and is then taken
from the keyword of the same name, and what neither says from the transport's own defaults when it connects.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kombu.utils.url import as_url, maybe_sanitize_url, parse_url, url_to_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("ConnectionKey", "ConnectionParams", "format_uri", "from_url", "split_urls")

_SCHEME = re.compile(r"([^/?#@]*?)://")
_HOST_PORT = re.compile(r"([^:/?#@\[\]]+):(\d+)")

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off", ""})


def _flag(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() in _YES:
        return True
    if value.lower() in _NO:
        return False
    raise ValueError("it is 1 or 0")


def _number(value: Any) -> float:
    return float(value)


#: Options that the query of a URL may set, and how their text is read.
QUERY_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "connect_timeout": _number,
    "heartbeat": _number,
    "insist": _flag,
    "login_method": str,
    "ssl": _flag,
}


class ConnectionParams:
    """Where to connect to and how; None is "not said".

    ``url`` is the URL that they were read from, kept for transports that read URLs themselves (``can_parse_url``).
    """

    __slots__ = (
        "connect_timeout",
        "credential_provider",
        "heartbeat",
        "hostname",
        "insist",
        "login_method",
        "password",
        "port",
        "ssl",
        "transport",
        "transport_options",
        "uri_prefix",
        "url",
        "userid",
        "virtual_host",
    )

    hostname: str | None
    userid: str | None
    password: str | None
    virtual_host: str | None
    port: int | None
    insist: bool
    ssl: Any
    transport: Any
    connect_timeout: float | None
    transport_options: dict[str, Any]
    login_method: str | None
    uri_prefix: str | None
    heartbeat: float
    credential_provider: Any
    url: str | None

    def __init__(self, **values: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, values.pop(name, None))
        if values:
            raise TypeError(f"not connection parameters: {', '.join(values)}")

    def items(self) -> Iterable[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__slots__]

    def replace(self, **values: Any) -> ConnectionParams:
        """A copy with ``values`` in place of what is there."""
        return ConnectionParams(**{**dict(self.items()), **values})

    def __repr__(self) -> str:
        hidden = ("password", "url", "credential_provider")
        shown = ((name, maybe_sanitize_url(value)) for name, value in self.items() if name not in hidden)
        return f"<ConnectionParams: {', '.join(f'{name}={value!r}' for name, value in shown if value is not None)}>"


def split_urls(text: str) -> list[str]:
    """The URLs of a ``;``-separated list.

    Raises:
        ValueError: a ``;`` stands inside a user name or password.
    """
    urls = [url for url in text.split(";") if url] or [""]
    for url in urls[1:]:
        if "@" in url and "://" not in url.partition("@")[0]:
            raise ValueError(
                "a ';' separates URLs, and what follows one in this list is no URL: if it belongs to a user name or"
                " password, write it as %3B (kombu.utils.url.safequote does). The URL is not shown here because it"
                " holds a secret."
            )
    return urls


def from_url(
    text: str, keywords: ConnectionParams, first: ConnectionParams | None = None
) -> ConnectionParams:
    """Read one URL, or a bare ``host`` or ``host:port``.

    Arguments:
        text: the URL. A bare host takes the rest from ``first`` (where the first URL of the list led), or else from
            ``keywords``; so do a URL's virtual host and port, which the brokers of one cluster share.
        keywords: what holds where the URL says nothing; ``transport`` holds in any case.

    Raises:
        ValueError: the URL cannot be read; the message says what is wrong with it, without the password.
        TypeError: an option in the query is unknown.
    """
    found = _SCHEME.match(text)
    if found is None:
        return _from_host(text, first if first is not None else keywords)
    scheme = found[1]
    if not scheme or "." in scheme or ":" in scheme:
        raise ValueError(
            f"a URL cannot choose what is imported: its scheme may not contain '.' or ':', but is {scheme!r};"
            f" give the class or its path as transport="
        )
    prefix = _uri_prefix(scheme)
    if prefix is not None:
        return keywords.replace(
            transport=keywords.transport or prefix,
            uri_prefix=prefix,
            hostname=text[len(prefix) + 1 :],
            url=None,
        )
    transport = keywords.transport or scheme
    try:
        parsed = _parse(text)
    except (ValueError, TypeError):
        if not _reads_urls(transport):
            raise
        parsed = {"hostname": text}
    shared: dict[str, Any] = {}
    if first is not None and first.transport == transport:
        shared = {"virtual_host": first.virtual_host, "port": first.port}
    return keywords.replace(**{**shared, **parsed, "transport": transport, "url": text})


def _from_host(text: str, rest: ConnectionParams) -> ConnectionParams:
    host = _HOST_PORT.fullmatch(text)
    if host is not None:
        return rest.replace(hostname=host[1], port=int(host[2]), url=None)
    return rest.replace(hostname=text or None, url=None)


def _uri_prefix(scheme: str) -> str | None:
    """``sqla`` of ``sqla+postgresql``, whose rest is for the transport to read; None when there is no such thing."""
    prefix, plus, rest = scheme.partition("+")
    if not plus:
        return None
    if rest == "socket":
        return prefix
    from kombu.transport import is_known

    return None if is_known(scheme) else prefix


def _reads_urls(transport: Any) -> bool:
    from kombu.exceptions import TransportNotFound
    from kombu.transport import get_transport_cls

    try:
        return bool(getattr(get_transport_cls(transport), "can_parse_url", False))
    except TransportNotFound:
        return False


def _parse(url: str) -> dict[str, Any]:
    options = url_to_parts(url).query if "?" in url else {}
    for name in options:
        if name not in QUERY_OPTIONS and not name.startswith("ssl_"):
            raise TypeError(_unknown_option(name))
    values = {name: value for name, value in parse_url(url).items() if value is not None}
    for name in options.keys() & values.keys():
        try:
            values[name] = QUERY_OPTIONS[name](values[name])
        except ValueError as exc:
            raise ValueError(f"cannot read the option {name} of the URL: {exc}") from None
    return values


def _unknown_option(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, QUERY_OPTIONS, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    return (
        f"the URL sets {name!r}, which is not an option of a connection{meant} They are"
        f" {', '.join(sorted(QUERY_OPTIONS))}. Options of the transport go into transport_options={{...}}"
    )


class ConnectionKey(tuple[Any, ...]):
    """What makes two connections the same; shows itself without the password."""

    __slots__ = ()

    def __repr__(self) -> str:
        transport, host, user, password, virtual_host, port = self[:6]
        where = format_uri(
            transport, maybe_sanitize_url(host), port, user, password, virtual_host, sanitize=True
        )
        return f"<ConnectionKey: {where}>"


def format_uri(
    transport: Any,
    host: str | None,
    port: int | None = None,
    user: str | None = None,
    password: str | None = None,
    virtual_host: str | None = None,
    *,
    sanitize: bool,
    mask: str = "**",
) -> str:
    """The URI of these parts; a transport given as a class shows by its driver's type, or else by its name."""
    scheme = transport if isinstance(transport, str) else getattr(transport, "driver_type", "N/A")
    if scheme == "N/A":
        scheme = getattr(transport, "__name__", "transport").lower()
    return as_url(scheme, host, port, user, password, virtual_host, sanitize=sanitize, mask=mask)
