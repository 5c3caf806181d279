"""Distributions of other people have the same rights as ours: a transport, and a serializer."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import LEFTOVERS, PIP, ROOT, run

SERIALIZER = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "kombu-shout"
version = "1.0"
dependencies = ["kombu-core"]

[project.entry-points."kombu.serializers"]
shout = "kombu_shout:register_args"
""",
    "kombu_shout.py": """
def encode(data):
    return data.upper()


def decode(body):
    return (body.decode() if isinstance(body, bytes) else body).lower()


register_args = (encode, decode, "application/x-shout", "utf-8")
""",
}


@pytest.mark.timeout(600)  # a whole conformance run, on files
def test_the_template_transport_passes_conformance_beside_ours(make_environment: Any, tmp_path: Path) -> None:
    # Given a copy of template/, built as its author would, in an environment with our wheels,
    project = tmp_path / "transport"
    shutil.copytree(ROOT / "template", project, ignore=LEFTOVERS)
    run(*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, project)
    (wheel,) = tmp_path.glob("*.whl")
    environment = make_environment("kombu-memory", "pytest", "pytest-timeout", wheel)
    # (only the wheel may be imported)
    for source in project.glob("src"):
        shutil.rmtree(source)

    # when its tests run there,
    report = run(environment.python, "-m", "pytest", "-q", project, cwd=project)

    # then nothing failed (run() saw to that), and what passed is the suite.
    passed = re.search(r"\b(\d+) passed", report)
    assert passed and int(passed[1]) > 300, report


def test_a_serializer_is_found_by_its_entry_point_when_first_needed(
    make_environment: Any, tmp_path: Path
) -> None:
    # Given a distribution that registers a serializer by entry point only,
    for name, text in SERIALIZER.items():
        (tmp_path / name).write_text(text)
    environment = make_environment("kombu-core", "kombu-memory", tmp_path)

    # when a message is sent with it, then it arrives, and nothing was loaded before.
    environment.check(
        "import sys\n"
        "from kombu import Connection\n"
        "from kombu.exceptions import ContentDisallowed\n"
        "assert 'kombu_shout' not in sys.modules\n"
        "with Connection('memory://') as connection:\n"
        "    queue = connection.SimpleQueue('shouts', serializer='shout', accept=['shout'])\n"
        "    queue.put('hello')\n"
        "    assert 'kombu_shout' in sys.modules\n"
        "    message = queue.get(timeout=5)\n"
        "    assert (message.body, message.content_type) == (b'HELLO', 'application/x-shout')\n"
        "    assert message.payload == 'hello'\n"
        "    message.ack()\n"
        "    queue.put('again')\n"
        "    queue.close()\n"
        "    try: connection.SimpleQueue('shouts').get(timeout=5).payload\n"
        "    except ContentDisallowed: pass\n"
        "    else: raise AssertionError('decoded without being accepted')\n"
    )


def test_the_receiver_of_a_message_finds_the_serializer_by_content_type(
    make_environment: Any, tmp_path: Path
) -> None:
    # Given the same distribution, when a body of its content type comes to a process that never named it,
    for name, text in SERIALIZER.items():
        (tmp_path / name).write_text(text)
    environment = make_environment("kombu-core", tmp_path)

    # then accepting it by name is enough.
    environment.check(
        "from kombu.serialization import loads\n"
        "assert loads('HELLO', 'application/x-shout', 'utf-8', accept={'application/x-shout'}) == 'hello'\n"
    )
