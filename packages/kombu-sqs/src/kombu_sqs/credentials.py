"""Sessions: where credentials come from. Always botocore's chain, so what expires is renewed before it does."""

from __future__ import annotations

from datetime import timedelta
from threading import RLock
from typing import TYPE_CHECKING, Any

import botocore.session
from boto3.session import Session
from botocore.credentials import CredentialProvider, DeferredRefreshableCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Sessions", "assumed_role")

#: botocore renews credentials so many seconds before their end, which is always where they live no longer than that.
#: It is therefore told of an end so much later.
ADVISORY = 900
#: Seconds before the end that credentials are renewed where nothing else is said.
SOON = 60


class Sessions:
    """boto3 sessions that share one loader: reading the models of the services takes most of connecting.

    A session keeps the credentials it found (and renews those that expire); :meth:`forget` has them looked for again.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._loader: Any = None
        self._kept: dict[Any, Session] = {}

    def get(self, key: Any, provider: Callable[[], CredentialProvider] | None = None) -> Session:
        """The session for ``key``; a new one asks ``provider`` for credentials first. Hold ``lock``."""
        session = self._kept.get(key)
        if session is None:
            core = botocore.session.Session()
            if self._loader is None:
                self._loader = core.get_component("data_loader")
            else:
                core.register_component("data_loader", self._loader)
            if provider is not None:
                chain = core.get_component("credential_provider")
                chain.providers.insert(0, provider())
            session = self._kept[key] = Session(botocore_session=core)
        return session

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have been at it. Credentials are looked for again."""
        self.lock = RLock()
        self._kept = {}

    def forget(self, key: Any) -> None:
        """Look for the credentials anew next time."""
        with self.lock:
            self._kept.pop(key, None)


class _Role(CredentialProvider):
    METHOD = CANONICAL_NAME = "kombu-sts-role"

    def __init__(self, refresh: Callable[[], dict[str, str]]) -> None:
        super().__init__()
        self._refresh = refresh

    def load(self) -> Any:
        return DeferredRefreshableCredentials(refresh_using=self._refresh, method=self.METHOD)


def assumed_role(
    sts: Callable[[], Any], role_arn: str, duration: int, buffer: int, session_name: str = "Celery"
) -> CredentialProvider:
    """A provider of a role's credentials (STS AssumeRole), which are renewed when they are about to expire.

    Arguments:
        sts: makes the client that asks, with the credentials of its own.
        duration: seconds the credentials live.
        buffer: seconds before their end that they are renewed; ``SOON`` at the least.
    """
    later = timedelta(seconds=ADVISORY - max(buffer, SOON))

    def refresh() -> dict[str, str]:
        found = sts().assume_role(RoleArn=role_arn, RoleSessionName=session_name, DurationSeconds=duration)[
            "Credentials"
        ]
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": (found["Expiration"] + later).isoformat(),
        }

    return _Role(refresh)
