"""A body published as it is, without ``prepare_message``: what the shell ``celery amqp`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["memory", "redis", "sqs"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "memory":
        url = "memory://bare"
    elif request.param == "redis":
        url = request.getfixturevalue("redis_url")
    else:
        url = request.getfixturevalue("sqs_endpoint").url
    with Connection(url) as connection:
        yield connection


@pytest.mark.parametrize(
    ("body", "kind"),
    [("Grüße", ("text/plain", "utf-8")), (b"\x00\xff", ("application/data", "binary"))],
    ids=["text", "bytes"],
)
def test_it_is_a_message_that_says_what_it_is(
    connection: Connection, body: str | bytes, kind: tuple[str, str]
) -> None:
    # When a body alone is published twice, so that the route is known the second time,
    with connection.channel() as channel:
        channel.exchange_declare("bare", "topic")
        channel.queue_declare("bare")
        channel.queue_bind("bare", "bare", "a.#")
        for _ in range(2):
            channel.basic_publish(body, exchange="bare", routing_key="a.b", mandatory=False, immediate=False)

        # then it arrives as a persistent message, which any consumer may decode.
        for _ in range(2):
            message = channel.basic_get("bare")
            assert (message.content_type, message.content_encoding) == kind
            assert message.properties["delivery_mode"] == 2
            message.accept = None
            assert message.decode() == body
            message.ack()
        channel.queue_delete("bare")
