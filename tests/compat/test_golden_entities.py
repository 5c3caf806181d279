"""Declarations are exchanged with kombu 5.7.0 as pickles and dictionaries (see golden/make_entities.py)."""

from __future__ import annotations

import base64
import io
import json
import pathlib
import pickle

import pytest

from kombu import Queue
from tests.compat.golden.make_entities import NAMESPACE

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "entities.json").read_text())
CASES = GOLDEN["cases"]


class Structure(pickle.Unpickler):
    """Reads a pickle as nested tuples of names and arguments, importing nothing."""

    def find_class(self, module, name):
        return (lambda cls, kwargs: (cls, kwargs)) if name == "unpickle_dict" else f"{module}.{name}"


def structure(data: bytes):
    return in_order(Structure(io.BytesIO(data)).load())


def in_order(value):
    """Lists (of bindings, which were sets) in an order that does not depend on hashes."""
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(in_order, value))
    if isinstance(value, list):
        return sorted(map(in_order, value), key=repr)
    return value


def build(case):
    return eval(case["expression"], dict(NAMESPACE))


every_case = pytest.mark.parametrize("case", CASES, ids=[case["expression"][:60] for case in CASES])


def test_the_file_is_of_the_peer_we_say():
    assert GOLDEN["made_by"] == {"kombu": "5.7.0"} and len(CASES) >= 15


@every_case
def test_pickles_of_the_peer_are_read(case):
    for data in case["pickles"]:
        assert pickle.loads(base64.b64decode(data)) == build(case)


@every_case
def test_our_pickles_say_what_the_peers_say(case):
    # Given its pickles; when ours are read without importing anything; then they name and hold the same
    for protocol, data in zip((2, 4), case["pickles"], strict=True):
        assert structure(pickle.dumps(build(case), protocol)) == structure(base64.b64decode(data))


@every_case
def test_as_dict_is_the_same(case):
    assert in_order(build(case).as_dict(recurse=True)) == in_order(case["as_dict"])


@every_case
def test_repr_is_the_same(case):
    assert repr(build(case)) == case["repr"]


@pytest.mark.parametrize("case", [case for case in CASES if case["expression"].startswith("Queue('")])
def test_dictionaries_of_the_peer_make_the_same_queue(case):
    # Given a queue's dictionary, which has the keywords of a Queue
    values = case["as_dict"]
    # When / Then (kombu 5 itself could not read nested ones back)
    assert Queue.from_dict(**{("queue" if k == "name" else k): v for k, v in values.items()}) == build(case)
