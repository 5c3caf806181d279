"""The boto3 clients of one connection, and how a request is made: tried again, with new credentials, in time."""

from __future__ import annotations

from random import random
from threading import Event, RLock
from typing import TYPE_CHECKING, Any

import boto3
import botocore
from botocore.config import Config

import kombu
from kombu.log import get_logger
from kombu.utils.compat import register_after_fork
from kombu.utils.deadline import remaining

from .backoff import pause_after
from .credentials import Sessions, assumed_role
from .errors import RAISED, is_credential_trouble, is_transient, translate
from .naming import region_in_host

if TYPE_CHECKING:
    from .options import Access, Options

__all__ = ("Clients",)

logger = get_logger(__name__)

DEFAULT_REGION = "us-east-1"
USER_AGENT = f"Boto3/{boto3.__version__} Botocore/{botocore.__version__} kombu-sqs/{kombu.__version__}"

#: Sessions of this process, by whose credentials they have.
sessions = Sessions()

register_after_fork(sessions, Sessions.after_fork)

#: A request that may take less than these many seconds in all gets a client that waits no longer for the answer.
_TIMEOUTS = (1.0, 3.0)


class Clients:
    """Clients by service, credentials and patience; made when first needed. For use by any thread."""

    def __init__(self, options: Options, connect_timeout: float | None = None) -> None:
        self.options = options
        self._connect_timeout = connect_timeout or 5.0
        self._made: dict[Any, Any] = {}
        self._lock = RLock()
        #: Set when the connection closes, so that nobody sleeps between two tries.
        self.closing = Event()

    # -- requests ------------------------------------------------------------------------------------------

    def call(
        self, operation: str, what: str, *, service: str = "sqs", access: Access | None = None, **params: Any
    ) -> dict[str, Any]:
        """Make a request, again after errors that may pass, until it is answered, refused or out of time.

        Arguments:
            operation: the method of the boto3 client.
            what: the queue or topic concerned, for messages.

        Raises:
            DeadlineExceeded: the deadline in force passed.
            AMQPError: kombu's exception, which is also the last of boto3's.
        """
        failures = 0
        while True:
            left = remaining()
            try:
                client = self.get(service, access, self._patience(left))
                answer: dict[str, Any] = getattr(client, operation)(**params)
                return answer
            except RAISED as exc:
                refused = is_credential_trouble(exc)
                failures += 1
                if not (refused or is_transient(exc)) or failures >= self.options.max_attempts:
                    raise translate(exc, f"{operation} {what}") from exc
                logger.debug("%s %s: %s, trying again", operation, what, exc)
                pause = self.pause_after(failures)
                left = remaining()
                if left is not None and pause >= left:
                    raise translate(exc, f"{operation} {what}") from exc
            self.closing.wait(pause)
            if refused:
                self.renew(service, access)

    def pause(self, failures: int) -> None:
        """Wait before the next try of what failed so often; not when the connection closes.

        Raises:
            DeadlineExceeded: the deadline in force passed.
        """
        self.closing.wait(remaining(self.pause_after(failures)))

    def pause_after(self, failures: int) -> float:
        """Seconds to wait after so many errors in a row."""
        return pause_after(failures - 1, random(), self.options.retry_interval)

    def _patience(self, left: float | None) -> float:
        """Seconds to wait for an answer: ``request_timeout``, or less when a deadline is near."""
        limit = self.options.request_timeout
        if left is None or left >= limit:
            return limit
        return max(
            (step for step in _TIMEOUTS if step <= left and step < limit), default=min(_TIMEOUTS[0], limit)
        )

    # -- clients -------------------------------------------------------------------------------------------

    def get(self, service: str = "sqs", access: Access | None = None, patience: float | None = None) -> Any:
        """The client of a service, with the credentials of ``access``; ``patience``: seconds to wait for an answer."""
        key = (service, access, patience)
        client = self._made.get(key)
        if client is None:
            with self._lock:
                client = self._made.get(key)
                if client is None:
                    client = self._made[key] = self._make(service, access, patience)
        return client

    def renew(self, service: str, access: Access | None) -> None:
        """Credentials were refused: look for them again, unless they were given."""
        identity, _ = self._identity(access)
        if identity == "chain" and self._holder(access).access_key_id:
            return
        sessions.forget(identity)
        if identity != "chain" and not self.options.access_key_id:
            sessions.forget("chain")  # which a role is assumed with
        with self._lock:
            for key in [key for key in self._made if key[:2] == (service, access)]:
                del self._made[key]  # (another thread may be using it: it is closed with its last user)

    def close(self) -> None:
        """Close the clients' idle sockets; a request of another thread goes on to its end."""
        self.closing.set()
        with self._lock:
            made, self._made = self._made, {}
        for client in made.values():
            client.close()

    def _identity(self, access: Access | None) -> tuple[Any, Any]:
        """The key of the session, and the provider of its credentials if it is not the usual chain."""
        options = self.options
        role = (access and access.sts_role_arn) or options.sts_role_arn
        if role is None or (access and access.access_key_id):
            return "chain", None
        key = (role, options.access_key_id, options.sts_endpoint_url, self._region(access))
        return (*key, options.sts_token_timeout, options.sts_token_buffer_time), lambda: assumed_role(
            self._sts, role, options.sts_token_timeout, options.sts_token_buffer_time
        )

    def _holder(self, access: Access | None) -> Access | Options:
        """Who has the key: the queue, or else the connection."""
        return access if access is not None and access.access_key_id else self.options

    def _sts(self) -> Any:
        """The client that assumes roles: it has the connection's credentials, not those of a role."""
        with sessions.lock:
            return self._client(sessions.get("chain"), "sts", None, None)

    def _region(self, access: Access | None) -> str | None:
        return (access and access.region) or self.options.region

    def _make(self, service: str, access: Access | None, patience: float | None) -> Any:
        key, provider = self._identity(access)
        with sessions.lock:  # making a client reads and fills the session's caches
            return self._client(sessions.get(key, provider), service, access, patience, own=provider is None)

    def _client(
        self, session: Any, service: str, access: Access | None, patience: float | None, own: bool = True
    ) -> Any:
        options = self.options
        credentials: dict[str, Any] = {}
        if own:  # (given in the URL, else botocore looks for them)
            holder = self._holder(access)
            credentials = {
                "aws_access_key_id": holder.access_key_id,
                "aws_secret_access_key": holder.secret_access_key,
                "aws_session_token": holder.session_token,
            }
        endpoint = getattr(options, f"{service}_endpoint_url", None)
        if endpoint is None and (service == "sqs" or not region_in_host(options.endpoint_url)):
            endpoint = options.endpoint_url  # (one of AWS's own is for SQS alone)
        return session.client(
            service,
            region_name=self._region(access) or session.region_name or DEFAULT_REGION,
            endpoint_url=endpoint,
            config=self._config(patience, paths=service == "s3" and endpoint is not None),
            **credentials,
        )

    def _config(self, patience: float | None, paths: bool) -> Config:
        connect_timeout = self._connect_timeout
        if patience is not None:
            connect_timeout = min(connect_timeout, patience)
        settings: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "read_timeout": patience or self.options.request_timeout,
            # Trying again is done by :meth:`call`, which knows of deadlines and of credentials.
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": max(50, self.options.receivers + 10),
            # What is sent is made here and checked by SQS: checking it once more takes a tenth of a request.
            "parameter_validation": False,
            # One string, where botocore would put a longer one together for every request.
            "user_agent": USER_AGENT,
            "s3": {"addressing_style": "path"} if paths else None,
        }
        return Config(**{**settings, **self.options.client_config})
