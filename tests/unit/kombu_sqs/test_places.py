"""Where requests go, in what region and partition; and what is refused before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from kombu.exceptions import PreconditionFailed
from tests.unit.kombu_sqs.helpers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sqs import Endpoint


@pytest.fixture(autouse=True)
def no_instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is asked of the machine."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield


def endpoints(url: str, **options: Any) -> dict[str, str]:
    """Service -> where its client sends."""
    with Connection(url, transport_options=options) as connection:
        clients = connection.transport.session.clients
        return {name: clients.get(name).meta.endpoint_url for name in ("sqs", "sns", "sts", "s3")}


def test_aws_endpoint_of_sqs_is_for_sqs_alone() -> None:
    found = endpoints("sqs://key:secret@sqs.eu-west-1.amazonaws.com")
    assert found["sqs"] == "https://sqs.eu-west-1.amazonaws.com"
    assert found["sns"] == "https://sns.eu-west-1.amazonaws.com"
    assert ("sqs" in found["sts"], "sqs" in found["s3"]) == (False, False)


def test_an_endpoint_of_ones_own_is_for_all() -> None:
    assert set(endpoints("sqs://key:secret@127.0.0.1:4566").values()) == {"http://127.0.0.1:4566"}
    found = endpoints("sqs://key:secret@127.0.0.1:4566", sns_endpoint_url="http://127.0.0.1:9")
    assert (found["sns"], found["sts"]) == ("http://127.0.0.1:9", "http://127.0.0.1:4566")


def test_buckets_at_an_endpoint_of_ones_own_are_paths(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    s3 = sqs_endpoint.client("s3")
    s3.create_bucket(Bucket=sqs_name)
    sqs_endpoint.create(sqs_name)
    with connect(sqs_endpoint.url, max_message_size=2000, offload=f"s3://{sqs_name}") as connection:
        connection.Producer().publish("x" * 3000, routing_key=sqs_name)
    assert len(s3.list_objects_v2(Bucket=sqs_name)["Contents"]) == 1


@pytest.mark.parametrize(
    ("url", "arn"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/q", "arn:aws:sqs:eu-west-1:123456789012:q"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1234/q", "arn:aws-cn:sqs:cn-north-1:1234:q"),
        ("https://sqs.us-gov-west-1.amazonaws.com/1234/q", "arn:aws-us-gov:sqs:us-gov-west-1:1234:q"),
        ("http://localhost:4566/000000000000/q", "arn:aws:sqs:ap-south-1:000000000000:q"),
    ],
)
def test_the_arn_of_a_predefined_queue(url: str, arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    from kombu_sqs.clients import sessions

    sessions.forget("chain")
    with Connection("sqs://k:s@", transport_options={"predefined_queues": {"q": url}}) as connection:
        queues = connection.transport.session.queues
        assert queues.arn(queues.find("q")) == arn
        assert connection.channel().region == "ap-south-1"
    sessions.forget("chain")


@pytest.mark.parametrize(
    ("fifo", "options", "match"),
    [
        (True, {"DelaySeconds": 5}, "FIFO"),
        (False, {"DelaySeconds": "soon"}, "'soon'"),
        (False, {"DelaySeconds": -1}, "0 to 900"),
        (False, {"message_attributes": ["a", "list"]}, "message_attributes"),
        (False, {"message_attributes": {"a": {"DataType": "String"}}}, "'a'"),
        (False, {"message_attributes": {"a": {"DataType": "Number", "StringValue": 5}}}, "'a'"),
    ],
)
def test_what_sqs_would_not_take(
    sqs_endpoint: Endpoint, sqs_name: str, fifo: bool, options: dict[str, Any], match: str
) -> None:
    name = f"{sqs_name}.fifo" if fifo else sqs_name
    with connect(sqs_endpoint.url) as connection:
        Queue(name, channel=connection.channel()).declare()
        with pytest.raises(PreconditionFailed, match=match):
            connection.Producer().publish("hello", routing_key=name, **options)


def test_seconds_may_be_text(sqs_endpoint: Endpoint, sqs_name: str) -> None:
    queue = sqs_endpoint.create(sqs_name)
    with connect(sqs_endpoint.url) as connection:
        connection.Producer().publish("later", routing_key=sqs_name, DelaySeconds="600")
    assert sqs_endpoint.attributes(queue)["ApproximateNumberOfMessagesDelayed"] == "1"
