"""``sentinel://``: the master that Redis Sentinel names, asked for at each connect.

After a failover the old master refuses writes (READONLY) or is gone; both are connection errors, so whatever reconnects
(``ensure``, mixins, Celery) finds the new one. https://redis.io/docs/latest/develop/reference/sentinel-clients
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from redis import exceptions as driver

from kombu.utils.url import url_to_parts

from .address import Address, database
from .asking import Sentinels
from .channel import Channel
from .keys import Keys
from .transport import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .credentials import Credentials
    from .options import Options

__all__ = ("SentinelChannel", "SentinelTransport")

DEFAULT_PORT = 26379

#: Broadcasts remembered until they have come by their other name as well.
REMEMBERED = 1000


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
        urls = [url if "://" in url else f"sentinel://{url}" for url in client.alt or ()]
        said = [url_to_parts(url) for url in urls]
        found = [(host or "localhost", port or DEFAULT_PORT) for _, host, port, *_ in said]
        now = (plain.host, client.port or DEFAULT_PORT)
        # Whoever tries again has gone on to the next host, so that one is asked first.
        at = found.index(now) if now in found else 0
        found = [*found[at:], *found[:at]] or [now]
        data = {name: getattr(plain, name) for name in ("db", "username", "password", "tls")}
        # The next host's URL may say nothing of the data servers: what the first one says of them holds for all.
        for _, _, _, user, password, path, _ in said:
            if data["username"] is None and data["password"] is None:
                data.update(username=user, password=password)
            data["db"] = data["db"] or database(path)
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
        asking = Sentinels(self.sentinels, self.master, self.min_other_sentinels, self.sentinel_kwargs)
        return following(kind), {**arguments, "sentinels": asking}  # type: ignore[arg-type]

    @property
    def plain(self) -> Address:
        """What is said of the data servers, without the sentinels."""
        return Address(db=self.db, username=self.username, password=self.password, tls=self.tls)


class _Follows:
    """Asks where the master is before each connect, and the server whether it is that."""

    def __init__(self, *, sentinels: Sentinels, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.sentinels = sentinels

    def connect(self) -> None:
        limit: float = self.socket_connect_timeout  # type: ignore[attr-defined]
        self.host, self.port = self.sentinels.ask(limit)
        super().connect()  # type: ignore[misc]
        try:
            self._check_role()
        except BaseException:
            self.disconnect()  # type: ignore[attr-defined]
            raise

    def _check_role(self) -> None:
        """A sentinel may be the last to hear of a failover; HELLO (Redis 6) tells what the server takes itself for."""
        self.send_command("HELLO")  # type: ignore[attr-defined]
        try:
            reply = self.read_response()  # type: ignore[attr-defined]
        except driver.ResponseError:
            return  # (it may not be allowed to; the first write tells as well)
        told = dict(zip(reply[::2], reply[1::2], strict=False)) if isinstance(reply, list) else reply
        role = told.get(b"role", told.get("role"))
        if role in (b"replica", "replica", b"slave", "slave"):
            raise driver.ReadOnlyError(f"READONLY {self.host}:{self.port} is a replica by now")


@cache
def following(kind: type[Any]) -> type[Any]:
    """The driver's connection class ``kind``, to the master of the day."""
    return type(f"Master{kind.__name__}", (_Follows, kind), {})


class BothNames(Keys):
    """Broadcasts go by two channels with ``sentinel_fanout_compat``, and are listened to on both.

    As with kombu 5.7, the second has the ``{db}`` of ``fanout_prefix`` as it stands, for programs that know no other.
    """

    def __init__(self, options: Options, db: int | str = 0) -> None:
        super().__init__(options, db)
        self._other = Keys(options, "{db}" if options.sentinel_fanout_compat else db)

    def channels(self, exchange: str, routing_key: str = "") -> list[str]:
        """The right channel, and the historic one if it is another."""
        names = [self.channel(exchange, routing_key), self._other.channel(exchange, routing_key)]
        return list(dict.fromkeys(names))

    def patterns(self, exchange: str, binding_key: str = "") -> list[str]:
        """What to subscribe to, for both."""
        found = super().patterns(exchange, binding_key) + self._other.patterns(exchange, binding_key)
        return list(dict.fromkeys(found))


class SentinelChannel(Channel):
    """A channel on the master; by its historic name."""


class SentinelTransport(Transport):
    """``sentinel://``; needs the transport option ``master_name``."""

    Channel = SentinelChannel
    parts = Transport.parts._replace(keys=BothNames)
    default_port = DEFAULT_PORT

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        if self.options.sentinel_fanout_compat:
            self.broadcasts.repeats = Repeats()

    def _address(self, client: Any) -> Address:
        return SentinelAddress.from_connection(client, self.options)


class Repeats:
    """Whether a broadcast has come by its other channel before; remembers the last :data:`REMEMBERED`."""

    def __init__(self) -> None:
        #: The digest of a broadcast, and the channel it came by first.
        self._heard: OrderedDict[bytes, bytes] = OrderedDict()

    def __call__(self, channel: bytes, payload: bytes) -> bool:
        digest = blake2b(payload, digest_size=16).digest()
        if len(self._heard) >= REMEMBERED:
            self._heard.popitem(last=False)
        return self._heard.setdefault(digest, channel) != channel
