"""An endpoint that fails at random: polling goes on, nothing that was accepted is lost, idling costs nothing."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from tests.support.idle import IDLE, least_shares
from tests.support.sqs import Endpoint
from tests.support.sqs_proxy import LOSE, RESET, HttpProxy, refusal
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that an answer is waited for.
LIMIT = 0.5
#: What goes wrong: errors of the service, resets, lost answers, throttling, refusals, silence beyond the time limit.
TROUBLE = [
    refusal("InternalFailure", 500),
    refusal("ServiceUnavailable", 503),
    RESET,
    LOSE,
    refusal("RequestThrottled", 400),
    refusal("ExpiredToken", 403),
    2 * LIMIT,
]


#: A worker with the default settings.
WORKER = """
import sys
from kombu import Connection
with Connection(sys.argv[1]) as connection:
    connection.channel().basic_consume(sys.argv[2], callback=print)
    connection.drain_events()
"""


def troubled(share: float, seed: int) -> Callable[[str, int], Any]:
    """A rule that lets this share of all requests fail."""
    dice = random.Random(seed)
    lock = threading.Lock()

    def rule(action: str, number: int) -> Any:
        with lock:
            return dice.choice(TROUBLE) if dice.random() < share else None

    return rule


@pytest.mark.timeout(600)
def test_nothing_that_was_accepted_is_lost(
    request: pytest.FixtureRequest, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: a third of all requests fails
    count = request.config.getoption("--faults")
    sqs_endpoint.create(sqs_name)
    url = Endpoint(sqs_proxy.port).url
    options = {"request_timeout": LIMIT, "max_attempts": 20, "visibility_timeout": 3, "batch_deletes": True}
    with connect(url, **options) as publishing, connect(url, **options) as consuming:
        sqs_proxy.rule = troubled(1 / 3, seed=7)
        accepted: list[int] = []

        def publish() -> None:
            producer = publishing.Producer()
            for number in range(count):
                producer.publish(number, routing_key=sqs_name, retry=True)
                accepted.append(number)

        publisher = threading.Thread(target=publish)
        publisher.start()
        # When
        inbox = Inbox(consuming, sqs_name)
        seen: set[int] = set()

        def handle() -> bool:
            while inbox:
                message = inbox.pop()
                seen.add(message.payload)
                try:
                    message.ack()
                except consuming.connection_errors:
                    pass  # it comes again
            return not publisher.is_alive() and seen >= set(accepted)

        until(handle, "all come", consuming, seconds=60 + 2 * count)
        # Then
        publisher.join(60)
        assert accepted == list(range(count))
        sqs_proxy.rule = lambda action, number: None


def test_polling_goes_on_after_a_long_outage(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given: an endpoint that says 500 to everything, as long as it lasts
    queue = sqs_endpoint.create(sqs_name)
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        inbox = Inbox(connection, sqs_name)
        sqs_proxy.rule = lambda action, number: refusal("InternalFailure", 500)
        before = sqs_proxy.count("ReceiveMessage")
        until(lambda: sqs_proxy.count("ReceiveMessage") >= before + 4, "it tries again", connection)
        # Then: with a word in the log
        assert "Receiving from" in caplog.text
        # And: it goes on when the endpoint does
        sqs_proxy.rule = lambda action, number: None
        sqs_endpoint.client().send_message(QueueUrl=queue, MessageBody="hello")
        inbox.receive(1)[0].ack()


def test_an_endpoint_that_is_not_there(sqs_name: str) -> None:
    # Given: nobody listens
    options = {"max_attempts": 2, "retry_interval": 0.02}
    with Connection("sqs://key:secret@127.0.0.1:1", transport_options=options) as connection:
        with pytest.raises(connection.recoverable_connection_errors):
            Queue(sqs_name, channel=connection.channel()).declare()
        with pytest.raises(connection.connection_errors):
            connection.Producer().publish("hello", routing_key=sqs_name)


def test_a_time_limit_holds_against_silence(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    # Given: an endpoint that takes requests and never answers
    sqs_endpoint.create(sqs_name)
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        producer = connection.Producer()
        producer.publish("hello", routing_key=sqs_name)
        sqs_proxy.rule = lambda action, number: 60.0
        started = monotonic()
        # When
        with pytest.raises(TimeoutError):
            producer.publish("hello", routing_key=sqs_name, retry=True, timeout=1.0)
        # Then
        assert monotonic() - started < 20


def test_waiting_takes_no_cpu(sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
    # Given: workers in processes of their own, with the default settings: on an empty queue, at a broken endpoint
    sqs_endpoint.create(sqs_name)
    with HttpProxy(sqs_endpoint.port) as breaking:
        proxies = {"idle": sqs_proxy, "broken": breaking}
        workers = {
            job: subprocess.Popen([sys.executable, "-c", WORKER, Endpoint(proxy.port).url, sqs_name])
            for job, proxy in proxies.items()
        }
        try:
            for proxy in proxies.values():
                until(lambda proxy=proxy: proxy.count("ReceiveMessage") >= 2, "it polls", seconds=60)
            breaking.rule = lambda action, number: RESET
            # Then
            assert max(least_shares([worker.pid for worker in workers.values()])) < IDLE
        finally:
            for worker in workers.values():
                worker.kill()
                worker.wait(30)
