"""What a connection is told, and what it says to nonsense."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from kombu import Connection
from kombu_sqs.backoff import pause_after, retry_delay
from kombu_sqs.options import Options, read


def options(url: str = "sqs://", **given: Any) -> Options:
    return read(Connection(url, transport_options=given))


@pytest.mark.parametrize(
    ("url", "endpoint", "region"),
    [
        ("sqs://", None, None),
        ("sqs://key:secret@", None, None),
        ("sqs://localhost:4566", "http://localhost:4566", None),
        ("sqs://key:secret@localhost:4566//", "http://localhost:4566", None),
        ("sqs+https://key:secret@sqs.internal", "https://sqs.internal", None),
        ("sqs+https://key:secret@sqs.internal:8443/", "https://sqs.internal:8443", None),
        ("sqs+http://sqs.internal:80", "http://sqs.internal:80", None),
        ("sqs://sqs.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs://key:secret@[::1]:4566", "http://[::1]:4566", None),
    ],
)
def test_forms_of_urls(url: str, endpoint: str | None, region: str | None) -> None:
    found = options(url)
    assert (found.endpoint_url, found.region) == (endpoint, region)


def test_credentials_of_the_url() -> None:
    for url in ("sqs://KEY:a%2Fb%2Bc%3D@", "sqs+https://KEY:a%2Fb%2Bc%3D@host"):
        found = options(url)
        assert (found.access_key_id, found.secret_access_key) == ("KEY", "a/b+c=")
        assert "a/b" not in repr(found)


def test_credentials_of_a_queue_are_not_shown() -> None:
    entry = {
        "url": "https://sqs.eu-west-1.amazonaws.com/1/q",
        "access_key_id": "K",
        "secret_access_key": "hidden",
    }
    assert "hidden" not in repr(options(predefined_queues={"q": entry}))


def test_options_say_more_than_the_url() -> None:
    found = options("sqs://localhost", is_secure=True, port=99, region="eu-north-1")
    assert (found.endpoint_url, found.region) == ("https://localhost:99", "eu-north-1")
    assert options("sqs://x", endpoint_url="https://other").endpoint_url == "https://other"
    assert read(Connection("sqs://localhost", ssl=True)).endpoint_url == "https://localhost"


def test_an_unknown_option_is_told(caplog: pytest.LogCaptureFixture) -> None:
    options(visibility_timout=5, max_retries=3)
    assert "no option 'visibility_timout': ignored. Did you mean 'visibility_timeout'?" in caplog.text
    assert "max_retries" not in caplog.text


def test_an_unknown_setting_of_a_queue_is_told(caplog: pytest.LogCaptureFixture) -> None:
    found = options(
        predefined_queues={"q": {"url": "https://sqs.eu-west-1.amazonaws.com/1/q", "acces_key_id": "x"}}
    )
    assert "predefined_queues['q'] has no setting 'acces_key_id'" in caplog.text
    assert found.predefined_queues["q"].region == "eu-west-1"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"wait_time_seconds": 21}, "wait_time_seconds: 21 is not a whole number from 0 to 20"),
        ({"wait_time_seconds": 0.5}, "wait_time_seconds: 0.5 is not a whole number"),
        (
            {"sts_token_buffer_time": 900},
            "sts_token_buffer_time: 900 is not less than sts_token_timeout, 900",
        ),
        ({"request_timeout": 0}, "request_timeout: 0 is not a number from 0.1 to 3600"),
        ({"visibility_timeout": 50000}, "from 0 to 43200"),
        ({"max_deliveries": 0}, "from 1 to 1000"),
        ({"body_format": "xml"}, "'xml' is none of base64, json, raw"),
        ({"predefined_queues": {"q": {}}}, r"predefined_queues\['q'\] must be a dictionary with 'url'"),
        ({"predefined_exchanges": {"x": {}}}, r"with 'arn'"),
    ],
)
def test_nonsense_is_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        options(**given)


def test_half_of_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no secret"):
        options("sqs://KEY@")


def test_historic_names() -> None:
    given = {"sqs-creation-attributes": {"KmsMasterKeyId": "k"}, "client-config": {"connect_timeout": 2}}
    found = options(**given, sqs_base64_encoding=False)
    assert found.sqs_creation_attributes == {"KmsMasterKeyId": "k"}
    assert found.client_config == {"connect_timeout": 2}
    assert found.format == "json"


def test_pauses() -> None:
    # polling again at once where the server waits, after a second where it does not, or as it is said
    assert options().idle_pause == 0
    assert options(wait_time_seconds=0).idle_pause == 1
    assert options(polling_interval=0.3).idle_pause == 0.3


@pytest.mark.parametrize(
    ("given", "queues", "seconds"),
    [
        ({}, 1, 1),
        ({}, 5, 1),
        ({}, 6, 2),
        ({}, 50, 10),
        ({"receivers": 200}, 150, 20),
        ({}, 101, 1),  # more than threads: they take turns
        ({"wait_time_seconds": 20}, 3, 20),
        ({"wait_time_seconds": 20}, 101, 1),
        ({"wait_time_seconds": 0}, 101, 0),
    ],
)
def test_many_queues_wait_longer_at_the_server(given: dict[str, Any], queues: int, seconds: int) -> None:
    assert options(**given).wait_time(queues) == seconds


def test_whole_numbers_may_be_spelled_as_fractions() -> None:
    assert repr(options(visibility_timeout=3600.0).visibility_timeout) == "3600"


class TestBackoff:
    def test_pauses_grow_to_a_limit_and_are_spread(self) -> None:
        assert [pause_after(failures, 1.0) for failures in (0, 1, 2, 30, 9999)] == [0.2, 0.4, 0.8, 20, 20]
        assert pause_after(2, 0.0) == 0.4

    @pytest.mark.parametrize(("count", "seconds"), [(1, 10), (2, 20), (3, 20), (4, 80), (99, 80)])
    def test_of_a_task(self, count: int, seconds: int) -> None:
        policy = {1: 10, "2": 20, 4: 80}
        assert retry_delay(policy, ["a"], {"task": "a"}, count) == seconds

    def test_of_no_task(self) -> None:
        assert retry_delay({1: 10}, ["a"], {"task": "b"}, 1) is None
        assert retry_delay({2: 10}, ["a"], {"task": "a"}, 1) is None
        assert retry_delay(None, ["a"], {"task": "a"}, 1) is None
        assert retry_delay({1: 10}, (), None, 1) is None


def test_the_page_lists_every_option() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sqs.md").read_text()
    spelled = {"sqs_creation_attributes": "sqs-creation-attributes", "client_config": "client-config"}
    names = [spelled.get(option.name, option.name) for option in fields(Options)]
    assert [name for name in names if f"`{name}`" not in page] == []
