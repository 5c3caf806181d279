"""What an operator can ask of RabbitMQ, through its management plugin's HTTP interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.transport.base import Management as BaseManagement
from kombu.utils.amq_manager import get_manager

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Management",)


class Management(BaseManagement):
    """Asks by the client of :func:`kombu.utils.amq_manager.get_manager`."""

    def get_bindings(self) -> Iterable[Any]:
        """The bindings of the connection's virtual host, as dictionaries."""
        manager = get_manager(self.transport.client)
        bindings: Iterable[Any] = manager.get_bindings(self.transport.client.virtual_host or "/")
        return bindings
