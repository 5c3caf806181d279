"""What an operator can ask of RabbitMQ, through its management plugin's HTTP interface."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kombu.exceptions import OperationalError
from kombu.transport.base import Management as BaseManagement
from kombu.utils.deadline import remaining
from kombu_amqp import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Management", "Manager")

#: Seconds that the plugin may take for an answer when no deadline is in force.
TIMEOUT = 10.0


class Manager:
    """Reads what the management plugin tells (RabbitMQ's "Management HTTP API"), without a further package.

    What is not given comes from the connection's transport options ``manager_hostname``, ``manager_port`` (15672),
    ``manager_userid`` and ``manager_password``, then from the connection itself.

    Each method returns what the plugin sent, lists of dictionaries mostly, and raises

    - :class:`~kombu.exceptions.AccessRefused`: user name or password are wrong, or lack the tag ``management``;
    - :class:`~kombu.exceptions.NotFound`: there is no such virtual host, queue and so on;
    - :class:`~kombu.exceptions.OperationalError`: the plugin cannot be reached, or failed.
    """

    def __init__(
        self,
        client: Any,
        hostname: str | None = None,
        port: int | None = None,
        userid: str | None = None,
        password: str | None = None,
    ) -> None:
        options = client.transport_options or {}
        own = credentials(client)
        self.hostname = hostname or options.get("manager_hostname") or client.hostname or "localhost"
        self.port = int(port or options.get("manager_port") or 15672)
        self.userid = userid or options.get("manager_userid") or own[0] or "guest"
        self._password = password or options.get("manager_password") or own[1] or "guest"
        self.virtual_host = client.virtual_host or "/"

    def __repr__(self) -> str:
        return f"<Manager of {self.hostname}:{self.port} as {self.userid}>"

    def get_bindings(self, vhost: str | None = None) -> Any:
        """The bindings of a virtual host, by default the connection's."""
        return self.get("bindings", self.virtual_host if vhost is None else vhost)

    def get_exchanges(self, vhost: str | None = None) -> Any:
        """The exchanges of a virtual host, by default the connection's."""
        return self.get("exchanges", self.virtual_host if vhost is None else vhost)

    def get_queues(self, vhost: str | None = None) -> Any:
        """The queues of a virtual host, by default the connection's."""
        return self.get("queues", self.virtual_host if vhost is None else vhost)

    def get(self, *path: str) -> Any:
        """What is at this place under ``/api``: ``get("queues", "/", "orders")``."""
        from http.client import HTTPConnection, HTTPException

        where = "/api/" + "/".join(quote(part, safe="") for part in path)
        login = b64encode(f"{self.userid}:{self._password}".encode()).decode()
        http = HTTPConnection(self.hostname, self.port, timeout=remaining(TIMEOUT))
        try:
            http.request("GET", where, headers={"Authorization": f"Basic {login}"})
            answer = http.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as exc:
            remaining()  # (the deadline has its own error)
            raise OperationalError(
                f"the management plugin does not answer at {self.hostname}:{self.port}: {exc!r}. Is it enabled"
                " (rabbitmq-plugins enable rabbitmq_management)? Its address is given by the transport options"
                " manager_hostname and manager_port"
            ) from exc
        finally:
            http.close()
        if answer.status != 200:
            raise self._refused(answer.status, answer.reason, where)
        try:
            return json.loads(body)
        except ValueError as exc:
            raise OperationalError(
                f"{self.hostname}:{self.port} answered {where} with something other than JSON: {body[:60]!r}."
                " Is that the management plugin's port?"
            ) from exc

    def _refused(self, status: int, reason: str, where: str) -> Exception:
        at = f"the management plugin at {self.hostname}:{self.port}"
        if status in (401, 403):
            return errors.AccessRefused(
                f"{at} refuses {self.userid!r} ({status} {reason}): the password is wrong, or the user lacks the tag"
                " 'management'. See the transport options manager_userid and manager_password"
            )
        if status == 404:
            return errors.NotFound(f"{at} has nothing at {where}")
        return OperationalError(f"{at} answered {where} with {status} {reason}")


class Management(BaseManagement):
    """``connection.manager``."""

    def get_bindings(self) -> Iterable[Any]:
        """The bindings of the connection's virtual host, as dictionaries; see :class:`Manager`."""
        bindings: Iterable[Any] = Manager(self.transport.client).get_bindings()
        return bindings


def credentials(client: Any) -> tuple[Any, Any]:
    """User name and password of a connection; a ``credential_provider`` has ``get_credentials()`` or is a function."""
    provider = client.credential_provider
    if provider is None:
        return client.userid, client.password
    user, secret = getattr(provider, "get_credentials", provider)()
    return user, secret
