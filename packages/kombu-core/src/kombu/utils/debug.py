"""Watching what happens."""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, Any

from kombu.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Logwrapped", "setup_logging")


def setup_logging(loglevel: int | str = logging.DEBUG, loggers: Sequence[str] | None = None) -> None:
    """Print what ``loggers`` (``kombu.connection`` and ``kombu.channel``) log from ``loglevel`` on to stderr."""
    for name in loggers if loggers is not None else ("kombu.connection", "kombu.channel"):
        logger = get_logger(name)
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(loglevel)


class Logwrapped:
    """``instance`` with every method call logged at level DEBUG: name, arguments and, if any, ``ident``."""

    __ignore__ = ("__enter__", "__exit__")

    def __init__(self, instance: Any, logger: Any = None, ident: str | None = None) -> None:
        self.instance = instance
        self.logger = get_logger(logger)
        self.ident = ident

    def __getattr__(self, key: str) -> Any:
        method = getattr(self.instance, key)
        if not callable(method) or key in self.__ignore__:
            return method

        @wraps(method)
        def logged(*args: Any, **kwargs: Any) -> Any:
            from kombu.utils.functional import reprcall

            where = self.ident.format(self.instance) if self.ident else ""
            self.logger.debug("%s%s", where, reprcall(key, args, kwargs))
            return method(*args, **kwargs)

        return logged

    def __repr__(self) -> str:
        return repr(self.instance)

    def __dir__(self) -> list[str]:
        return dir(self.instance)
