"""What a connection was told: its URL and ``transport_options``, read and checked once.

Every option is described in docs/sqs.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger
from kombu.utils.url import parse_url

from .naming import region_in_host

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("BODY_FORMATS", "Access", "Exchange", "Options", "Predefined", "read")

logger = get_logger(__name__)

#: How bodies are sent: kombu's envelope as base64 text or as JSON text, or the body alone.
BODY_FORMATS = ("base64", "json", "raw")

#: Seconds that a receive waits at the server at the most (ReceiveMessage, WaitTimeSeconds), and how many receives a
#: second the idle consumers of a connection make: each takes a millisecond and a half of CPU.
LONGEST_WAIT, RATE = 20, 5

#: Historic names that Python cannot spell.
_SPELLED = {"sqs-creation-attributes": "sqs_creation_attributes", "client-config": "client_config"}

#: Read elsewhere: by kombu's connection and by the virtual layer.
_ELSEWHERE = frozenset(
    (
        "callback",
        "errback",
        "max_retries",
        "interval_start",
        "interval_step",
        "interval_max",
        "connect_retries_timeout",
        "deadletter_queue",
    )
)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Credentials of a queue or topic of its own; None: those of the connection."""

    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    sts_role_arn: str | None = None

    @property
    def access(self) -> Access | None:
        """These settings by themselves; None when nothing is set."""
        values = {item.name: getattr(self, item.name) for item in fields(Access)}
        return Access(**values) if any(values.values()) else None


@dataclass(frozen=True, kw_only=True)
class Predefined(Access):
    """A queue that exists: nothing but Send, Receive, Delete and ChangeMessageVisibility is asked of it."""

    url: str
    backoff_policy: Mapping[Any, Any] | None = None
    backoff_tasks: Any = ()
    #: Whether SQS moves what was received too often to a dead-letter queue; None: not said.
    redrive_policy: bool | None = None
    max_message_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Exchange(Access):
    """An SNS topic that exists, for a fanout exchange."""

    arn: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """``transport_options`` for SQS. Times are in seconds, sizes in bytes."""

    # where
    region: str | None = None
    is_secure: bool | None = None
    port: int | None = None
    endpoint_url: str | None = None
    sns_endpoint_url: str | None = None
    sts_endpoint_url: str | None = None
    s3_endpoint_url: str | None = None
    # who
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    sts_role_arn: str | None = None
    sts_token_timeout: int = 900
    sts_token_buffer_time: int = 0
    # queues
    queue_name_prefix: str = ""
    predefined_queues: Mapping[str, Predefined] = field(default_factory=dict)
    sqs_creation_attributes: Mapping[str, Any] = field(default_factory=dict)
    queue_tags: Mapping[str, str] = field(default_factory=dict)
    max_deliveries: int | None = None
    redrive_policy_cache_ttl: float = 300.0
    # receiving
    visibility_timeout: int = 1800
    wait_time_seconds: int | None = None
    receivers: int = 100
    polling_interval: float | None = None
    fetch_message_attributes: Any = None
    # settling
    batch_deletes: bool = False
    delete_delay: float = 0.2
    # bodies
    sqs_base64_encoding: bool = True
    body_format: str | None = None
    max_message_size: int = 1048576
    offload: Any = None
    # fanout
    supports_fanout: bool = False
    predefined_exchanges: Mapping[str, Exchange] = field(default_factory=dict)
    # the client
    request_timeout: float = 10.0
    stop_timeout: float = 2.0
    max_attempts: int = 5
    retry_interval: float = 0.4
    client_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """How bodies are sent, one of ``BODY_FORMATS``."""
        return self.body_format or ("base64" if self.sqs_base64_encoding else "json")

    @property
    def idle_pause(self) -> float:
        """Seconds between an empty answer and the next question."""
        if self.polling_interval is None:
            return 1.0 if self.wait_time_seconds == 0 else 0.0
        return self.polling_interval

    def wait_time(self, queues: int) -> int:
        """Seconds that a receive waits at the server while ``queues`` are received from, on one connection.

        One, so that a stop is quick; more where many queues would make many requests. Where queues take turns, one.
        """
        wait = self.wait_time_seconds
        if wait is None:
            wait = min(LONGEST_WAIT, max(1, -(-queues // RATE)))
        return min(1, wait) if queues > self.receivers else wait


def read(client: Any) -> Options:
    """The options of a :class:`kombu.Connection` (None: the defaults); unknown ones are logged.

    Raises:
        ValueError: an option is impossible; the text names it, its value and what was expected.
    """
    given = {
        _SPELLED.get(name, name): value
        for name, value in (getattr(client, "transport_options", None) or {}).items()
    }
    known = {option.name for option in fields(Options)}
    for name in sorted(given.keys() - known - _ELSEWHERE):
        near = get_close_matches(name, sorted(known | _SPELLED.keys()), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        logger.warning("the transport sqs has no option %r: ignored.%s", name, hint)
    values = {name: value for name, value in given.items() if name in known and value is not None}
    for name in _RANGES.keys() - _FRACTIONS:
        if isinstance(values.get(name), float) and values[name].is_integer():
            values[name] = int(values[name])
    values.update(_location(client, values))
    for name, made_of in (("predefined_queues", Predefined), ("predefined_exchanges", Exchange)):
        values[name] = {key: _entry(name, key, entry, made_of) for key, entry in values.get(name, {}).items()}
    options = Options(**values)
    _check(options)
    return options


def _location(client: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Endpoint, region and credentials, where the URL says them."""
    host, port = getattr(client, "hostname", None), getattr(client, "port", None)
    user, password = getattr(client, "userid", None), getattr(client, "password", None)
    secure = given.get("is_secure")
    if secure is None and getattr(client, "ssl", None):
        secure = True
    if host and host.startswith(("http://", "https://")):  # sqs+https://key:secret@host:port
        parts = parse_url(host)
        secure = host.startswith("https://") if secure is None else secure
        user, password = parts.get("userid") or user, parts.get("password") or password
        host, port = parts["hostname"], parts.get("port") or port
    found: dict[str, Any] = {}
    if user:
        found["access_key_id"] = user
    if password:
        found["secret_access_key"] = password
    region = region_in_host(host)
    if region:
        found["region"] = given.get("region") or region
    if host and not given.get("endpoint_url"):
        secure = bool(region) if secure is None else secure
        port = port or given.get("port")
        host = f"[{host}]" if ":" in host else host
        found["endpoint_url"] = f"{'https' if secure else 'http'}://{host}{f':{port}' if port else ''}"
    return found


def _entry(option: str, name: str, entry: Any, made_of: type[Any]) -> Any:
    """An entry of ``predefined_queues`` or ``predefined_exchanges``."""
    if isinstance(entry, made_of):
        return entry
    needed = "url" if made_of is Predefined else "arn"
    if isinstance(entry, str):
        entry = {needed: entry}
    if not isinstance(entry, dict) or not entry.get(needed):
        raise ValueError(f"{option}[{name!r}] must be a dictionary with {needed!r}")
    known = {item.name for item in fields(made_of)}
    for key in sorted(entry.keys() - known):
        near = get_close_matches(key, sorted(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        logger.warning("%s[%r] has no setting %r: ignored.%s", option, name, key, hint)
    made = {key: value for key, value in entry.items() if key in known}
    if made_of is Predefined:
        made.setdefault("region", region_in_host(made["url"]))
    return made_of(**made)


#: Option -> smallest and largest value (AWS API reference: ReceiveMessage, ChangeMessageVisibility, CreateQueue,
#: AssumeRole).
_RANGES = {
    "visibility_timeout": (0, 43200),
    "wait_time_seconds": (0, LONGEST_WAIT),
    "receivers": (1, 1000),
    "polling_interval": (0, 3600),
    "max_deliveries": (1, 1000),
    "max_message_size": (1, 1048576),
    "sts_token_timeout": (900, 43200),
    "sts_token_buffer_time": (0, 43200),
    "max_attempts": (1, 100),
    "retry_interval": (0.01, 20),
    "redrive_policy_cache_ttl": (0, 86400 * 365),
    "stop_timeout": (0, 60),
    "delete_delay": (0, 60),
    "request_timeout": (0.1, 3600),
}

_FRACTIONS = {
    "delete_delay",
    "polling_interval",
    "redrive_policy_cache_ttl",
    "request_timeout",
    "retry_interval",
    "stop_timeout",
}


def _check(options: Options) -> None:
    for name, (least, most) in _RANGES.items():
        value = getattr(options, name)
        wanted = (int, float) if name in _FRACTIONS else int
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, wanted) or not least <= value <= most
        ):
            kind = "a number" if name in _FRACTIONS else "a whole number"
            raise ValueError(f"transport option {name}: {value!r} is not {kind} from {least} to {most}")
    if options.sts_token_buffer_time >= options.sts_token_timeout:
        raise ValueError(
            f"transport option sts_token_buffer_time: {options.sts_token_buffer_time!r} is not less than"
            f" sts_token_timeout, {options.sts_token_timeout!r}: credentials would be renewed all the time"
        )
    if options.format not in BODY_FORMATS:
        raise ValueError(
            f"transport option body_format: {options.body_format!r} is none of {', '.join(BODY_FORMATS)}"
        )
    if options.access_key_id and not options.secret_access_key:
        raise ValueError("the URL has an access key but no secret: sqs://KEY:SECRET@ (percent-encoded)")
