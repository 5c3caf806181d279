"""``sentinel://``: the master that Redis Sentinel names, asked for at each connect.

After a failover the old master refuses writes (READONLY) or is gone; both are connection errors, so whatever reconnects
(``ensure``, mixins, Celery) finds the new one. https://redis.io/docs/management/sentinel
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from redis.sentinel import Sentinel

from kombu.utils.url import url_to_parts

from .address import Address
from .channel import Channel
from .transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .credentials import Credentials
    from .options import Options

__all__ = ("SentinelChannel", "SentinelTransport")

DEFAULT_PORT = 26379


@dataclass(frozen=True, kw_only=True)
class SentinelAddress(Address):
    """The master of a name. User, password, database and TLS are those of the data servers."""

    master: str
    sentinels: tuple[tuple[str, int], ...]
    min_other_sentinels: int = 0
    #: Arguments of :class:`redis.Redis` for asking the sentinels: password, TLS, time limits.
    sentinel_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        hosts = ", ".join(f"{host}:{port}" for host, port in self.sentinels)
        return f"master {self.master!r} of the sentinels {hosts} (database {self.db})"

    @classmethod
    def from_connection(cls, client: Any, options: Options) -> SentinelAddress:
        """The sentinels are the hosts of ``sentinel://host:port/db;sentinel://host:port/db``.

        Raises:
            ValueError: the transport option ``master_name`` is missing.
        """
        if not options.master_name:
            raise ValueError(
                "sentinel:// needs the name of the master: transport_options={'master_name': 'mymaster'}"
            )
        plain = Address.from_client(client)
        found = []
        for url in client.alt or ():
            _, host, port, *_ = url_to_parts(url if "://" in url else f"sentinel://{url}")
            found.append((host or "localhost", port or DEFAULT_PORT))
        if not found:
            found.append((plain.host, client.port or DEFAULT_PORT))
        data = {name: getattr(plain, name) for name in ("db", "username", "password", "tls")}
        return cls(
            **data,
            master=options.master_name,
            sentinels=tuple(dict.fromkeys(found)),
            min_other_sentinels=options.min_other_sentinels,
            sentinel_kwargs=options.sentinel_kwargs or {},
        )

    def connection(
        self, options: Options, name: str | None = None, credentials: Credentials | None = None
    ) -> tuple[type[Any], dict[str, Any]]:
        """The driver's connection class that asks the sentinels first, and its arguments."""
        kind, arguments = self.plain.connection(options, name, credentials)
        limits = {
            "socket_connect_timeout": options.socket_connect_timeout,
            "socket_timeout": options.socket_timeout,
        }

        def ask() -> tuple[str, int]:
            manager = Sentinel(
                list(self.sentinels), self.min_other_sentinels, {**limits, **self.sentinel_kwargs}
            )  # type: ignore[no-untyped-call]
            try:
                found: tuple[str, int] = manager.discover_master(self.master)  # type: ignore[no-untyped-call]
                return found
            finally:
                for client in manager.sentinels:
                    client.close()

        return following(kind), {**arguments, "ask": ask}  # type: ignore[arg-type]

    @property
    def plain(self) -> Address:
        """What is said of the data servers, without the sentinels."""
        return Address(db=self.db, username=self.username, password=self.password, tls=self.tls)


class _Follows:
    """Asks where the master is before each connect."""

    def __init__(self, *, ask: Callable[[], tuple[str, int]], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.ask = ask

    def connect(self) -> None:
        self.host, self.port = self.ask()
        super().connect()  # type: ignore[misc]


@cache
def following(kind: type[Any]) -> type[Any]:
    """The driver's connection class ``kind``, to the master of the day."""
    return type(f"Master{kind.__name__}", (_Follows, kind), {})


class SentinelChannel(Channel):
    """A channel on the master; by its historic name."""


class SentinelTransport(Transport):
    """``sentinel://``; needs the transport option ``master_name``."""

    Channel = SentinelChannel
    default_port = DEFAULT_PORT

    def _address(self, client: Any) -> Address:
        return SentinelAddress.from_connection(client, self.options)
