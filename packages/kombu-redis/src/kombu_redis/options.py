"""The transport's options: everything that ``transport_options`` may say for Redis, with its default.

docs/redis.md explains each of them; a test keeps the page complete.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from logging import getLogger
from typing import TYPE_CHECKING, Any

from kombu.utils.deadline import grace_scope
from kombu.utils.scheduling import CYCLE_ALIASES, cycle_by_name
from kombu_redis.credentials import Accepted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("Options",)

logger = getLogger("kombu.transport.redis")

#: Read by kombu's connection, not by the transport.
_ELSEWHERE = frozenset(
    (
        "callback",
        "connect_retries_timeout",
        "errback",
        "interval_max",
        "interval_start",
        "interval_step",
        "max_retries",
    )
)

#: Thirty years: what the clocks of sockets, threads and the server can all tell.
LONGEST = 10**9

_ORDERS = ("steps", "rabbitmq")
_FANOUTS = ("pubsub", "queue", "stream")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Seconds where it is a time. The names up to ``max_connections`` are those of kombu 5.7."""

    # -- keys and channels, which old and new programs share
    global_keyprefix: str = ""
    sep: str = "\x06\x16"
    unacked_key: str = "unacked"
    unacked_index_key: str = "unacked_index"
    unacked_mutex_key: str = "unacked_mutex"
    fanout_prefix: bool | str = True
    fanout_patterns: bool = True
    priority_steps: tuple[int, ...] = (0, 3, 6, 9)

    # -- messages
    ack_emulation: bool = True
    visibility_timeout: float = 3600
    unacked_mutex_expire: float = 300
    unacked_restore_limit: int | None = None
    unacked_restore_interval: int = 10
    unacked_restore_throttle: int = 10
    queue_order_strategy: str = "round_robin"
    polling_interval: float | None = None
    body_encoding: str | None = "base64"
    deadletter_queue: str | None = None

    # -- the socket
    socket_timeout: float = 10
    socket_connect_timeout: float = 5
    socket_keepalive: bool | None = True
    socket_keepalive_options: Mapping[int, int] | None = None
    retry_on_timeout: bool | None = None
    health_check_interval: float | None = 25
    client_name: str | None = None
    credential_provider: Any = field(default=None, repr=False)
    max_connections: int = 10

    # -- Sentinel
    master_name: str | None = None
    min_other_sentinels: int = 0
    sentinel_kwargs: Mapping[str, Any] | None = field(default=None, repr=False)
    sentinel_fanout_compat: bool = False

    # -- new in kombu 6
    lease: float = 30
    priority_order: str = "steps"
    fanout: str = "pubsub"
    fanout_length: int = 10_000
    fanout_age: float = 3600
    max_deliveries: int | None = None
    wait_replicas: int = 0

    #: Not given, but shared by who is given these.
    accepted: Accepted = field(default_factory=Accepted, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, given: Mapping[str, Any] | None = None, *, client: Any = None) -> Options:
        """The options out of ``transport_options``; one that nobody knows is logged with the nearest name.

        Arguments:
            client: the :class:`kombu.Connection`; its ``connect_timeout`` and ``credential_provider`` hold where
                ``given`` says nothing.

        Raises:
            ValueError: an option has a value that cannot be; the message names both and what is expected.
        """
        values: dict[str, Any] = {}
        for name, value in (given or {}).items():
            if name in _READERS:
                values[name] = _read(name, value)
            elif name not in _ELSEWHERE:
                near = get_close_matches(name, sorted({*_READERS, *_ELSEWHERE}), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                logger.warning("the transport redis has no option %r: ignored.%s", name, hint)
        for name in ("socket_timeout", "socket_connect_timeout"):
            # (None meant no limit, which is no good idea: a server that is gone without a word would never be noticed)
            if values.get(name, 0) is None:
                del values[name]
        if client is not None and "socket_connect_timeout" not in values:
            # (what the program set, not what a deadline leaves of it just now)
            with grace_scope(3600):
                values["socket_connect_timeout"] = _read("socket_connect_timeout", client.connect_timeout)
        if values.get("credential_provider") is None:
            values["credential_provider"] = getattr(client, "credential_provider", None)
        return cls(**values)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lease", min(self.lease, self.visibility_timeout))


def _read(name: str, value: Any) -> Any:
    try:
        return _READERS[name](value)
    except (TypeError, ValueError) as exc:
        shown = "the value" if name in ("credential_provider", "sentinel_kwargs") else repr(value)
        raise ValueError(f"the option {name} of the transport redis cannot be {shown}: {exc}") from None


# -- how each is read: the value as it is stored, or an error that says what was expected


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def _word(value: Any) -> str:
    if not _text(value):
        raise ValueError("expected text that is not empty")
    return str(value)


def _name(value: Any) -> str:
    if any(character <= " " or character > "~" for character in _word(value)):
        raise ValueError(
            "expected text without blanks and of ASCII characters only, as CLIENT SETNAME takes it"
        )
    return str(value)


def _flag(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        return value.lower() in ("true", "1", "yes", "on")
    if not isinstance(value, (bool, int)):
        raise ValueError("expected True or False")
    return bool(value)


def _flag_or_text(value: Any) -> bool | str:
    return value if isinstance(value, (bool, str)) else _flag(value)


def _seconds(value: Any) -> float:
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= LONGEST:
        raise ValueError(f"expected seconds, a number above 0 and up to {LONGEST:,}")
    return number


def _seconds_or_none(value: Any) -> float | None:
    """None is none; so is 0, as with a health check that is switched off."""
    return _seconds(value) if value else None


def _count(value: Any) -> int:
    try:
        number = -1 if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if number < 0 or (isinstance(value, float) and number != value):
        raise ValueError("expected a whole number, 0 or more")
    return number


def _many(value: Any) -> int:
    if not _count(value):
        raise ValueError("expected a whole number, 1 or more")
    return int(value)


def _count_or_none(value: Any) -> int | None:
    return None if value is None else _count(value)


def _steps(value: Any) -> tuple[int, ...]:
    steps = tuple(sorted({_count(step) for step in value})) if isinstance(value, (list, tuple, set)) else ()
    if not steps:
        raise ValueError("expected a list of priorities such as [0, 3, 6, 9]")
    return steps


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def choice(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(map(repr, choices))}")
        return str(value)

    return choice


def _cycle(value: Any) -> str:
    """The name of an order, or of a class with the methods of those in :mod:`kombu.utils.scheduling`."""
    try:
        found = cycle_by_name(_text(value))
        if not callable(found):
            raise ValueError
    except (ImportError, AttributeError, ValueError):
        known = ", ".join(map(repr, sorted(CYCLE_ALIASES)))
        raise ValueError(f"expected {known} or the dotted name of a class") from None
    return str(value)


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def optional(value: Any) -> Any:
        return None if value is None else read(value)

    return optional


def _mapping(value: Any) -> Any:
    if not hasattr(value, "items"):
        raise ValueError("expected a mapping")
    return value


def _numbers(value: Any) -> Any:
    """By the numbers of the module ``socket``."""
    if not all(isinstance(key, int) for key in _mapping(value)):
        raise ValueError("expected a mapping whose keys are numbers, such as {socket.TCP_KEEPIDLE: 30}")
    return value


def _anything(value: Any) -> Any:
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "bool": _flag,
    "int": _count,
    "float": _seconds,
    "bool | str": _flag_or_text,
    "bool | None": _optional(_flag),
    "str | None": _optional(_text),
    "int | None": _count_or_none,
    "float | None": _seconds_or_none,
    "tuple[int, ...]": _steps,
    "Mapping[int, int] | None": _optional(_numbers),
    "Mapping[str, Any] | None": _optional(_mapping),
    "Any": _anything,
}
_READERS = {field.name: _READERS[str(field.type)] for field in fields(Options) if field.init}
_READERS.update(
    sep=_word,
    unacked_key=_word,
    unacked_index_key=_word,
    unacked_mutex_key=_word,
    queue_order_strategy=_cycle,
    priority_order=_one_of(_ORDERS),
    fanout=_one_of(_FANOUTS),
    fanout_length=_many,
    socket_timeout=_optional(_seconds),
    socket_connect_timeout=_optional(_seconds),
    client_name=_optional(_name),
)
