"""Claim check: a body over the size limit is kept in a store, and the message says where.

A store is any object with ``put``, ``get`` and ``delete``; :class:`S3Store` is one. What is kept is deleted when the
message is acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from .errors import MessageTooLarge

if TYPE_CHECKING:
    from .clients import Clients

__all__ = ("PROPERTY", "S3Store", "Store", "claim", "open_store", "redeem")

#: The property of an envelope whose body is elsewhere.
PROPERTY = "kombu_offload"
#: The property that says whether others have a message with the same body, which therefore stays.
SHARED = "kombu_offload_shared"


class Store(Protocol):
    """Where large bodies are kept. Methods may be called from any thread."""

    def put(self, body: bytes) -> str:
        """Keep the body, durably; a key to find it by."""

    def get(self, key: str) -> bytes:
        """The body."""

    def delete(self, key: str) -> None:
        """Forget it; an unknown key is no error."""


class S3Store:
    """Objects in an S3 bucket: ``s3://bucket/prefix``. Needs s3:PutObject, s3:GetObject and s3:DeleteObject there."""

    def __init__(self, clients: Clients, bucket: str, prefix: str = "") -> None:
        self._clients = clients
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def _call(self, operation: str, key: str, **params: Any) -> dict[str, Any]:
        what = f"s3://{self.bucket}/{key}"
        return self._clients.call(operation, what, service="s3", Bucket=self.bucket, Key=key, **params)

    def put(self, body: bytes) -> str:
        key = f"{self.prefix}{uuid4()}"
        self._call("put_object", key, Body=body)
        return key

    def get(self, key: str) -> bytes:
        body: bytes = self._call("get_object", key)["Body"].read()
        return body

    def delete(self, key: str) -> None:
        self._call("delete_object", key)


def open_store(option: Any, clients: Clients) -> Store | None:
    """The store that the option ``offload`` means: an object with the methods, or ``s3://bucket/prefix``.

    Raises:
        ValueError: it is neither.
    """
    if option is None:
        return None
    if isinstance(option, str):
        scheme, _, rest = option.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise ValueError(f"transport option offload: {option!r} is not s3://bucket/prefix")
        return S3Store(clients, bucket, prefix)
    if not all(callable(getattr(option, name, None)) for name in ("put", "get", "delete")):
        raise ValueError(f"transport option offload: {option!r} has no methods put, get and delete")
    store: Store = option
    return store


def claim(
    message: dict[str, Any], text: str, store: Store | None, size: int, limit: int, shared: bool = False
) -> dict[str, Any]:
    """The message that goes in place of one over the limit; its encoded body ``text`` is put into the store.

    ``shared``: several queues get it, so that nobody can tell when the body is of no use any more.

    Raises:
        MessageTooLarge: there is no store.
    """
    if store is None:
        raise MessageTooLarge(
            f"the message has {size} bytes with its attributes, and {limit} are allowed (max_message_size, or what the"
            " queue takes): nothing was sent. Make it smaller, or keep such bodies elsewhere with the transport option"
            " offload"
        )
    key = store.put(text.encode())
    return {
        "body": "",
        "content-type": message["content-type"],
        "content-encoding": message["content-encoding"],
        "headers": {},
        "properties": {
            PROPERTY: key,
            SHARED: shared,
            "delivery_tag": message["properties"].get("delivery_tag"),
        },
    }


def redeem(letter: dict[str, Any], store: Store | None) -> str | None:
    """The text that was kept elsewhere; None when nothing was."""
    key = letter["properties"].get(PROPERTY)
    if not isinstance(key, str):
        return None
    if store is None:
        raise LookupError(f"the body is kept elsewhere ({key!r}) and the transport option offload is not set")
    return store.get(key).decode()
