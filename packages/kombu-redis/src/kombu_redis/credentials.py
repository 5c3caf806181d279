"""User name and password: from the URL, or from a ``credential_provider`` that may change them any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.utils.imports import symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_redis.address import Address

__all__ = ("Credentials", "credentials_of")

#: The arguments of AUTH: (), (password,) or (user, password).
Credentials = tuple[str, ...]


def credentials_of(address: Address, provider: Any = None) -> Callable[[], Credentials]:
    """A function that tells the arguments of AUTH, asked anew for each login.

    Arguments:
        provider: an object with ``get_credentials()`` such as redis-py's ``CredentialProvider``, its class, or a
            dotted name of one. It goes before what the URL says.

    Raises:
        ValueError: it has no ``get_credentials``.
    """
    if provider is None:
        fixed: Credentials = ()
        if address.username:
            fixed = (address.username, address.password or "")
        elif address.password:
            fixed = (address.password,)
        return lambda: fixed
    found = symbol_by_name(provider)
    if isinstance(found, type):
        found = found()
    ask = getattr(found, "get_credentials", None)
    if not callable(ask):
        raise ValueError(
            f"credential_provider is a {type(found).__name__} without the method get_credentials(), which returns"
            f" (user, password) or (password,); redis.CredentialProvider is the class to derive from"
        )
    return lambda: _checked(ask())


def _checked(answer: Any) -> Credentials:
    if isinstance(answer, str):
        return (answer,)
    credentials = tuple(answer or ())
    if len(credentials) > 2 or not all(isinstance(part, str) for part in credentials):
        raise ValueError(
            "credential_provider.get_credentials() returns (user, password) or (password,); it returned something else,"
            " which is not shown because it may hold a secret"
        )
    return credentials
