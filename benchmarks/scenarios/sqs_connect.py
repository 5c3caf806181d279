"""Another connection to SQS, up to its first channel, and closing it; the process has had one before."""

from __future__ import annotations

from typing import Any

from common import main, timed
from sqs import boto, connect

CALLS = 10


def kombu() -> dict[str, Any]:
    def again(calls: int) -> None:
        for _ in range(calls):
            with connect() as connection:
                connection.channel()

    return timed(again, CALLS)


def floor() -> dict[str, Any]:
    """A client of one session that all share."""

    def again(calls: int) -> None:
        for _ in range(calls):
            boto().close()

    return timed(again, CALLS)


main(kombu, floor)
