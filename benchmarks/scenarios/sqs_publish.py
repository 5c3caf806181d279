"""Publishing 1 KB JSON messages to a queue at SQS: one by one, and a hundred at a time where that is possible."""

from __future__ import annotations

import json
from typing import Any

from common import BODY, main, timed
from sqs import boto, connect, fresh

CALLS = 200


def kombu() -> dict[str, Any]:
    from kombu import Exchange, Queue

    with connect() as connection:
        exchange = Exchange("bench", "direct")
        queue = Queue(fresh(), exchange, routing_key="bench")(connection.channel())
        queue.declare()
        producer = connection.Producer(exchange=exchange)

        def one_by_one(calls: int) -> None:
            for _ in range(calls):
                producer.publish(BODY, routing_key="bench")

        def batch(calls: int) -> None:
            with producer.batch(100):
                one_by_one(calls)

        figures = {"single": timed(one_by_one, CALLS, after=queue.purge)}
        batches = getattr(producer, "supports_batch_publish", False)
        # (Kombu 5.7 cannot: there it is one by one again)
        figures["batch"] = timed(batch if batches else one_by_one, CALLS, after=queue.purge)
        queue.delete()
        return figures


def floor() -> dict[str, Any]:
    client = boto()
    url = client.create_queue(QueueName=fresh())["QueueUrl"]

    def one_by_one(calls: int) -> None:
        for _ in range(calls):
            client.send_message(QueueUrl=url, MessageBody=json.dumps(BODY))

    def batch(calls: int) -> None:
        for _ in range(0, calls, 10):
            entries = [{"Id": str(number), "MessageBody": json.dumps(BODY)} for number in range(10)]
            client.send_message_batch(QueueUrl=url, Entries=entries)

    def purge() -> None:
        client.purge_queue(QueueUrl=url)

    figures = {
        name: timed(work, CALLS, after=purge) for name, work in (("single", one_by_one), ("batch", batch))
    }
    client.delete_queue(QueueUrl=url)
    return figures


main(kombu, floor)
