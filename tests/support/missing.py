"""What a test does when something it needs is not on the machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

__all__ = ("missing",)


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where ``CI`` is set; ``what`` says what is missing, and how to get it."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
