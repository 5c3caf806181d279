"""Where the server is and how to log in: from a kombu connection's parameters to those of a connection of redis-py."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import redis
from redis.connection import AbstractConnection

from kombu_redis.credentials import Credentials
from kombu_redis.wire import ContextConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_redis.options import Options

__all__ = ("DEFAULT_PORT", "Address")

DEFAULT_PORT = 6379

#: Schemes that ask for TLS.
_TLS_SCHEMES = ("rediss", "rediss+cluster", "valkeys")

_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

#: Bytes asked of the socket at a time.
_READ_SIZE = 1 << 16

#: No CLIENT SETINFO: two round trips, and with some versions of the driver reading the metadata of its distribution,
#: make a connection three times as slow.
_UNNAMED: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)


@dataclass(frozen=True, kw_only=True)
class Address:
    """A server and a database of it; ``path`` is that of a unix socket and goes before host and port.

    ``tls`` holds the driver's arguments for TLS, which is used unless it is None.

    ``str(address)`` is for logs and errors, and never shows the password.
    """

    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)

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
        tls = tls_arguments(client.ssl or scheme in _TLS_SCHEMES)
        return cls(
            host=host,
            port=client.port or DEFAULT_PORT,
            db=database(vhost),
            username=user,
            password=password,
            tls=tls,
        )

    def connection(
        self, options: Options, name: str | None = None, credentials: Credentials | None = None
    ) -> tuple[type[Any], dict[str, Any]]:
        """The driver's connection class and its arguments.

        Arguments:
            name: what CLIENT LIST shows in place of the option ``client_name``.
            credentials: go before user name and password.
        """
        arguments: dict[str, Any] = {
            "client_name": name or options.client_name,
            "db": self.db,
            "protocol": 2,
            "socket_connect_timeout": options.socket_connect_timeout,
            "socket_read_size": _READ_SIZE,
            "socket_timeout": options.socket_timeout,
            **_UNNAMED,
        }
        if credentials is not None:
            arguments["credential_provider"] = credentials
        else:
            arguments.update(username=self.username, password=self.password)
        if self.path is not None:
            return redis.UnixDomainSocketConnection, {**arguments, "path": self.path}
        arguments.update(host=self.host, port=self.port, socket_keepalive=bool(options.socket_keepalive))
        if options.socket_keepalive_options is not None:
            arguments["socket_keepalive_options"] = options.socket_keepalive_options
        if self.tls is None:
            return redis.Connection, arguments
        kind = ContextConnection if "ssl_context" in self.tls else redis.SSLConnection
        return kind, {**arguments, **self.tls}


def tls_arguments(option: Any) -> dict[str, Any] | None:
    """The driver's arguments for what the ``ssl`` option of a connection asks for; None is no TLS.

    Certificate and host name are verified unless the option says otherwise.

    Arguments:
        option: False or None is no TLS. True verifies against the system's authorities, to which ``ca_certs`` and the
            like add others. An :class:`ssl.SSLContext` is used as it is. A mapping has the arguments of
            :class:`redis.SSLConnection`, with or without ``ssl_`` before each (``cert_reqs="none"`` switches all
            verification off); or ``context`` and, where it is not the host's, ``server_hostname``.

    Raises:
        ValueError: a name that the driver (the version that is installed) does not know, or a value that cannot be.
    """
    if not option:
        return None
    if isinstance(option, ssl.SSLContext):
        return {"ssl_context": option}
    given = dict(option) if hasattr(option, "items") else {}
    arguments = {f"ssl_{name.removeprefix('ssl_')}": value for name, value in given.items()}
    if isinstance(arguments.get("ssl_context"), ssl.SSLContext):
        known = {"ssl_context", "ssl_server_hostname"}
    else:
        known = {name for name in signature(redis.SSLConnection).parameters if name.startswith("ssl_")}
        if "ssl_minimum_version" in arguments:
            arguments["ssl_min_version"] = arguments.pop("ssl_minimum_version")
        mode = _verify_mode(arguments.get("ssl_cert_reqs"))
        named = mode is not ssl.CERT_NONE and not _is_false(arguments.get("ssl_check_hostname"))
        arguments.update(ssl_cert_reqs=mode, ssl_check_hostname=named)
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise ValueError(
            f"ssl has no option {', '.join(unknown)}; with redis-py {redis.__version__} it has"
            f" {', '.join(sorted(known))}, or ssl_context, an ssl.SSLContext that says everything else"
        )
    return arguments


def _verify_mode(value: Any) -> ssl.VerifyMode:
    if value is None:
        return ssl.CERT_REQUIRED
    if isinstance(value, str):
        value = _VERIFY.get(value.lower().removeprefix("cert_"), value)
    if value not in _VERIFY.values():
        raise ValueError(f"ssl_cert_reqs is {value!r}; expected one of {', '.join(_VERIFY)}")
    return ssl.VerifyMode(value)


def _is_false(value: Any) -> bool:
    """Options in a URL are text."""
    return value is not None and str(value).lower() in ("false", "0", "no", "off")


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
    scheme, _, rest = url.partition("://")
    if scheme not in ("socket", "unix"):
        raise ValueError(
            f"there is no scheme that ends in '+{scheme}': write redis+socket:///path or redis+cluster://host:port"
        )
    rest, _, query = rest.partition("?")
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
    if not path:
        raise ValueError("redis+socket:// is followed by the path of a socket, as in redis+socket:///run/redis.sock")
    return unquote(slash + path), found
