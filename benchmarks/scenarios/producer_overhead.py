"""``Producer.publish`` of a body that is encoded already, on a channel whose verbs do nothing.

The floor is those two verbs called directly.
"""

from __future__ import annotations

from typing import Any

from common import main, timed

CALLS = 100_000
BINARY = "application/octet-stream"


class NullChannel:
    """AMQP's verbs, as far as publishing needs them."""

    connection = None

    def prepare_message(
        self,
        body: object,
        priority: object = None,
        content_type: object = None,
        content_encoding: object = None,
        headers: object = None,
        properties: object = None,
    ) -> object:
        return body

    def basic_publish(
        self,
        message: object,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
    ) -> None:
        return None


def kombu() -> dict[str, Any]:
    from kombu import Producer

    publish = Producer(NullChannel()).publish

    def run(calls: int) -> None:
        for _ in range(calls):
            publish(b"body", "key", exchange="bench", content_type=BINARY, content_encoding="binary")

    return timed(run, CALLS)


def floor() -> dict[str, Any]:
    channel = NullChannel()

    def run(calls: int) -> None:
        for _ in range(calls):
            message = channel.prepare_message(b"body", 0, BINARY, "binary", {}, {"delivery_mode": 2})
            channel.basic_publish(
                message, exchange="bench", routing_key="key", mandatory=False, immediate=False
            )

    return timed(run, CALLS)


main(kombu, floor)
