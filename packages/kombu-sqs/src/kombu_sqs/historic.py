"""What earlier versions let programs read and call on a channel, by the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .naming import canonical

if TYPE_CHECKING:
    from .fanout import Fanout
    from .session import Session

__all__ = ("HistoricNames",)


class HistoricNames:
    """For :class:`.channel.Channel`."""

    default_region = "us-east-1"
    default_visibility_timeout = 1800
    default_wait_time_seconds = 1

    connection: Any
    _session: Session

    def canonical_queue_name(self, queue_name: str) -> str:
        """The queue's name at SQS."""
        return self._session.broker.names.to_aws(queue_name)

    def entity_name(self, name: str, table: Any = None) -> str:
        """The name as SQS takes it, without the prefix; with ``table``, translated by that."""
        return str(name.translate(table)) if table is not None else canonical(name)

    def sqs(self, queue: str | None = None) -> Any:
        """The boto3 client that is used for the queue."""
        access = self._session.queues.find(queue).access if queue else None
        return self._session.clients.get("sqs", access)

    @property
    def transport_options(self) -> Any:
        return self.connection.client.transport_options

    @property
    def conninfo(self) -> Any:
        return self.connection.client

    @property
    def endpoint_url(self) -> str | None:
        return self._session.options.endpoint_url

    @property
    def region(self) -> str:
        return str(self._session.clients.get("sqs").meta.region_name)

    @property
    def queue_name_prefix(self) -> str:
        return self._session.options.queue_name_prefix

    @property
    def visibility_timeout(self) -> int:
        return self._session.options.visibility_timeout

    @property
    def wait_time_seconds(self) -> int:
        return self._session.options.wait_time(len(self._session.pump))

    @property
    def predefined_queues(self) -> Any:
        return self._session.options.predefined_queues

    @property
    def predefined_exchanges(self) -> Any:
        return self._session.options.predefined_exchanges

    @property
    def is_secure(self) -> bool:
        return (self.endpoint_url or "https:").startswith("https:")

    @property
    def port(self) -> int | None:
        return self.connection.client.port or self._session.options.port

    @property
    def sqs_base64_encoding(self) -> bool:
        return self._session.options.format == "base64"

    @property
    def redrive_policy_cache_ttl(self) -> float:
        return self._session.options.redrive_policy_cache_ttl

    @property
    def fetch_message_attributes(self) -> dict[str, list[str]]:
        """What is asked about each message that is received."""
        return self._session.receiver.asked

    get_message_attributes = fetch_message_attributes

    @property
    def fanout(self) -> Fanout:
        """The topics that are this connection's fanout exchanges."""
        return self._session.fanout
