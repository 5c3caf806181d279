"""SendMessage and SendMessageBatch."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kombu.exceptions import OperationalError, PreconditionFailed

from . import attributes, offload
from .codec import OUTSIDE, encode, encode_raw
from .errors import InvalidQueueException, is_too_long
from .lease import BATCH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .offload import Store
    from .options import Options
    from .queues import Queues, Target

__all__ = ("Batch", "Sender")

#: Seconds a message can be delayed (SendMessage, DelaySeconds).
LONGEST_DELAY = 900
#: Bytes that a request may have in all (SendMessageBatch).
REQUEST_LIMIT = 1048576


class Batch:
    """Messages of one thread that wait to be sent together; ``index`` says for which publication."""

    def __init__(self) -> None:
        self.thread = get_ident()
        self.index = 0
        self.waiting: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}

    def add(self, queue: str, size: int, request: dict[str, Any]) -> None:
        """Keep a message for the queue."""
        self.waiting.setdefault(queue, []).append((self.index, size, request))

    def groups(self, limit: int) -> Iterator[tuple[str, list[tuple[int, dict[str, Any]]]]]:
        """What fits into a request: (queue, [(index, message)])."""
        for queue, messages in self.waiting.items():
            group: list[tuple[int, dict[str, Any]]] = []
            total = 0
            for index, size, request in messages:
                if group and (len(group) == BATCH or total + size > limit):
                    yield queue, group
                    group, total = [], 0
                group.append((index, request))
                total += size
            yield queue, group


class Sender:
    """Sends for one connection."""

    def __init__(self, queues: Queues, options: Options, store: Store | None) -> None:
        self._queues = queues
        self._options = options
        self._store = store
        self._base64 = options.format == "base64"
        self._raw = options.format == "raw"

    def send(
        self, queue: str, message: dict[str, Any], batch: Batch | None, delay: int | None = None
    ) -> None:
        """Send the message, or keep it in the batch.

        Raises:
            NotFound: no such queue.
            MessageTooLarge: it is over the limit and there is no offload store.
            PreconditionFailed: SQS cannot take it as it is.
        """
        target = self._queues.find(queue)
        size, request = self.prepare(target, message, delay)
        if batch is None:
            self._queues.call("send_message", target, **request)
        else:
            batch.add(queue, size, request)

    # -- preparing -----------------------------------------------------------------------------------------

    def prepare(
        self, target: Target, message: dict[str, Any], delay: int | None
    ) -> tuple[int, dict[str, Any]]:
        """The size of a message in bytes, and the request without the queue's URL."""
        properties = message["properties"]
        if delay is None and not self._raw and not target.fifo and OUTSIDE.isdisjoint(properties):
            text = encode(message, self._base64)  # the usual message; it is ASCII
            if len(text) <= self._queues.limit(target, len(text)):
                return len(text), {"MessageBody": text}
        request: dict[str, Any] = {}
        try:
            text, extra = self.body_and_attributes(message)
        except ValueError as exc:
            raise PreconditionFailed(f"PRECONDITION_FAILED - {exc}", (60, 40), "Basic.publish") from exc
        # (all formats but raw are ASCII)
        size = len(text.encode() if self._raw else text) + (attributes.size_of(extra) if extra else 0)
        limit = self._queues.limit(target, size)
        if size > limit:
            text, extra = self._kept_elsewhere(message, text, extra, size, limit)
            size = len(text) + attributes.size_of(extra)
        if extra:
            request["MessageAttributes"] = extra
        request["MessageBody"] = text
        if target.fifo:
            request["MessageGroupId"] = str(properties.get("MessageGroupId") or "default")
            request["MessageDeduplicationId"] = str(properties.get("MessageDeduplicationId") or uuid4())
            if delay or properties.get("DelaySeconds"):
                text = f"queue {target.name!r} is FIFO: SQS delays such queues as a whole, not a message"
                raise PreconditionFailed(text, (60, 40), "Basic.publish")
        else:
            if properties.get("MessageGroupId"):  # fair queues
                request["MessageGroupId"] = str(properties["MessageGroupId"])
            delay = properties.get("DelaySeconds") if delay is None else delay
            if delay is not None:
                request["DelaySeconds"] = _checked_delay(delay)
        return size, request

    def body_and_attributes(self, message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """What is sent: the text of the body, and the message attributes."""
        given = message["properties"].get("message_attributes")
        if self._raw:
            text, extra = encode_raw(message["body"], message)
            return text, attributes.to_aws({**(given or {}), **extra})
        return encode(message, self._base64), attributes.to_aws(given) if given else {}

    def _kept_elsewhere(
        self,
        message: dict[str, Any],
        text: str,
        extra: dict[str, Any],
        size: int,
        limit: int,
        shared: bool = False,
    ) -> tuple[str, dict[str, Any]]:
        """The body and the attributes of the message that says where the large body is."""
        ticket = offload.claim(message, text, self._store, size, limit, shared)
        if self._raw:  # there no body is looked into unless an attribute says so
            extra = {**extra, offload.PROPERTY: {"DataType": "String", "StringValue": "1"}}
        return encode(ticket, self._base64), extra

    def for_topic(self, message: dict[str, Any], limit: int) -> dict[str, Any]:
        """The request of SNS's Publish, without the topic."""
        text, extra = self.body_and_attributes(message)
        size = len(text.encode()) + (attributes.size_of(extra) if extra else 0)
        if size > limit:
            text, extra = self._kept_elsewhere(message, text, extra, size, limit, shared=True)
        return {"Message": text, "MessageAttributes": extra} if extra else {"Message": text}

    # -- in batches ----------------------------------------------------------------------------------------

    def flush(self, batch: Batch, outcomes: list[BaseException | None]) -> None:
        """Send what the batch kept; ``outcomes`` gets the exception of each publication that failed."""
        for queue, group in batch.groups(REQUEST_LIMIT):
            self._send_group(queue, group, outcomes)

    def _send_group(
        self, queue: str, group: list[tuple[int, dict[str, Any]]], outcomes: list[BaseException | None]
    ) -> None:
        """Send up to ten messages, in several requests if the endpoint takes less in one."""
        try:
            self._send_entries(self._queues.find(queue), group, outcomes)
        except Exception as exc:
            if is_too_long(exc) and len(group) > 1:
                half = len(group) // 2
                self._send_group(queue, group[:half], outcomes)
                self._send_group(queue, group[half:], outcomes)
                return
            for index, _ in group:
                outcomes[index] = outcomes[index] or exc

    def _send_entries(
        self,
        target: Target,
        group: list[tuple[int, dict[str, Any]]],
        outcomes: list[BaseException | None],
    ) -> None:
        """Send up to ten messages; those that SQS did not take for reasons of its own again."""
        failures = 0
        while group:
            entries = [{"Id": str(place), **request} for place, (_, request) in enumerate(group)]
            answer = self._queues.call("send_message_batch", target, Entries=entries)
            failed = answer.get("Failed")
            if not failed:
                return
            failures += 1
            again = []
            for entry in failed:
                index, request = group[int(entry["Id"])]
                text = f"send_message_batch {target.name}: {entry.get('Code')} {entry.get('Message', '')}"
                if entry.get("SenderFault"):
                    outcomes[index] = InvalidQueueException(text)
                elif failures >= self._options.max_attempts:
                    outcomes[index] = OperationalError(text)
                else:
                    again.append((index, request))
            group = again
            if group:
                self._queues.pause(failures)


def _checked_delay(delay: Any) -> int:
    try:
        seconds = -int(-float(delay) // 1)
    except (TypeError, ValueError, OverflowError):
        seconds = -1
    if not 0 <= seconds <= LONGEST_DELAY:
        text = f"a delay of {delay!r} s: SQS takes 0 to {LONGEST_DELAY} s (DelaySeconds)"
        raise PreconditionFailed(text, (60, 40), "Basic.publish")
    return seconds
