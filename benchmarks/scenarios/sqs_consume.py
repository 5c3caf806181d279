"""Receiving, decoding and deleting 1 KB JSON messages from SQS, prefetch limit 10; deletes in batches if possible.

As they are sent by default, in base64, and as JSON (``json``), as which the floor sends them.
"""

from __future__ import annotations

import json
from typing import Any

from common import BODY, main, timed
from sqs import boto, connect, fresh, version

CALLS = 200


def kombu() -> dict[str, Any]:
    return {**consume(), "json": consume(sqs_base64_encoding=False)}


def consume(**options: Any) -> dict[str, Any]:
    from kombu import Consumer, Queue

    if version() >= 6:
        options["batch_deletes"] = True
    with connect(**options) as connection:
        queue = Queue(fresh())(connection.channel())
        queue.declare()
        producer = connection.Producer()
        seen: list[Any] = []

        def fill(calls: int) -> None:
            seen.clear()
            for _ in range(calls):
                producer.publish(BODY, routing_key=queue.name)

        def receive(body: Any, message: Any) -> None:
            seen.append(body)
            message.ack()

        def drain(calls: int) -> None:
            # (a call of Kombu 5.7 may deliver several)
            while len(seen) < calls:
                connection.drain_events(timeout=5)

        with Consumer(connection.channel(), [queue], callbacks=[receive]) as consumer:
            consumer.qos(prefetch_count=10)
            figures = timed(drain, CALLS, before=fill)
        queue.delete()
        return figures


def floor() -> dict[str, Any]:
    client = boto()
    url = client.create_queue(QueueName=fresh())["QueueUrl"]

    def fill(calls: int) -> None:
        for _ in range(0, calls, 10):
            entries = [{"Id": str(number), "MessageBody": json.dumps(BODY)} for number in range(10)]
            client.send_message_batch(QueueUrl=url, Entries=entries)

    def drain(calls: int) -> None:
        left = calls
        while left > 0:
            answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            messages = answer.get("Messages", ())
            for message in messages:
                json.loads(message["Body"])
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages)
            ]
            client.delete_message_batch(QueueUrl=url, Entries=entries)
            left -= len(messages)

    figures = timed(drain, CALLS, before=fill)
    client.delete_queue(QueueUrl=url)
    return {**figures, "json": figures}


main(kombu, floor)
