"""Tools for tests: a fresh memory broker for anybody's, and the conformance suite for a transport's author.

With ``pytest_plugins = ["kombu.testing"]`` in the top ``conftest.py``, tests can ask for ``memory_url`` and
``memory_broker``. For a transport see :mod:`kombu.testing.conformance`. Needs pytest:
``pip install "kombu-core[testing]"``.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("kombu.testing.conformance", "kombu.testing.rig", "kombu.testing.fixtures")

from kombu.testing.fixtures import memory_broker, memory_url  # noqa: E402

__all__ = ("memory_broker", "memory_url")
