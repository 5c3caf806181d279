"""Where the server is and how to log in: from a kombu connection's parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from kombu_redis.tls import Tls, tls_from

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("DEFAULT_PORT", "Address")

DEFAULT_PORT = 6379

#: Schemes that ask for TLS.
_TLS_SCHEMES = ("rediss", "valkeys")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A server and a database of it; ``path`` is that of a unix socket and goes before host and port.

    ``str(address)`` is for logs and errors, and never shows the password.
    """

    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.path is not None:
            return f"{self.path} (database {self.db})"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.db}"

    @classmethod
    def from_client(cls, client: Any) -> Address:
        """The address that a :class:`kombu.Connection` means.

        ``redis://:password@host:port/db``, ``redis+socket:///path/to/socket?virtual_host=db``; ``rediss://`` and
        ``ssl=`` for TLS. A user name without a password logs in with an empty one.

        Raises:
            ValueError: the virtual host is no number, or ``ssl`` has an unknown option; the message says which.
        """
        host = client.hostname or "localhost"
        user, password, vhost = client.userid, client.password, client.virtual_host
        scheme = client.transport_cls if isinstance(client.transport_cls, str) else ""
        if "://" in host:
            path, more = _socket_path(host)
            return cls(
                path=path,
                db=database(more.get("virtual_host", vhost)),
                username=more.get("username") or user,
                password=more.get("password") or password,
            )
        tls = tls_from(client.ssl or scheme in _TLS_SCHEMES)
        return cls(
            host=host,
            port=client.port or DEFAULT_PORT,
            db=database(vhost),
            username=user,
            password=password,
            tls=tls,
        )


def database(virtual_host: Any) -> int:
    """The number of the database that a virtual host names: ``/``, nothing, ``3`` or ``/3``.

    Raises:
        ValueError: it is no number.
    """
    text = str(virtual_host if virtual_host is not None else "").strip("/")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError(
            f"the virtual host {virtual_host!r} is no database of Redis: it is a number, 0 to 15 unless the server has"
            f" more, as in redis://localhost:6379/0"
        )
    return int(text)


def _socket_path(url: str) -> tuple[str, Mapping[str, str]]:
    """Path and options of ``socket:///path?virtual_host=db``, with ``:password@`` before the path if need be."""
    rest, _, query = url.partition("://")[2].partition("?")
    found = dict(parse_qsl(query))
    unknown = sorted(set(found) - {"virtual_host", "username", "password"})
    if unknown:
        raise ValueError(
            f"redis+socket:///path has no option {', '.join(unknown)}; it has virtual_host, username and password"
        )
    authority, slash, path = rest.partition("/")
    userinfo = authority.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    found.update(
        {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}
    )
    return unquote(slash + path), found
