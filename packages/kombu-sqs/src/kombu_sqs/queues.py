"""The queues at SQS: where they are, making and removing them, their attributes."""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kombu.exceptions import AMQPError, NotFound
from kombu.log import get_logger
from kombu.utils.deadline import remaining

from .errors import UndefinedQueueException, is_missing_queue, was_deleted_recently
from .naming import is_fifo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .broker import Broker
    from .clients import Clients
    from .options import Access, Options, Predefined

__all__ = ("Queues", "Target")

logger = get_logger(__name__)


#: Bytes a message may have at most, and what all queues have ever taken that were not made for less (AWS: SQS quotas).
MOST_BYTES, LEAST_COMMON = 1048576, 262144


#: Seconds in which SQS comes to know a new queue everywhere (CreateQueue: one at the least), and after which it makes
#: one anew that was deleted (CreateQueue: QueueDeletedRecently).
NEW, DELETED = 3.0, 61.0


class Target:
    """One queue: its URL, whose credentials it takes, and what of its attributes is known."""

    __slots__ = ("access", "fifo", "limit", "made", "name", "predefined", "redrive", "redrive_read", "url")

    def __init__(self, name: str, url: str, predefined: Predefined | None = None) -> None:
        self.name = name
        self.url = url
        self.fifo = is_fifo(url)
        self.predefined = predefined
        self.access: Access | None = predefined.access if predefined else None
        #: Bytes that the queue lets a message have (MaximumMessageSize); None: nobody has asked yet.
        self.limit: int | None = (predefined.max_message_size or MOST_BYTES) if predefined else None
        #: Whether it has a redrive policy (None: nobody knows), and when that was read.
        self.redrive: bool | None = predefined.redrive_policy if predefined else None
        self.redrive_read = 0.0
        #: When this process made it (monotonic clock).
        self.made = -NEW

    @property
    def is_new(self) -> bool:
        """Whether SQS may not know it everywhere."""
        return monotonic() - self.made < NEW


class Queues:
    """The queues that one connection uses; what it learns is shared through the broker."""

    def __init__(self, clients: Clients, options: Options, broker: Broker) -> None:
        self._clients = clients
        self._options = options
        self._broker = broker
        self._targets = broker.targets
        self._predefined = {
            name: Target(name, entry.url, entry) for name, entry in options.predefined_queues.items()
        }
        if any(target.fifo for target in self._predefined.values()):
            broker.has_fifo = True

    def call(self, operation: str, target: Target, **params: Any) -> dict[str, Any]:
        """An API action on a queue. One that is not there is forgotten, unless it is new."""
        failures = 0
        while True:
            try:
                return self._clients.call(
                    operation, target.name, access=target.access, QueueUrl=target.url, **params
                )
            except AMQPError as exc:
                if not is_missing_queue(exc):
                    raise
                if not target.is_new:
                    self.forget(target)
                    raise
            failures += 1
            self.pause(failures)

    def forget(self, target: Target) -> None:
        """It is not there any more, so it can be made again."""
        if self._targets.get(target.name) is target:
            del self._targets[target.name]

    def _remember(self, name: str, url: str) -> Target:
        target = self._targets[name] = Target(name, url)
        if target.fifo:
            self._broker.has_fifo = True
        return target

    def pause(self, failures: int) -> None:
        """Wait before the next try of what failed so often."""
        self._clients.pause(failures)

    # -- finding -------------------------------------------------------------------------------------------

    def find(self, name: str) -> Target:
        """The queue.

        Raises:
            UndefinedQueueException: ``predefined_queues`` is set and does not name it.
            NotFound: SQS has no such queue.
        """
        target = self._predefined.get(name) or self._targets.get(name)
        if target is None:
            if self._predefined:
                text = f"NOT_FOUND - no queue {name!r} in the transport option predefined_queues"
                raise UndefinedQueueException(text, (50, 10), "Queue.declare")
            made, deletions = self._broker.names.to_aws(name), self._broker.deletions
            url = self._clients.call("get_queue_url", name, QueueName=made)["QueueUrl"]
            target = self._remember(name, url)
            if self._broker.deletions != deletions:  # it may be this one, and this an answer from before
                self.forget(target)
        return target

    def exists(self, name: str) -> bool:
        """Whether there is such a queue."""
        try:
            self.find(name)
        except AMQPError as exc:
            if isinstance(exc, UndefinedQueueException) or is_missing_queue(exc):
                return False
            raise
        return True

    # -- making and removing -------------------------------------------------------------------------------

    def create(self, name: str) -> Target:
        """CreateQueue, unless this process knows the queue; a predefined one is never created."""
        if self._predefined or name in self._targets:
            return self.find(name)
        names, options = self._broker.names, self._options
        twin = names.shared_with(name)
        if twin is not None:
            logger.warning("The queues %r and %r are one at SQS: %r", twin, name, names.to_aws(name))
        attributes = {"VisibilityTimeout": options.visibility_timeout, **options.sqs_creation_attributes}
        if is_fifo(name):
            attributes["FifoQueue"] = "true"
        url = self._create(name, names.to_aws(name), _text(attributes))
        target = self._remember(name, url)
        target.made = monotonic()
        return target

    def _create(self, name: str, made: str, attributes: dict[str, str]) -> str:
        request: dict[str, Any] = {"QueueName": made, "Attributes": attributes}
        if self._options.queue_tags:
            request["tags"] = dict(self._options.queue_tags)
        try:
            answer = self._clients.call("create_queue", name, **request)
        except AMQPError as exc:
            if was_deleted_recently(exc):
                return self._create_again(name, request)
            # It exists with other attributes (QueueNameExists): those are somebody's choice.
            logger.info("CreateQueue %r: %s; looking for it as it is", made, exc)
            try:
                answer = self._clients.call("get_queue_url", name, QueueName=made)
            except AMQPError:
                raise exc from None
        url: str = answer["QueueUrl"]
        return url

    def _create_again(self, name: str, request: dict[str, Any]) -> str:
        """Wait until SQS has forgotten that the queue was deleted; workers that start again meet this."""
        logger.warning("Queue %r was deleted just now: SQS makes it anew after 60 seconds, waiting", name)
        end = monotonic() + DELETED
        while True:
            self._clients.closing.wait(remaining(1.0))
            try:
                return str(self._clients.call("create_queue", name, **request)["QueueUrl"])
            except AMQPError as exc:
                if not was_deleted_recently(exc) or monotonic() > end or self._clients.closing.is_set():
                    raise

    def delete(self, name: str) -> None:
        """DeleteQueue; a predefined queue stays, one that is gone is no error."""
        target = self._targets.pop(name, None)
        if self._predefined or (target is None and not self.exists(name)):
            return
        if target is not None:
            target.made = -NEW
        try:
            self.call("delete_queue", target or self.find(name))
        except AMQPError as exc:
            if not is_missing_queue(exc):
                raise
        self._broker.deletions += 1  # (first: see find)
        self._targets.pop(name, None)
        self._broker.names.forget(name)

    # -- attributes ----------------------------------------------------------------------------------------

    def attributes(self, target: Target, *names: str) -> dict[str, str]:
        """GetQueueAttributes; nothing for a predefined queue, of which that is not asked."""
        if target.predefined is not None:
            return {}
        answer = self.call("get_queue_attributes", target, AttributeNames=list(names))
        found: dict[str, str] = answer.get("Attributes") or {}
        return found

    def set_attributes(self, target: Target, attributes: Mapping[str, Any]) -> None:
        """SetQueueAttributes."""
        self.call("set_queue_attributes", target, Attributes=_text(attributes))

    def size(self, name: str) -> int:
        """Messages ready, approximately; 0 for a predefined queue."""
        target = self.find(name)
        found = self.attributes(target, "ApproximateNumberOfMessages", "MaximumMessageSize")
        if "MaximumMessageSize" in found:  # (asked along, since that is free)
            target.limit = int(found["MaximumMessageSize"])
        return int(found.get("ApproximateNumberOfMessages", 0))

    def size_delayed(self, name: str) -> int:
        """Messages delayed, approximately; 0 for a predefined queue."""
        found = self.attributes(self.find(name), "ApproximateNumberOfMessagesDelayed")
        return int(found.get("ApproximateNumberOfMessagesDelayed", 0))

    def limit(self, target: Target, size: int) -> int:
        """Bytes that a message to the queue may have; of one that was not declared it is asked if ``size`` matters."""
        if target.limit is None and size > LEAST_COMMON:
            try:
                found = self.attributes(target, "MaximumMessageSize")
                target.limit = int(found.get("MaximumMessageSize", MOST_BYTES))
            except AMQPError as exc:
                logger.info("Cannot tell how large messages to %r may be: %s", target.name, exc)
                target.limit = MOST_BYTES
        return min(target.limit or MOST_BYTES, self._options.max_message_size)

    def arn(self, target: Target) -> str:
        """The queue's ARN; a predefined one's is read off its URL."""
        if target.predefined is not None:
            account, _, name = urlsplit(target.url).path.strip("/").partition("/")
            place = self._clients.get("sqs", target.access).meta
            return f"arn:{place.partition}:sqs:{place.region_name}:{account}:{name}"
        return self.attributes(target, "QueueArn")["QueueArn"]

    def exists_at_aws(self, made: str) -> bool:
        """Whether SQS has a queue of this name, of whatever process."""
        try:
            self._clients.call("get_queue_url", made, QueueName=made)
        except AMQPError as exc:
            if is_missing_queue(exc):
                return False
            raise
        return True

    def set_redrive(self, name: str, dead_letters: str, max_deliveries: int) -> None:
        """Have SQS move what was received ``max_deliveries`` times to the queue ``dead_letters``."""
        target, other = self.find(name), self.find(dead_letters)
        if target.predefined is not None or target is other:
            return
        policy = {"deadLetterTargetArn": self.arn(other), "maxReceiveCount": str(max_deliveries)}
        self.set_attributes(target, {"RedrivePolicy": json.dumps(policy)})
        target.redrive, target.redrive_read = True, monotonic()

    def has_redrive(self, target: Target) -> bool | None:
        """Whether SQS moves what was received too often to a dead-letter queue; None when nobody knows."""
        if target.predefined is not None:
            return target.redrive
        age = monotonic() - target.redrive_read
        if target.redrive is None or age > self._options.redrive_policy_cache_ttl:
            try:
                target.redrive = bool(self.attributes(target, "RedrivePolicy").get("RedrivePolicy"))
            except NotFound:
                return False
            except AMQPError as exc:
                logger.warning("Cannot tell whether %r has a redrive policy: %s", target.name, exc)
                return None
            target.redrive_read = monotonic()
        return target.redrive


def _text(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Attributes as the API takes them: text."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)  # numbers, true and false, policies
        for name, value in attributes.items()
    }
