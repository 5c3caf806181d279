"""Fixtures with an endpoint that speaks SQS, SNS, S3 and STS: moto's server, which tests share.

Where moto is not installed the tests are skipped; where ``CI`` is set they fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.support.missing import missing
from tests.support.sqs import Endpoint, moto_installed, start_moto
from tests.support.sqs_proxy import HttpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sqs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Where moto listens; tests use names of their own."""
    if not moto_installed():
        missing('moto\'s server is not installed (pip install "moto[server]")')
    server = start_moto(tmp_path_factory.mktemp("moto"))
    endpoint = Endpoint(server.port)
    yield endpoint
    endpoint.close()
    server.stop()


@pytest.fixture
def sqs_name() -> str:
    """A name that nobody else uses, which SQS takes as it is."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def sqs_proxy(sqs_endpoint: Endpoint) -> Iterator[HttpProxy]:
    """An endpoint in front of moto that can be told to fail."""
    with HttpProxy(sqs_endpoint.port) as proxy:
        yield proxy
