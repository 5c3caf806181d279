"""Credentials come from botocore's chain, are renewed, and a refusal is never the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kombu import Queue
from kombu_sqs import AccessDeniedQueueException
from kombu_sqs.clients import sessions
from tests.support.sqs import Endpoint
from tests.support.sqs_proxy import HttpProxy, refusal
from tests.unit.kombu_sqs.helpers import Inbox, connect, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "arn:aws:iam::123456789012:role/worker"


@pytest.fixture(autouse=True)
def no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing is found but what a test puts there; no instance is asked."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    sessions.forget("chain")
    yield
    sessions.forget("chain")


def address(proxy: HttpProxy) -> str:
    return f"sqs://127.0.0.1:{proxy.port}"


def test_expiring_ones_are_renewed(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, tmp_path: Path
) -> None:
    # Given: a program hands out keys that expire at once, as instance roles and SSO do after an hour
    script = tmp_path / "vend.py"
    script.write_text(
        "import json, pathlib, datetime\n"
        f"count = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "number = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(number))\n"
        "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'KEY-{number}', 'SecretAccessKey': 's',"
        " 'SessionToken': 't', 'Expiration': end.isoformat()}))\n"
    )
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")
    # When
    with connect(address(sqs_proxy)) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
        connection.Producer().publish("hello", routing_key=sqs_name)
        Inbox(connection, sqs_name).receive(1)[0].ack()
    # Then: one connection, several keys
    assert len(set(sqs_proxy.keys)) > 1
    assert all(key.startswith("KEY-") for key in sqs_proxy.keys)


def test_new_ones_are_looked_for_when_the_old_are_refused(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, tmp_path: Path
) -> None:
    # Given: keys in a file, which an operator rotates
    keys = tmp_path / "credentials"

    def write(key: str) -> None:
        keys.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")

    def rule(action: str, number: int) -> object:
        return refusal("InvalidClientTokenId") if sqs_proxy.keys[-1] == "OLD" and rotated else None

    rotated: list[bool] = []
    write("OLD")
    sqs_proxy.rule = rule
    with connect(address(sqs_proxy)) as connection:
        Queue(sqs_name, channel=connection.channel()).declare()
        inbox = Inbox(connection, sqs_name)
        # When
        rotated.append(True)
        write("NEW")
        # Then: publishing and polling go on
        connection.Producer().publish("hello", routing_key=sqs_name)
        inbox.receive(1)[0].ack()
    assert set(sqs_proxy.keys) == {"OLD", "NEW"}


def test_a_refusal_is_retried_and_then_told(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    sqs_endpoint.create(sqs_name)
    with connect(Endpoint(sqs_proxy.port).url, max_attempts=3) as connection:
        producer = connection.Producer()
        # Two refusals are gone over
        sqs_proxy.rule = lambda action, number: (
            refusal("ExpiredToken") if action == "SendMessage" and number <= 2 else None
        )
        producer.publish("hello", routing_key=sqs_name)
        assert sqs_proxy.count("SendMessage") == 3
        # One that lasts is an error that retrying may cure
        sqs_proxy.rule = lambda action, number: refusal("AccessDenied") if action == "SendMessage" else None
        with pytest.raises(AccessDeniedQueueException) as caught:
            producer.publish("hello", routing_key=sqs_name)
        assert isinstance(caught.value, connection.recoverable_channel_errors)
        assert sqs_proxy.count("SendMessage") == 6


def test_polling_goes_on_while_it_is_refused(
    sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
) -> None:
    sqs_endpoint.create(sqs_name)
    sqs_proxy.rule = lambda action, number: (
        refusal("ExpiredTokenException") if action == "ReceiveMessage" and number <= 3 else None
    )
    with connect(Endpoint(sqs_proxy.port).url) as connection:
        inbox = Inbox(connection, sqs_name)
        connection.Producer().publish("hello", routing_key=sqs_name)
        inbox.receive(1)[0].ack()


class TestRoles:
    def test_a_role_is_assumed(self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
        # Given
        options = {
            "sts_role_arn": ROLE,
            "sts_token_timeout": 900,
            "sts_endpoint_url": f"http://127.0.0.1:{sqs_proxy.port}",
        }
        with connect(Endpoint(sqs_proxy.port, key="SOURCE").url, region="us-east-1", **options) as connection:
            # When
            Queue(sqs_name, channel=connection.channel()).declare()
            connection.Producer().publish("hello", routing_key=sqs_name)
        # Then: the role's key signs, the own key has only asked for it
        assert sqs_proxy.count("AssumeRole") == 1
        assert sqs_proxy.keys[0] == "SOURCE"
        assert "SOURCE" not in sqs_proxy.keys[1:]

    def test_it_is_assumed_anew_before_its_time_is_over(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str
    ) -> None:
        # Given: keys that are to be renewed after a second
        options = {
            "sts_role_arn": ROLE + "-short",
            "sts_token_buffer_time": 899,
            "sts_endpoint_url": f"http://127.0.0.1:{sqs_proxy.port}",
        }
        with connect(Endpoint(sqs_proxy.port, key="SOURCE").url, region="us-east-1", **options) as connection:
            Queue(sqs_name, channel=connection.channel()).declare()
            producer = connection.Producer()
            until(
                lambda: producer.publish("hello", routing_key=sqs_name) or sqs_proxy.count("AssumeRole") > 1,
                "the role is assumed again",
            )
        assert len(set(sqs_proxy.keys) - {"SOURCE"}) > 1

    def test_keys_that_assume_it_may_be_rotated_too(
        self, sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str, tmp_path: Path
    ) -> None:
        # Given: a role that was assumed with a key from a file
        keys = tmp_path / "credentials"
        keys.write_text("[default]\naws_access_key_id = OLD\naws_secret_access_key = s\n")
        options = {
            "sts_role_arn": ROLE + "-rotated",
            "sts_endpoint_url": f"http://127.0.0.1:{sqs_proxy.port}",
            "region": "us-east-1",
        }
        with connect(address(sqs_proxy), **options) as connection:
            Queue(sqs_name, channel=connection.channel()).declare()
            # When: the key is rotated, and what the role gave has expired
            gone = {"OLD", sqs_proxy.keys[-1]}
            sqs_proxy.rule = lambda action, number: (
                refusal("ExpiredToken") if sqs_proxy.keys[-1] in gone else None
            )
            keys.write_text("[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n")
            # Then
            connection.Producer().publish("hello", routing_key=sqs_name)
        assert "NEW" in sqs_proxy.keys


def test_errors_show_no_secret(sqs_endpoint: Endpoint, sqs_proxy: HttpProxy, sqs_name: str) -> None:
    sqs_proxy.rule = lambda action, number: refusal()
    with connect(Endpoint(sqs_proxy.port, secret="very/secret").url, max_attempts=1) as connection:
        with pytest.raises(AccessDeniedQueueException) as caught:
            Queue(sqs_name, channel=connection.channel()).declare()
        assert "very" not in str(caught.value)
        assert "very" not in json.dumps(repr(connection.transport.session.options))
