"""Broker URLs: ``scheme://user:password@host:port/virtual_host?option=value``.

User name, password, virtual host and options are percent-quoted (RFC 3986 section 2.1). No error and no sanitized
URL ever shows a password, nor any part of the URL that could be a piece of one.
"""

from __future__ import annotations

import re
from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "as_url",
    "maybe_sanitize_url",
    "parse_ssl_cert_reqs",
    "parse_url",
    "safequote",
    "sanitize_url",
    "url_to_parts",
    "urlparts",
)

#: The parts of a URL, unquoted; None where there is nothing. ``port`` is an int, ``query`` a dict of str.
urlparts = namedtuple("urlparts", ("scheme", "hostname", "port", "username", "password", "path", "query"))

_AUTHORITY_END = re.compile(r"[/?#]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_IN_PATH = re.compile(r"@[^/@]*:\d+(?:/|$)")
_NEXT_URL = re.compile(r";(?=[A-Za-z][\w+.\-]*://)")
_CERT_REQS = {"required": "CERT_REQUIRED", "optional": "CERT_OPTIONAL", "none": "CERT_NONE"}


def __getattr__(name: str) -> Any:
    # Names that used to be imported here; urllib is only loaded for whoever asks.
    if name in ("urlparse", "unquote", "quote", "parse_qsl"):
        import urllib.parse

        return getattr(urllib.parse, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def safequote(
    string: str | bytes, *, safe: str = "", encoding: str | None = None, errors: str | None = None
) -> str:
    """``string`` percent-quoted so that it can be a user name, password or virtual host of a URL."""
    from urllib.parse import quote

    return quote(string, safe=safe, encoding=encoding, errors=errors)  # type: ignore[arg-type]


def parse_url(url: str) -> dict[str, Any]:
    """The parts of ``url`` by the names of Connection's arguments, and its options beside them.

    ``transport``, ``hostname``, ``port``, ``userid``, ``password`` and ``virtual_host``, then every option of the
    query. Options that start with ``ssl_`` are gathered in the dict ``ssl``, with ``ssl_cert_reqs`` as
    ``ssl.VerifyMode`` and ``ssl_check_hostname`` as bool.
    """
    scheme, host, port, user, password, path, query = url_to_parts(url)
    options = {key: value for key, value in query.items() if not key.startswith("ssl_")}
    tls: dict[str, Any] = {key: value for key, value in query.items() if key.startswith("ssl_")}
    if "ssl_cert_reqs" in tls:
        tls["ssl_cert_reqs"] = parse_ssl_cert_reqs(tls["ssl_cert_reqs"])
    if "ssl_check_hostname" in tls:
        tls["ssl_check_hostname"] = tls["ssl_check_hostname"].lower() not in ("false", "0", "no", "off")
    if tls:
        options["ssl"] = tls
    return {
        "transport": scheme,
        "hostname": host,
        "port": port,
        "userid": user,
        "password": password,
        "virtual_host": path,
        **options,
    }


def url_to_parts(url: str) -> urlparts:
    """The parts of ``url``, unquoted. Host names are lower-cased; one slash before the virtual host is dropped.

    Raises:
        ValueError: user name or password have an unquoted ``# ? / [ ]`` or a stray ``%``, or the port is no number.
            The message names the character and never shows the secret.
    """
    from urllib.parse import parse_qsl, unquote

    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "", scheme
    for blank in "\t\r\n":
        rest = rest.replace(blank, "")
    end = _AUTHORITY_END.search(rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    tail, _, fragment = tail.partition("#")
    path, _, query = tail.partition("?")
    userinfo, at, hostport = authority.rpartition("@")
    _check_credentials(authority, userinfo, hostport, path, query, fragment)
    host, port = _host_and_port(hostport)
    if port is False:
        raise _unquoted(rest[end.start()]) if end and not at and "@" in rest[end.start() :] else _bad_port()
    username, _, password = userinfo.partition(":")
    return urlparts(
        scheme.lower(),
        unquote(host).lower() or None,
        port,
        unquote(username) or None,
        unquote(password) or None,
        unquote(path[1:]) or None,
        dict(parse_qsl(query)),
    )


_parse_url = url_to_parts


def _check_credentials(
    authority: str, userinfo: str, hostport: str, path: str, query: str, fragment: str
) -> None:
    """Find what a user name or password has unquoted. It has cut the URL at the wrong place, so the rest looks odd."""
    if _STRAY_PERCENT.search(userinfo):
        raise _unquoted("%")
    for bracket in "[]":
        if bracket in userinfo or (bracket in hostport and not hostport.startswith("[")):
            raise _unquoted(bracket)
    if "@" in fragment:
        raise _unquoted("#")
    before, at, _ = query.partition("@")
    if at and "=" not in before:
        raise _unquoted("?")
    if _cut_by_slash(authority, hostport, path):
        raise _unquoted("/")


def _cut_by_slash(authority: str, hostport: str, path: str) -> bool:
    """A virtual host may have an ``@``; when what follows is a host as well, it has the end of the credentials."""
    if not authority or "@" not in path:
        return False
    if _HOST_IN_PATH.search(path):
        return True
    return not hostport if "@" in authority else ":" in authority and "/" in path.partition("@")[2]


def _host_and_port(hostport: str) -> tuple[str, Any]:
    """Host and port (None: not given; False: not a port)."""
    if hostport.startswith("["):
        host, closed, port = hostport[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            return host, False
        port = port[1:]
    else:
        host, _, port = hostport.partition(":")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        return host, False
    return host, int(port)


def _unquoted(character: str) -> ValueError:
    return ValueError(
        f"the URL has an unquoted {character!r} in its user name or password: write it as %{ord(character):02X} "
        f"(scheme://user:pass%{ord(character):02X}word@host/), as kombu.utils.url.safequote(password) does. "
        "The URL is not shown here because it holds a secret."
    )


def _bad_port() -> ValueError:
    return ValueError(
        "the URL's host or port is broken: after the host (an IPv6 address stands in [ ]) comes nothing, or ':' and "
        "a number between 0 and 65535. "
        "It is not shown here because it may be a piece of a password."
    )


def as_url(
    scheme: str,
    host: str | None = None,
    port: int | None = None,
    user: str | None = None,
    password: str | None = None,
    path: str | None = None,
    query: str | Mapping[str, Any] | None = None,
    sanitize: bool = False,
    mask: str | None = "**",
) -> str:
    """A URL of these parts, quoted where needed; :func:`url_to_parts` gives them back.

    With ``sanitize`` the password is replaced by ``mask`` and the query, which may hold secrets, is left out.
    """
    from urllib.parse import quote, urlencode

    parts = [f"{scheme}://"]
    if user or password:
        if user:
            parts.append(safequote(user))
        if password:
            parts.append(":" + ((mask or "") if sanitize else safequote(password)))
        parts.append("@")
    if host:
        parts.append(f"[{host}]" if ":" in host else safequote(host, safe=","))
    if port:
        parts.append(f":{port}")
    parts.append("/" + quote(path or "", safe="/!$&'()*+,;=:@~"))
    if query and not sanitize:
        parts.append("?" + (query if isinstance(query, str) else urlencode(query)))
    return "".join(parts)


def sanitize_url(url: str, mask: str | None = "**") -> str:
    """``url`` without its password (``mask`` is there instead) and without its query.

    It never raises: of a URL that cannot be parsed, all that may be a secret is masked. Of several URLs separated by
    ``;`` each is sanitized.
    """
    several = _NEXT_URL.split(url)
    if len(several) > 1:
        return ";".join(sanitize_url(one, mask) for one in several)
    try:
        return as_url(*url_to_parts(url), sanitize=True, mask=mask)
    except ValueError:
        scheme, _, rest = url.partition("://")
        _, at, host = rest.rpartition("@")
        return f"{scheme}://{mask or ''}" + (f"@{_AUTHORITY_END.split(host)[0]}/" if at else "")


def maybe_sanitize_url(url: Any, mask: str | None = "**") -> Any:
    """:func:`sanitize_url` for what is a URL; anything else (None, a path, an object) comes back as it is."""
    if isinstance(url, str) and "://" in url:
        return sanitize_url(url, mask)
    return url


def parse_ssl_cert_reqs(query_value: str) -> Any:
    """``ssl.VerifyMode`` for ``required``, ``optional``, ``none`` or the name of the constant.

    Raises:
        ValueError: none of these.
    """
    from ssl import VerifyMode

    name = _CERT_REQS.get(query_value, query_value)
    if name not in _CERT_REQS.values():
        raise ValueError(f"ssl_cert_reqs is {query_value!r}; expected one of {', '.join(_CERT_REQS)}")
    return VerifyMode[name]
