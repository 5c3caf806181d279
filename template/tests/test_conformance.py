"""What the transport claims is proven; what it does not do is said here and in the README."""

import pytest

from kombu.testing.conformance import *  # noqa: F403


@pytest.fixture
def url(tmp_path):
    return f"filedir://{tmp_path}"


@pytest.fixture
def degradations():
    return {
        "priority": "x-max-priority is logged as having no effect; messages come in the order of publishing",
        "queue_expires": "x-expires is logged as having no effect; queues stay until they are deleted",
    }
