"""ReceiveMessage: messages as letters, each with what settles it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from kombu.log import get_logger
from kombu.utils.deadline import remaining

from . import attributes, offload
from .codec import Letter, decode, foreign
from .errors import RAISED, is_credential_trouble, is_missing_queue, translate
from .lease import BATCH, Held
from .options import LONGEST_WAIT

if TYPE_CHECKING:
    from .clients import Clients
    from .lease import Leases
    from .offload import Store
    from .options import Options
    from .queues import Queues, Target

__all__ = ("Receiver",)

logger = get_logger(__name__)

#: Seconds that an answer may take beyond the time the server is asked to wait.
MARGIN = 10.0
#: Receives that wait for so many seconds at the most share a client, which waits no longer for answers than they do.
SHORT = 5
#: Seconds in which SQS gives the same answer to the same request of a FIFO queue (ReceiveRequestAttemptId: 300).
REPEATABLE = 280.0
#: Who has fewer seconds than these does not wait at the server.
HURRY = 3.0

#: What is asked for about every message. All message attributes come along: they cost nothing.
SYSTEM_ATTRIBUTES = ("ApproximateReceiveCount", "MessageGroupId", "MessageDeduplicationId")


class Receiver:
    """Receives for one connection."""

    def __init__(
        self, clients: Clients, queues: Queues, leases: Leases, options: Options, store: Store | None
    ) -> None:
        self._clients = clients
        self._queues = queues
        self._leases = leases
        self._options = options
        self._store = store
        self._raw = options.format == "raw"
        self.asked = _wanted(options.fetch_message_attributes)
        #: FIFO queue -> what a receive was asked with that got no answer, and when.
        self._unanswered: dict[str, tuple[dict[str, Any], float]] = {}

    def poll(self, queue: str, limit: int, wait: int) -> list[Letter]:
        """One poll of ``wait`` seconds, tried once: up to ``limit`` (10 at most) messages, or none.

        Raises:
            AMQPError: it failed; refused credentials are looked for again before the next time.
        """
        target = self._queues.find(queue)
        request = self._request(target, limit, wait)
        if target.fifo:
            request = self._repeated(queue, request)
        try:
            client = self._clients.get(
                "sqs", target.access, MARGIN + (SHORT if wait <= SHORT else LONGEST_WAIT)
            )
            answer = client.receive_message(**request)
        except RAISED as exc:
            if is_credential_trouble(exc):
                self._clients.renew("sqs", target.access)
            if is_missing_queue(exc):
                self._queues.forget(target)
            raise translate(exc, f"receive_message {queue}") from exc
        self._unanswered.pop(queue, None)
        return self._letters(target, answer)

    def _repeated(self, queue: str, request: dict[str, Any]) -> dict[str, Any]:
        """The request, or the last one if that was not answered: SQS answers it as it did, and nothing is held up."""
        earlier, at = self._unanswered.get(queue, (request, monotonic()))
        if monotonic() - at > REPEATABLE:
            earlier, at = request, monotonic()
        self._unanswered[queue] = earlier, at
        return earlier

    def get(self, queue: str, limit: int = 1) -> list[Letter]:
        """What is there now. It is waited for a second, without which SQS looks at some of its servers only."""
        target = self._queues.find(queue)
        left = remaining()
        # (giving up a receive at the server would lose what it brings)
        hurried = left is not None and left < HURRY
        request = self._request(target, limit, 0 if hurried else min(1, self._options.wait_time(1)))
        del request["QueueUrl"]
        return self._letters(target, self._queues.call("receive_message", target, **request))

    def _request(self, target: Target, limit: int, wait: int) -> dict[str, Any]:
        request: dict[str, Any] = {
            "QueueUrl": target.url,
            "MaxNumberOfMessages": min(limit, BATCH),
            "WaitTimeSeconds": wait,
            "VisibilityTimeout": self._options.visibility_timeout,
            **self.asked,
        }
        if target.fifo:  # an answer that gets lost is given again when the request is repeated
            request["ReceiveRequestAttemptId"] = uuid4().hex
        return request

    def _letters(self, target: Target, answer: dict[str, Any]) -> list[Letter]:
        messages = answer.get("Messages") or ()
        if not messages:
            return []
        now = monotonic()
        extend_at = now + self._options.visibility_timeout / 2
        letters = []
        received = [Held(target, raw["ReceiptHandle"], raw["MessageId"], now, extend_at) for raw in messages]
        self._leases.add(*received)
        for raw, held in zip(messages, received, strict=True):
            try:
                letter = self._open(target, raw, held)
            except Exception:  # whatever it is: those beside it must not suffer, and it must not be lost
                logger.exception(
                    "Message %s of %r is odd: it is handed on as it is", held.message_id, target.name
                )
                letter = self._finish(foreign(raw["Body"], {}), target, raw, held)
            if letter is not None:
                letters.append(letter)
        return letters

    def _open(self, target: Target, raw: dict[str, Any], held: Held) -> Letter | None:
        """The letter; None when its body cannot be had now: it comes again when its lease is over."""
        given = raw.get("MessageAttributes") or {}
        letter = decode(raw["Body"], given, self._raw and offload.PROPERTY not in given)
        ticket = letter["properties"]
        if offload.PROPERTY in ticket:
            try:
                text = offload.redeem(letter, self._store)
            except Exception:
                text = "Message %s of %r is left: its body cannot be had"
                logger.exception(text, held.message_id, target.name)
                self._leases.drop(held)
                return None
            if text is not None:
                held.offloaded = None if ticket.get(offload.SHARED) else ticket[offload.PROPERTY]
                letter = decode(text, given, self._raw)
        return self._finish(letter, target, raw, held)

    @staticmethod
    def _finish(letter: Letter, target: Target, raw: dict[str, Any], held: Held) -> Letter:
        """Note on the letter what SQS says of it, and what settles it."""
        letter.held = held
        properties = letter["properties"]
        system = raw.get("Attributes") or {}
        properties.pop("delivery_count", None)
        if system.get("ApproximateReceiveCount", "1") != "1":
            properties["delivery_count"] = int(system["ApproximateReceiveCount"]) - 1
        if raw.get("MessageAttributes"):
            properties["message_attributes"] = attributes.from_aws(raw["MessageAttributes"])
        for name in ("MessageGroupId", "MessageDeduplicationId"):
            if name in system:
                properties[name] = system[name]
        info = properties["delivery_info"] = properties.get("delivery_info") or {
            "exchange": "",
            "routing_key": target.name,
        }
        info["sqs_message"], info["sqs_queue"] = raw, target.url
        return letter


def _wanted(option: Any) -> dict[str, list[str]]:
    """What to ask about messages: the option ``fetch_message_attributes``, on top of what is needed.

    The option is a list of system attributes, or a dictionary with ``MessageSystemAttributeNames`` and
    ``MessageAttributeNames``.
    """
    system: list[str] = list(SYSTEM_ATTRIBUTES)
    named: list[str] = ["All"]
    if isinstance(option, dict):
        system += option.get("MessageSystemAttributeNames") or ()
        named = list(option.get("MessageAttributeNames") or named)
    elif option:
        system += option
    if "All" in system:
        system = ["All"]
    return {"MessageSystemAttributeNames": list(dict.fromkeys(system)), "MessageAttributeNames": named}
