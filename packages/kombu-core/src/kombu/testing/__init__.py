"""Tools for tests: a fresh memory broker for anybody's, and the conformance suite for a transport's author.

Needs pytest: ``pip install "kombu-core[testing]"``.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("kombu.testing.conformance", "kombu.testing.rig")
