"""The conformance suite on ``memory://``."""

from __future__ import annotations

import pytest

from kombu.testing.conformance import *  # noqa: F403


@pytest.fixture
def url(memory_url: str) -> str:
    return memory_url
