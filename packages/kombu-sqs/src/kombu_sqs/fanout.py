"""Fanout exchanges as SNS topics, which hand a message to every queue that is subscribed, of whatever process.

Used with the option ``supports_fanout``. IAM actions: sns:CreateTopic, sns:Publish, sns:Subscribe, sns:Unsubscribe,
sns:ListSubscriptionsByTopic, sns:DeleteTopic; sqs:GetQueueAttributes and sqs:SetQueueAttributes on the queues.
"""

from __future__ import annotations

import json
from heapq import heappop, heappush
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kombu.exceptions import AMQPError
from kombu.log import get_logger

from .errors import (
    UnableToSubscribeQueueToTopicException,
    UnableToUnsubscribeQueueFromTopicException,
    UndefinedExchangeException,
)
from .naming import is_fifo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .broker import Broker
    from .clients import Clients
    from .options import Access, Options
    from .queues import Queues, Target
    from .sending import Sender

__all__ = ("Fanout",)

logger = get_logger(__name__)

#: Bytes that a message may have (SNS, Publish).
LIMIT = 262144
#: The statement in a queue's policy that lets topics send to it.
STATEMENT = "KombuFanout"
#: A policy can only be replaced as a whole, so two processes that do so at once may undo each other: what was written
#: is read again, so often while binding, and so many seconds later (SetQueueAttributes: known everywhere after 60).
TRIES = 4
LOOKS = 1.0, 65.0


class Fanout:
    """Topics and subscriptions of one connection; what is known of them is shared through the broker.

    ``poke`` is told when :meth:`look` will be due (monotonic clock).
    """

    def __init__(
        self,
        clients: Clients,
        queues: Queues,
        sender: Sender,
        options: Options,
        broker: Broker,
        poke: Callable[[float], object],
    ) -> None:
        self._clients = clients
        self._queues = queues
        self._sender = sender
        self._predefined = options.predefined_exchanges
        self._tags = options.queue_tags
        self._broker = broker
        self._poke = poke
        #: A heap: when to look again (monotonic clock) whether a topic may send to a queue.
        self._looks: list[tuple[float, str, str]] = []
        if any(is_fifo(entry.arn) for entry in self._predefined.values()):
            broker.has_fifo = True

    def _call(self, operation: str, exchange: str, **params: Any) -> dict[str, Any]:
        return self._clients.call(operation, exchange, service="sns", access=self._access(exchange), **params)

    def _access(self, exchange: str) -> Access | None:
        entry = self._predefined.get(exchange)
        return entry.access if entry is not None else None

    # -- topics --------------------------------------------------------------------------------------------

    def topic(self, exchange: str) -> str:
        """The ARN of the exchange's topic, which is created unless it is predefined.

        Raises:
            UndefinedExchangeException: ``predefined_exchanges`` is set and does not name it.
        """
        entry = self._predefined.get(exchange)
        if entry is not None:
            return entry.arn
        if self._predefined:
            text = f"NOT_FOUND - no exchange {exchange!r} in the transport option predefined_exchanges"
            raise UndefinedExchangeException(text, (40, 10), "Exchange.declare")
        arn = self._broker.topics.get(exchange)
        if arn is None:
            params: dict[str, Any] = {"Name": self._broker.topic_names.to_aws(exchange)}
            if is_fifo(exchange):
                params["Attributes"] = {"FifoTopic": "true"}
                self._broker.has_fifo = True
            if self._tags:
                params["Tags"] = [{"Key": key, "Value": value} for key, value in self._tags.items()]
            arn = self._broker.topics[exchange] = self._call("create_topic", exchange, **params)["TopicArn"]
        return arn

    def publish(self, exchange: str, message: dict[str, Any]) -> None:
        """Hand the message to the topic."""
        request = self._sender.for_topic(message, LIMIT)
        topic = self.topic(exchange)
        if is_fifo(topic):
            properties = message["properties"]
            request["MessageGroupId"] = str(properties.get("MessageGroupId") or "default")
            request["MessageDeduplicationId"] = str(properties.get("MessageDeduplicationId") or uuid4())
        self._call("publish", exchange, TopicArn=topic, **request)

    def delete(self, exchange: str) -> None:
        """DeleteTopic, with its subscriptions; a predefined topic stays."""
        if self._predefined:
            return
        arn = self.topic(exchange)
        self._call("delete_topic", exchange, TopicArn=arn)
        self._broker.topics.pop(exchange, None)
        for key in [key for key in self._broker.subscriptions if key[0] == arn]:
            self._broker.subscriptions.pop(key, None)

    # -- subscriptions -------------------------------------------------------------------------------------

    def subscribe(self, exchange: str, target: Target) -> None:
        """Have the topic send to the queue, the message as it is (raw message delivery)."""
        topic = self.topic(exchange)
        if (topic, target.name) in self._broker.subscriptions:
            return
        queue = self._queues.arn(target)
        try:
            if target.predefined is None:
                self._allow(target, topic)
            answer = self._call(
                "subscribe",
                exchange,
                TopicArn=topic,
                Protocol="sqs",
                Endpoint=queue,
                Attributes={"RawMessageDelivery": "true"},
                ReturnSubscriptionArn=True,
            )
        except AMQPError as exc:
            text = f"queue {target.name!r} is not subscribed to the topic of exchange {exchange!r}: {exc}"
            raise UnableToSubscribeQueueToTopicException(text, (50, 20), "Queue.bind") from exc
        self._broker.subscriptions[topic, target.name] = answer["SubscriptionArn"]

    def unsubscribe(self, exchange: str, queue: str) -> None:
        """Take the subscription away."""
        self._unsubscribe(exchange, self.topic(exchange), queue)

    def forget_queue(self, queue: str) -> None:
        """The queue goes: take all its subscriptions away."""
        for topic, name in list(self._broker.subscriptions):
            if name == queue:
                self._unsubscribe(topic.rpartition(":")[2], topic, queue)

    def _unsubscribe(self, exchange: str, topic: str, queue: str) -> None:
        arn = self._broker.subscriptions.pop((topic, queue), None)
        if arn is None:
            return
        try:
            self._call("unsubscribe", exchange, SubscriptionArn=arn)
        except AMQPError as exc:
            text = f"queue {queue!r} is still subscribed to the topic of exchange {exchange!r}: {exc}"
            raise UnableToUnsubscribeQueueFromTopicException(text, (50, 50), "Queue.unbind") from exc

    def remove_stale(self, exchange: str) -> list[str]:
        """Remove the subscriptions whose queue is gone, as killed workers leave them; the ARNs of those queues."""
        gone = []
        for subscription in list(self._subscriptions(exchange)):
            queue = subscription["Endpoint"]
            if subscription["Protocol"] == "sqs" and not self._queues.exists_at_aws(queue.rpartition(":")[2]):
                self._call("unsubscribe", exchange, SubscriptionArn=subscription["SubscriptionArn"])
                gone.append(queue)
        return gone

    def _subscriptions(self, exchange: str) -> Iterator[dict[str, Any]]:
        token: dict[str, Any] = {}
        while True:
            answer = self._call(
                "list_subscriptions_by_topic", exchange, TopicArn=self.topic(exchange), **token
            )
            yield from answer.get("Subscriptions") or ()
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}

    # -- policies ------------------------------------------------------------------------------------------

    def _allow(self, target: Target, topic: str) -> None:
        """Let the topic send to the queue, and see to it that this stays so."""
        for tries in range(TRIES):
            if self._is_allowed(target, topic):
                break
            if tries:
                self._queues.pause(tries)
        if tries:
            self._look_again(topic, target.name, *LOOKS)

    def _is_allowed(self, target: Target, topic: str) -> bool:
        """Whether the queue's policy lets the topic send to it; if not, a statement does, beside those of others."""
        found = self._queues.attributes(target, "Policy", "QueueArn")
        policy: dict[str, Any] = json.loads(found.get("Policy") or '{"Version": "2012-10-17"}')
        statements = _listed(policy.get("Statement", []))
        mine: dict[str, Any] | None = next((one for one in statements if one.get("Sid") == STATEMENT), None)
        if mine is None:
            mine = {
                "Sid": STATEMENT,
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": found["QueueArn"],
                "Condition": {"ArnEquals": {"aws:SourceArn": []}},
            }
            statements.append(mine)
        condition = mine["Condition"]["ArnEquals"]
        allowed = _listed(condition["aws:SourceArn"])
        if topic in allowed:
            return True
        condition["aws:SourceArn"] = [*allowed, topic]
        policy["Statement"] = statements
        self._queues.set_attributes(target, {"Policy": json.dumps(policy)})
        return False

    def _look_again(self, topic: str, queue: str, *seconds: float) -> None:
        for when in seconds:
            heappush(self._looks, (monotonic() + when, topic, queue))
            self._poke(monotonic() + when)

    def due_at(self) -> float | None:
        """When to call :meth:`look` (monotonic clock); None when there is nothing to look at."""
        return self._looks[0][0] if self._looks else None

    def look(self) -> None:
        """Look at the policy that is first in line: another process may have put its own in place of it."""
        _, topic, queue = heappop(self._looks)
        is_bound = (topic, queue) in self._broker.subscriptions
        if is_bound and not self._is_allowed(self._queues.find(queue), topic):
            logger.warning("The policy of queue %r had lost the topic %s, and has it again", queue, topic)
            self._look_again(topic, queue, LOOKS[-1])


def _listed(value: Any) -> list[Any]:
    """A list in a policy, which may be a single value there."""
    return list(value) if isinstance(value, list) else [value]
