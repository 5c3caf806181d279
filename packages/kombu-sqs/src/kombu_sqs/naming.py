"""Names: a kombu queue or exchange to the name of an SQS queue or SNS topic, and back. Pure.

SQS (CreateQueue) allows 80 characters: letters, digits, ``-`` and ``_``, and the suffix ``.fifo``. As in earlier
versions a dot becomes ``-`` and any other character ``_``, so two names may become one.
"""

from __future__ import annotations

import re
import string

from kombu.exceptions import PreconditionFailed

__all__ = ("FIFO", "Names", "canonical", "is_fifo", "region_in_host")

FIFO = ".fifo"
QUEUE_LIMIT = 80
TOPIC_LIMIT = 256

_TABLE = {ord(char): "_" for char in string.punctuation if char not in "-_."} | {ord("."): "-"}
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def is_fifo(name: str) -> bool:
    """Whether a queue or topic of this name is first-in-first-out."""
    return name.endswith(FIFO)


def canonical(name: str, prefix: str = "", limit: int = QUEUE_LIMIT) -> str:
    """The name at AWS, with the prefix.

    Raises:
        PreconditionFailed: it is longer than AWS allows.
    """
    stem, suffix = (name[: -len(FIFO)], FIFO) if is_fifo(name) else (name, "")
    made = _OTHER.sub("_", (prefix + stem).translate(_TABLE)) + suffix
    if not 0 < len(made) <= limit:
        text = f"{made!r}, the name at AWS of {name!r}, has {len(made)} characters: 1 to {limit} are allowed"
        raise PreconditionFailed(text, (50, 10), "Queue.declare")
    return made


class Names:
    """Which kombu names stand behind AWS names, as far as this process has used them."""

    def __init__(self, prefix: str = "", limit: int = QUEUE_LIMIT) -> None:
        self.prefix = prefix
        self.limit = limit
        self._made: dict[str, str] = {}
        self._known: dict[str, str] = {}

    def to_aws(self, name: str) -> str:
        """The name at AWS; remembered."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = canonical(name, self.prefix, self.limit)
            self._known.setdefault(made, name)
        return made

    def forget(self, name: str) -> None:
        """The queue is gone."""
        made = self._made.pop(name, "")
        if self._known.get(made) == name:
            del self._known[made]

    def from_aws(self, made: str) -> str:
        """The name it was made from, else the name without the prefix."""
        known = self._known.get(made)
        return made.removeprefix(canonical(self.prefix) if self.prefix else "") if known is None else known

    def shared_with(self, name: str) -> str | None:
        """Another name that became the same at AWS; None when this one is alone."""
        first = self._known.get(self.to_aws(name))
        return None if first == name else first


#: Of the service, FIPS and dual-stack ones as well, of an endpoint in a VPC, and as queues' URLs were once.
_HOST = re.compile(
    r"(?:https?://)?(?:[a-z0-9-]+\.)?(?:sqs(?:-fips)?\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.(?:vpce\.)?(?:amazonaws|api\.aws)\b"
)


def region_in_host(host: str | None) -> str | None:
    """``eu-west-1`` of ``sqs.eu-west-1.amazonaws.com`` or a queue's URL there; None of another host."""
    found = _HOST.match(host or "")
    return (found[1] or found[2]) if found else None
