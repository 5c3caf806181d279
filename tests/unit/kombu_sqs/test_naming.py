"""Names at AWS, and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.exceptions import PreconditionFailed
from kombu_sqs.naming import Names, canonical, is_fifo, region_in_host


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("celery", "celery"),
        ("a.b.c", "a-b-c"),
        ("a_b-c", "a_b-c"),
        ("worker@host.celery.pidbox", "worker_host-celery-pidbox"),
        ("orders.fifo", "orders.fifo"),
        ("shop.orders.fifo", "shop-orders.fifo"),
        ("naïve ü", "na_ve__"),
    ],
)
def test_names_as_earlier_versions_made_them(name: str, made: str) -> None:
    assert canonical(name) == made


def test_the_prefix_is_part_of_the_name() -> None:
    assert canonical("a.b", "pre.fix-") == "pre-fix-a-b"


@given(st.text(min_size=1, max_size=60))
def test_sqs_takes_every_name(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,80}(\.fifo)?", canonical(name))
    assert is_fifo(canonical(name)) == is_fifo(name)


def test_a_name_that_is_too_long_is_refused() -> None:
    assert len(canonical("x" * 80)) == 80
    with pytest.raises(PreconditionFailed, match="81 characters"):
        canonical("x" * 81)


def test_and_back() -> None:
    names = Names("pre-")
    assert names.from_aws(names.to_aws("a.b")) == "a.b"
    assert names.from_aws("pre-never-seen") == "never-seen"
    assert names.shared_with("a.b") is None
    assert names.shared_with("a-b") == "a.b"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://sqs.us-gov-west-1.amazonaws.com/123/q", "us-gov-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123/q", "cn-north-1"),
        ("https://us-east-2.queue.amazonaws.com/123/q", "us-east-2"),
        ("vpce-0a1b2c3d-4e5f.sqs.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("sqs-fips.us-west-2.amazonaws.com", "us-west-2"),
        ("sqs.ap-south-1.api.aws", "ap-south-1"),
        ("localhost", None),
        ("", None),
        (None, None),
    ],
)
def test_the_region_in_a_host(host: str | None, region: str | None) -> None:
    assert region_in_host(host) == region
