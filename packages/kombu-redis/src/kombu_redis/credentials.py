"""User names and passwords from a ``credential_provider``, which may change them any time."""

from __future__ import annotations

from logging import getLogger
from typing import TYPE_CHECKING, Any

from redis import CredentialProvider, exceptions

from kombu.utils.imports import symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Accepted", "Credentials", "Fixed", "log_in")

logger = getLogger("kombu.transport.redis")


class Accepted:
    """What a server accepted last, of all sessions of a connection."""

    def __init__(self) -> None:
        self.login: tuple[str, ...] = ()


class Credentials(CredentialProvider):
    """What the driver asks at each login; knows what was last answered.

    Arguments:
        provider: an object with ``get_credentials()`` such as redis-py's ``CredentialProvider``, its class, or a
            dotted name of one.

    Raises:
        ValueError: it has no ``get_credentials``.
    """

    def __init__(self, provider: Any) -> None:
        try:
            found = symbol_by_name(provider)
        except (ImportError, AttributeError, ValueError) as exc:
            raise ValueError(f"credential_provider {provider!r} is no dotted name of a class: {exc}") from None
        if isinstance(found, type):
            found = found()
        if not callable(getattr(found, "get_credentials", None)):
            raise ValueError(
                f"credential_provider is a {type(found).__name__} without the method get_credentials(), which returns"
                f" (user, password) or (password,); redis.CredentialProvider is the class to derive from"
            )
        self._provider = found
        self.last: tuple[str, ...] = ()

    def get_credentials(self) -> Any:
        """The arguments of AUTH: (), (password,) or (user, password)."""
        answer = self._provider.get_credentials()
        credentials = (answer,) if isinstance(answer, str) else tuple(answer or ())
        if len(credentials) > 2 or not all(isinstance(part, str) for part in credentials):
            raise ValueError(
                "credential_provider.get_credentials() returns (user, password) or (password,); it returned something"
                " else, which is not shown because it may hold a secret"
            )
        self.last = credentials
        return credentials


class Fixed(CredentialProvider):
    """Always the same: (password,) or (user, password)."""

    def __init__(self, login: tuple[str, ...]) -> None:
        self._login = login

    def get_credentials(self) -> Any:
        """As given."""
        return self._login


def log_in(make: Callable[[CredentialProvider], Any], credentials: Credentials, accepted: Accepted) -> tuple[Any, Any]:
    """A connection of the driver that is logged in, and how.

    While a server does not accept what the provider gives (yet), what was accepted last serves new connections too.

    Raises:
        redis.AuthenticationError: neither is accepted.
    """
    try:
        wire, login = _connected(make(credentials)), credentials.last
    except exceptions.AuthenticationError as exc:
        login = accepted.login
        if login in ((), credentials.last):
            raise
        wire = _connected(make(Fixed(login)))
        logger.warning("%r does not accept new credentials (yet): %s", wire, exc)
    accepted.login = login
    return wire, login


def _connected(wire: Any) -> Any:
    try:
        wire.connect()
    except BaseException:
        wire.disconnect()
        raise
    return wire
