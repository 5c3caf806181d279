"""The errors of this transport: each is caught as ``kombu.exceptions.X`` and as one of ``redis.exceptions``.

What the driver raises becomes one of them where a client gets it, by its class or by the first word of the server's
answer. No message ever holds a password.
"""

from __future__ import annotations

import builtins
import re
from collections import namedtuple
from typing import Any

from redis import exceptions as driver

from kombu import exceptions as ours

__all__ = (
    "AccessRefused",
    "Ask",
    "AuthenticationError",
    "ClusterDown",
    "CommandError",
    "ConnectionError",
    "ConnectionLost",
    "InvalidReply",
    "Loading",
    "MasterDown",
    "Moved",
    "NoReply",
    "NoScript",
    "OutOfMemory",
    "ReadOnly",
    "TryAgain",
    "Unavailable",
    "error_classes_t",
    "error_from_driver",
    "get_redis_ConnectionError",
    "get_redis_error_classes",
)

#: What :func:`get_redis_error_classes` returns.
error_classes_t = namedtuple("error_classes_t", ("connection_errors", "channel_errors"))


class _Both:
    """Both families have constructors of their own, which do not fit together; this one takes the text."""

    def __init__(self, text: str = "") -> None:
        driver.RedisError.__init__(self, text)  # type: ignore[arg-type]
        self.message = self.reply_text = text
        self.reply_code: Any = getattr(self, "code", 0)
        self.method_sig: tuple[int, int] | None = None
        self.method_name = ""
        BaseException.__init__(self, text)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reply_text!r})"

    def __reduce__(self) -> Any:
        return type(self), (self.reply_text,), self.__dict__


class ConnectionError(_Both, ours.ConnectionError, driver.ConnectionError):
    """The connection cannot be used, and trying again will not help: the database does not exist, for instance."""


class AuthenticationError(_Both, ours.ConnectionError, driver.AuthenticationError):
    """The server does not accept the user name and password (WRONGPASS, NOAUTH)."""


class ConnectionLost(
    _Both, ours.RecoverableConnectionError, driver.ConnectionError, builtins.ConnectionError
):
    """There is no connection to the server, or it was closed or reset; also an :class:`OSError`."""


class NoReply(_Both, ours.RecoverableConnectionError, driver.TimeoutError, builtins.TimeoutError):
    """The server did not answer, or take what was written, within ``socket_timeout``; also an :class:`OSError`."""


class InvalidReply(_Both, ours.RecoverableConnectionError, driver.InvalidResponse):
    """What came is not Redis' protocol."""


class Unavailable(_Both, ours.ResourceError, driver.ResponseError):
    """The server does not carry out commands for now: BUSY, MISCONF, NOREPLICAS, TRYAGAIN, UNBLOCKED."""


class Loading(Unavailable, driver.BusyLoadingError):
    """LOADING: the server has just started and reads its data."""


class ReadOnly(Unavailable, driver.ReadOnlyError):
    """READONLY: this server is a replica; after a failover the address may lead to the new master."""


class ClusterDown(Unavailable, driver.ClusterDownError):
    """CLUSTERDOWN: a part of the cluster has no master for now."""


class MasterDown(ClusterDown, driver.MasterDownError):
    """MASTERDOWN: a replica that has lost its master, and is told not to answer with old data."""


class TryAgain(Unavailable, driver.TryAgainError):
    """TRYAGAIN: the keys of a slot of the cluster are on their way to another node; soon they are all there."""


class Moved(Unavailable):
    """MOVED: another node of the cluster serves this slot; the command was not carried out."""

    @property
    def node(self) -> tuple[str, int]:
        """Host ("" for that of the node which said so) and port of the other node."""
        host, _, port = self.reply_text.split()[2].rpartition(":")
        return host, int(port)


class Ask(Moved):
    """ASK: the same, for one command, since the slot is on its way to that node."""


class OutOfMemory(Unavailable, driver.OutOfMemoryError):
    """OOM: ``maxmemory`` is reached, and the server may not evict anything."""


class CommandError(_Both, ours.ChannelError, driver.ResponseError):
    """The server refuses a command: a key of another type, wrong arguments, an error in a script."""


class AccessRefused(_Both, ours.AccessRefused, driver.NoPermissionError):
    """NOPERM: the user may not run a command, or touch a key or channel; docs/redis.md lists what is needed."""


class NoScript(CommandError, driver.NoScriptError):
    """NOSCRIPT: the server does not know a script (any more); it is sent again by itself."""


#: The driver takes the first word of some answers for the class of its error, and leaves it out of the text.
_BY_CLASS: tuple[tuple[type[Exception], str, type[Any]], ...] = (
    (driver.BusyLoadingError, "LOADING", Loading),
    (driver.AuthenticationError, "", AuthenticationError),
    (driver.MasterDownError, "MASTERDOWN", MasterDown),
    (driver.ClusterDownError, "CLUSTERDOWN", ClusterDown),
    (driver.TryAgainError, "TRYAGAIN", TryAgain),
    (driver.MovedError, "MOVED", Moved),
    (driver.AskError, "ASK", Ask),
    (driver.ClusterCrossSlotError, "CROSSSLOT", CommandError),
    (driver.ReadOnlyError, "READONLY", ReadOnly),
    (driver.OutOfMemoryError, "OOM", OutOfMemory),
    (driver.NoPermissionError, "NOPERM", AccessRefused),
    (driver.NoScriptError, "NOSCRIPT", NoScript),
    (driver.TimeoutError, "", NoReply),
    (driver.ConnectionError, "", ConnectionLost),
    (driver.InvalidResponse, "", InvalidReply),
    # (a number that is none, where the protocol has one)
    (ValueError, "the server does not speak Redis' protocol:", InvalidReply),
)

#: What the driver has no class for, or not in all its versions.
_BY_START: tuple[tuple[str, type[Any]], ...] = (
    ("MASTERDOWN ", MasterDown),
    ("CLUSTERDOWN ", ClusterDown),
    *((word, Unavailable) for word in ("BUSY ", "MISCONF ", "NOREPLICAS ", "UNBLOCKED ")),
    ("DB index is out of range", ConnectionError),
    ("WAIT cannot be used with replica", ReadOnly),
    *((f"{word} ", kind) for _, word, kind in _BY_CLASS if word.isupper()),
)

#: What Redis 6 puts before the error of a command that a script called; later versions put something behind it.
_IN_SCRIPT = re.compile(r"Error running script \(call to \w+\): .*?: -(?=[A-Z]+ )")


#: What a command of a script answers that the user may not run; the first word is missing.
_NOT_ALLOWED = re.compile(r"ACL failure in script|The user executing the script can't")


def error_from_driver(exc: BaseException, where: str = "") -> Any:
    """The error of this module that ``exc``, which the driver raised, stands for.

    Arguments:
        where: goes before the text.
    """
    text = _IN_SCRIPT.sub("", str(exc))
    if _NOT_ALLOWED.search(text):
        exc = driver.NoPermissionError(text)
    known = next(((word, kind) for theirs, word, kind in _BY_CLASS if isinstance(exc, theirs)), None)
    if known is None:
        kind = next((kind for start, kind in _BY_START if text.startswith(start)), CommandError)
    else:
        word, kind = known
        word = getattr(exc, "status_code", None) or word
        if word and not text.startswith(word):
            text = f"{word} {text}"
    return kind(f"{where}: {text}" if where else text)


def get_redis_error_classes() -> Any:
    """``error_classes_t(connection_errors, channel_errors)``: what a connection, and a channel, may raise.

    Both kombu's and the driver's, so that code of the program which uses redis-py itself is covered.
    """
    return error_classes_t(
        (
            ours.ConnectionError,
            builtins.OSError,
            driver.ConnectionError,
            driver.TimeoutError,
        ),
        (ours.ChannelError, driver.DataError, driver.InvalidResponse, driver.ResponseError),
    )


def get_redis_ConnectionError() -> type[Exception]:
    """The driver's connection error."""
    return driver.ConnectionError
