"""Loggers that are silent until somebody listens, and a mixin for classes that log."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from kombu.utils.encoding import safe_repr, safe_str
from kombu.utils.functional import maybe_evaluate
from kombu.utils.objects import cached_property

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "LOG_LEVELS",
    "Log",
    "LogMixin",
    "get_logger",
    "get_loglevel",
    "naive_format_parts",
    "safeify_format",
    "setup_logging",
)

#: Level numbers by name, and names by number.
LOG_LEVELS: dict[Any, Any] = {
    "CRITICAL": 50,
    "FATAL": 50,
    "ERROR": 40,
    "WARN": 30,
    "WARNING": 30,
    "INFO": 20,
    "DEBUG": 10,
    "NOTSET": 0,
    50: "CRITICAL",
    40: "ERROR",
    30: "WARNING",
    20: "INFO",
    10: "DEBUG",
    0: "NOTSET",
}

#: Set in the environment: errors are logged without their traceback.
DISABLE_TRACEBACKS = os.environ.get("DISABLE_TRACEBACKS")


def get_logger(logger: str | logging.Logger | None) -> logging.Logger:
    """The logger of that name (or the one given), which prints nothing until the application sets up logging."""
    found = logging.getLogger(logger) if logger is None or isinstance(logger, str) else logger
    if not found.handlers:
        found.addHandler(logging.NullHandler())
    return found


def get_loglevel(level: str | int) -> int:
    """The number of a level by its (upper case) name; numbers come back as they are."""
    if isinstance(level, str):
        return int(LOG_LEVELS[level])
    return level


_DIRECTIVE = re.compile(r"%(?:\(\w*\))?[#0\- +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[hlL]?(.)", re.DOTALL)


class _Shown(str):
    """Text that stands for an object: its ``repr`` is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def naive_format_parts(fmt: str) -> Iterator[str]:
    """The conversion letter of each ``%`` in ``fmt`` that takes an argument, in order (``"%s: %r"`` gives s, r)."""
    return (letter for letter in _DIRECTIVE.findall(fmt) if letter != "%")


def safeify_format(fmt: str, args: Any, filters: Any = None) -> Iterator[Any]:
    """The arguments that ``fmt`` takes, so that formatting them never raises.

    ``filters`` maps a conversion letter to a function (s: safe_str, r: safe_repr); others pass as they are.
    """
    filters = filters or {"s": safe_str, "r": safe_repr}
    for letter, arg in zip(naive_format_parts(fmt), args, strict=False):
        arg = maybe_evaluate(arg)
        show = filters.get(letter)
        yield arg if show is None else _Shown(show(arg))


class LogMixin:
    """``self.info(...)`` and the like for a class, on a logger named after it."""

    def debug(self, *args: Any, **kwargs: Any) -> None:
        """Log at level DEBUG."""
        return self.log(logging.DEBUG, *args, **kwargs)

    def info(self, *args: Any, **kwargs: Any) -> None:
        """Log at level INFO."""
        return self.log(logging.INFO, *args, **kwargs)

    def warn(self, *args: Any, **kwargs: Any) -> None:
        """Log at level WARNING."""
        return self.log(logging.WARNING, *args, **kwargs)

    warning = warn

    def error(self, *args: Any, **kwargs: Any) -> None:
        """Log at level ERROR, with the traceback of the exception being handled, if any."""
        kwargs.setdefault("exc_info", True)
        return self.log(logging.ERROR, *args, **kwargs)

    def critical(self, *args: Any, **kwargs: Any) -> None:
        """Log at level CRITICAL, with the traceback of the exception being handled, if any."""
        kwargs.setdefault("exc_info", True)
        return self.log(logging.CRITICAL, *args, **kwargs)

    def annotate(self, text: str) -> str:
        """``text`` after the logger's name."""
        return f"{self.logger_name} - {text}"

    def log(self, severity: int | str, *args: Any, **kwargs: Any) -> None:
        """Log ``args[0] % args[1:]`` at ``severity`` (number or name); arguments that cannot be shown do no harm."""
        level = self.get_loglevel(severity)
        if DISABLE_TRACEBACKS or sys.exc_info()[0] is None:
            kwargs.pop("exc_info", None)
        logger = self.logger
        if not logger.isEnabledFor(level):
            return
        if len(args) > 1 and isinstance(args[0], str):
            logger.log(level, self.annotate(args[0]), *safeify_format(args[0], args[1:]), **kwargs)
        else:
            logger.log(level, self.annotate(" ".join(safe_str(arg) for arg in args)), **kwargs)

    def get_logger(self) -> logging.Logger:
        """The logger to use; override to choose another."""
        return get_logger(self.logger_name)

    def is_enabled_for(self, level: int | str) -> bool:
        """Would ``level`` be logged?"""
        return bool(self.logger.isEnabledFor(self.get_loglevel(level)))

    def get_loglevel(self, level: int | str) -> int:
        """The number of a level; see :func:`get_loglevel`."""
        return get_loglevel(level)

    @cached_property
    def logger(self) -> logging.Logger:
        """The logger that is used."""
        return self.get_logger()

    @property
    def logger_name(self) -> str:
        """Name of the logger: the class's."""
        return self.__class__.__name__


class Log(LogMixin):
    """A :class:`LogMixin` on its own, for a logger called ``name``."""

    def __init__(self, name: str, logger: Any = None) -> None:
        self._logger_name = name
        self._logger = logger

    def get_logger(self) -> logging.Logger:
        if self._logger is not None:
            return get_logger(self._logger)
        return super().get_logger()

    @property
    def logger_name(self) -> str:
        return self._logger_name


def setup_logging(loglevel: int | str | None = None, logfile: Any = None) -> logging.Logger:
    """Send what the root logger gets, from ``loglevel`` (WARNING) on, to ``logfile`` (a path or stream; stderr).

    Does nothing but set the level when the root logger has a handler already. Returns the root logger.
    """
    root = logging.getLogger()
    root.setLevel(get_loglevel(loglevel if loglevel is not None else "WARNING"))
    if not root.handlers:
        if logfile is None or hasattr(logfile, "write"):
            root.addHandler(logging.StreamHandler(logfile or sys.__stderr__))
        else:
            from logging.handlers import WatchedFileHandler

            root.addHandler(WatchedFileHandler(logfile))
    return root
