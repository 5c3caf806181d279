"""Pytest fixtures: a fresh memory broker for anybody's tests, and what the conformance suite runs on.

For the first, write ``pytest_plugins = ["kombu.testing"]`` in the top ``conftest.py`` of your tests.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from kombu.testing.claims import expect, unclaimed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu.testing.rig import Rig

__all__ = ("connection_options", "degradations", "memory_broker", "memory_url", "rig")

#: Seconds a test waits for what is expected not to work: its capability is not claimed, or it is documented so.
UNCLAIMED_PATIENCE = 1.0


def _memory() -> Any:
    """The plugin's module, by name, since kombu-core imports no plugin."""
    if find_spec("kombu_memory") is None:
        pytest.fail("memory:// ships separately: pip install kombu-memory")
    return import_module("kombu_memory")


@pytest.fixture
def memory_url() -> Iterator[str]:
    """The URL of a memory broker that nobody used before and that is forgotten afterwards.

    Whatever the test leaves there (queues, messages, consumers) reaches no other test. Needs kombu-memory.
    """
    memory = _memory()
    name = f"test-{uuid4().hex}"
    yield f"memory://{name}"
    memory.reset(name)


@pytest.fixture
def memory_broker(memory_url: str) -> Any:
    """The :class:`kombu_memory.Broker` behind ``memory_url``, to look into or to reset."""
    return _memory().get_broker(memory_url.removeprefix("memory://"))


@pytest.fixture
def connection_options() -> Mapping[str, Any]:
    """Keyword arguments for every :class:`kombu.Connection`; override it where some are needed."""
    return {}


@pytest.fixture
def degradations() -> Mapping[str, str]:
    """What the transport documents it does not do, in a sentence each.

    The key is a capability which is not claimed and not refused either (``{"priority": "messages come in the
    order of publishing"}``), or ``TestClass.test_name`` for a single exception. Each entry has to be true.
    """
    return {}


@pytest.fixture
def rig(
    request: pytest.FixtureRequest,
    url: str,
    connection_options: Mapping[str, Any],
    degradations: Mapping[str, str],
) -> Iterator[Rig]:
    """A :class:`kombu.testing.rig.Rig` for the broker at ``url``: that fixture is the transport author's."""
    from kombu.testing.rig import Rig

    rig = Rig(url, connection_options)
    missing = unclaimed(request, rig.connection.transport.implements)
    expect(request, missing, degradations)
    if request.node.get_closest_marker("xfail"):
        rig.patience = UNCLAIMED_PATIENCE
    yield rig
    rig.close()
