"""The conformance suite fails where it should: transports that claim too much or too little are found out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

#: Priorities are ignored by this transport, or work, or are refused; whether it claims them is another matter.
AUTHOR = """
import pytest
import kombu_memory
from kombu.exceptions import UnsupportedCapability
from kombu.testing.conformance import {suite}, connection_options, degradations, rig

class Channel(kombu_memory.Channel):
    def queue_declare(self, queue=None, arguments=None, **options):
        arguments = dict(arguments or {{}})
        if "x-max-priority" in arguments and {behaviour!r} == "refuses":
            raise UnsupportedCapability("no priorities here")
        if {behaviour!r} == "ignores":
            arguments.pop("x-max-priority", None)
        return super().queue_declare(queue, arguments=arguments, **options)

class Transport(kombu_memory.Transport):
    Channel = Channel
    implements = kombu_memory.Transport.implements.extend(priority={claims})

@pytest.fixture
def url():
    return "memory://{name}"

@pytest.fixture
def connection_options():
    return {{"transport": Transport}}

@pytest.fixture
def degradations():
    return {documented!r}
"""

FIFO = {"priority": "messages come in the order of publishing"}
ONE = {"TestPriority.test_all_256_levels": "ten levels only"}

#: Name: suite, what the transport does, whether it claims it, what it documents -> passed, failed, expected to fail.
CASES = {
    "honest": ("TestPriority", "does", True, {}, "all pass"),
    "boasts": ("TestPriority", "ignores", True, {}, "all fail"),
    "modest": ("TestPriority", "does", False, {}, "all fail"),
    "silent": ("TestPriority", "ignores", False, {}, "all fail"),
    "refuses": ("TestPriority", "refuses", False, {}, "all xfail"),
    "documents": ("TestPriority", "ignores", False, FIFO, "all xfail"),
    "documents_wrongly": ("TestPriority", "does", False, FIFO, "all fail"),
    "makes_a_false_exception": ("TestPriority", "does", True, ONE, "one fails"),
    "excuses_a_claim": ("TestDeclaredCapabilities", "does", True, FIFO, "one fails"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What pytest says of each case: the outcome of every test."""
    place = tmp_path_factory.mktemp("authors")
    for name, (suite, behaviour, claims, documented, _) in CASES.items():
        source = AUTHOR.format(
            name=name, suite=suite, behaviour=behaviour, claims=claims, documented=documented
        )
        (place / f"test_{name}.py").write_text(source)
    return run(place)


def run(place: Path) -> dict[str, list[str]]:
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "--tb=no", "-p", "no:cacheprovider", str(place)]
    report = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=100).stdout
    found: dict[str, list[str]] = {}
    for outcome, name in re.findall(r"^(PASSED|FAILED|XFAIL|ERROR) test_(\w+)\.py::", report, re.MULTILINE):
        found.setdefault(name, []).append(outcome)
    assert found, report
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_suite_finds_out(outcomes: dict[str, list[str]], name: str) -> None:
    expected = CASES[name][-1]
    found = outcomes[name]
    if expected == "one fails":
        assert sorted(set(found)) == ["FAILED", "PASSED"]
        assert found.count("FAILED") == 1
    else:
        word = {"all pass": "PASSED", "all fail": "FAILED", "all xfail": "XFAIL"}[expected]
        assert set(found) == {word}
        assert len(found) >= 7


def test_a_memory_broker_is_fresh_for_each_test(tmp_path: Path) -> None:
    # Given: two tests that leave a queue, a message and an open connection behind, and look for those of the other
    test = """
from kombu import Connection
kept = []
def test_{0}(memory_url, memory_broker):
    assert not memory_broker.queues
    connection = Connection(memory_url)
    kept.append(connection)
    connection.SimpleQueue("left").put("behind")
    assert set(memory_broker.queues) == {{"left"}}
    assert memory_url not in urls
    urls.append(memory_url)
"""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["kombu.testing"]')
    (tmp_path / "test_fresh.py").write_text("urls = []\n" + test.format(1) + test.format(2))
    # When, Then
    assert run(tmp_path) == {"fresh": ["PASSED", "PASSED"]}
