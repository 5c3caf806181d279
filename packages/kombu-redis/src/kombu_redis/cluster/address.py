"""Where to ask a cluster for its nodes, and how to log in: the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu.utils.url import url_to_parts
from kombu_redis.address import DEFAULT_PORT, Address

if TYPE_CHECKING:
    from kombu_redis.options import Options

__all__ = ("ClusterAddress", "Node")

#: Host and port.
Node = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class ClusterAddress(Address):
    """Some nodes of the cluster; the others are learnt from them."""

    seeds: tuple[Node, ...] = ()

    def __str__(self) -> str:
        return f"the cluster at {', '.join(f'{host}:{port}' for host, port in self.seeds)}"

    @classmethod
    def from_client(cls, client: Any) -> ClusterAddress:
        """The hosts of ``redis+cluster://host:port;redis+cluster://host:port`` are the seeds.

        Raises:
            ValueError: a database is asked for; clusters have none but number 0.
        """
        plain = Address.from_client(client)
        if plain.db:
            raise ValueError(
                f"the virtual host {client.virtual_host!r} asks for database {plain.db}: a Redis Cluster has database 0"
                " only; the transport option global_keyprefix keeps programs apart"
            )
        seeds: list[Node] = [(plain.host, plain.port)]
        for url in client.alt or ():
            _, host, port, *_ = url_to_parts(url if "://" in url else f"redis+cluster://{url}")
            seeds.append((host or "localhost", port or DEFAULT_PORT))
        return cls(
            **{name: getattr(plain, name) for name in ("host", "port", "username", "password", "tls")},
            seeds=tuple(dict.fromkeys(seeds)),
        )

    def at(self, node: Node) -> Address:
        """One node of it."""
        host, port = node
        return Address(host=host, port=port, username=self.username, password=self.password, tls=self.tls)

    def client_arguments(self, options: Options) -> dict[str, Any]:
        """Arguments for :class:`redis.RedisCluster`, but for the nodes."""
        arguments = {"username": self.username, "password": self.password}
        if options.credential_provider is not None:
            arguments = {"credential_provider": options.credential_provider}
        tls = {"ssl": True, **self.tls} if self.tls is not None else {}
        return {
            **arguments,
            **tls,
            "max_connections": options.max_connections,
            "socket_connect_timeout": options.socket_connect_timeout,
            "socket_timeout": options.socket_timeout,
        }
