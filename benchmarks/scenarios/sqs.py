"""What the scenarios of sqs:// share: where the endpoint is, and names that nobody else uses."""

from __future__ import annotations

import os
from functools import cache
from typing import Any
from uuid import uuid4


def port() -> int:
    """Of the endpoint on loopback that ``benchmarks/run.py`` started."""
    return int(os.environ["KOMBU_BENCH_SQS"])


def fresh() -> str:
    """The name of a new queue."""
    return f"bench-{uuid4().hex[:12]}"


def version() -> int:
    """Kombu's major version."""
    import kombu

    return int(kombu.__version__.partition(".")[0])


def connect(**options: Any) -> Any:
    """A connection, opened."""
    from kombu import Connection

    options = {"region": "us-east-1", "is_secure": False, **options}
    connection = Connection(f"sqs://key:secret@127.0.0.1:{port()}", transport_options=options)
    connection.connect()
    return connection


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()


def boto() -> Any:
    """boto3's client, as it comes."""
    return _session().client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port()}",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
