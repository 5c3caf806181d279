"""Matching names; as observed on kombu 5.7."""

from __future__ import annotations

import re

import pytest

from kombu.matcher import MatcherNotInstalled, MatcherRegistry, match, register, registry, unregister


@pytest.mark.parametrize(
    ("data", "pattern", "matcher", "expected"),
    [
        ("worker1@host", "worker*@host", None, True),
        ("worker1@host", "worker?@host", "glob", True),
        ("worker1", "other*", "glob", False),
        ("worker1", "worker[0-3]", "glob", True),
        ("WORKER1", "worker*", "glob", False),
        ("worker1", r"^worker\d$", "pcre", True),
        ("worker1", r"orker", "pcre", False),
        (b"worker1", b"worker*", None, True),
        ("a\nb", "a*", None, True),
    ],
)
def test_match(data, pattern, matcher, expected):
    assert match(data, pattern, matcher=matcher) is expected


def test_arguments_of_the_matcher():
    assert match("ABC", "abc", matcher="pcre", matcher_kwargs={"flags": re.IGNORECASE})


def test_an_unknown_matcher_is_named_with_those_there_are():
    with pytest.raises(MatcherNotInstalled, match="nope.*glob, pcre"):
        match("a", "a", matcher="nope")
    with pytest.raises(MatcherNotInstalled):
        unregister("nope")
    assert registry.MatcherNotInstalled is MatcherNotInstalled


def test_register_and_unregister():
    register("equal", lambda data, pattern: data == pattern)
    try:
        assert match("a", "a", matcher="equal")
        assert not match("a", "*", matcher="equal")
    finally:
        unregister("equal")
    with pytest.raises(MatcherNotInstalled):
        match("a", "a", matcher="equal")


def test_a_registry_of_ones_own_with_another_default():
    mine = MatcherRegistry()
    mine.register("pcre", re.match)
    mine._set_default_matcher("pcre")
    assert mine.match("abc", "a.c") is True
    with pytest.raises(MatcherNotInstalled):
        mine._set_default_matcher("glob")
