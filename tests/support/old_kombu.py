"""An environment with kombu 5.7.0, for processes of a mixed fleet.

It is in ``var/old-kombu``; ``KOMBU_OLD_PYTHON`` names the interpreter of another one.
"""

from __future__ import annotations

import os

import pytest

from tests.support.environments import environment, needed, run

VERSION = "5.7.0"

#: What is installed; with the libraries of optional serializers and compressions.
REQUIREMENTS = [f"kombu[redis,msgpack,yaml]=={VERSION}", "brotli"]

CHECK = f"import brotli, kombu, msgpack, redis, sys, yaml; sys.exit(kombu.__version__ != {VERSION!r})"


@pytest.fixture(scope="session")
def old_kombu() -> str:
    """The interpreter of an environment with kombu 5.7.0 and redis-py."""
    with needed(f"kombu {VERSION}"):
        if named := os.environ.get("KOMBU_OLD_PYTHON"):
            run(named, "-c", CHECK)
            return named
        return environment("old-kombu", REQUIREMENTS, check=CHECK)


@pytest.fixture(scope="session")
def old_kombu_sqs() -> str:
    """The interpreter of an environment with kombu 5.7.0, boto3 and pycurl."""
    check = f"import boto3, kombu, pycurl, sys; sys.exit(kombu.__version__ != {VERSION!r})"
    with needed(f"kombu {VERSION} with what sqs:// wants"):
        return environment("old-kombu-sqs", [f"kombu[sqs]=={VERSION}"], check=check)
