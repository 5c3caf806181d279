"""Values that are made of their attributes, and may be bound to a channel."""

from __future__ import annotations

import copy
import pickle

import pytest

from kombu.abstract import MaybeChannelBound, Object
from kombu.exceptions import NotBoundError
from kombu.utils.functional import ChannelPromise

from .channels import PaperChannel


class Point(Object):
    attrs = (("x", int), ("label", None), ("inner", None))
    label = "none"


class Valve(MaybeChannelBound):
    attrs = (("size", int),)
    bound_to = None

    def when_bound(self):
        self.bound_to = self._channel


class FakeConnection:
    def __init__(self):
        self.default_channel = PaperChannel()


def test_attributes_are_converted_and_fall_back_to_the_class_then_to_none():
    # Given one attribute as text, one only the class has, one that nobody has
    # When the value is made
    point = Point(x="3")
    # Then
    assert (point.x, point.label, point.inner) == (3, "none", None)


def test_as_dict_recurses_into_values_and_lists_of_them_only_when_asked():
    # Given values within values
    inner = Point(x=1)
    point = Point(x=2, inner=[inner])
    # When / Then
    assert point.as_dict() == {"x": 2, "label": "none", "inner": [inner]}
    assert point.as_dict(recurse=True)["inner"] == [{"x": 1, "label": "none", "inner": None}]


@pytest.mark.parametrize("again", [copy.copy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_and_pickles_have_the_same_attributes(again):
    assert again(Point(x=1, label="a")).as_dict() == {"x": 1, "label": "a", "inner": None}


def test_binding_gives_a_copy_and_leaves_the_original_unbound():
    # Given
    valve, channel = Valve(size=2), PaperChannel()
    # When
    bound = valve(channel)
    # Then
    assert bound.is_bound and bound.channel is channel and bound.size == 2
    assert not valve.is_bound
    with pytest.raises(NotBoundError, match=r"Can't call method on Valve not bound to a channel"):
        valve.channel  # noqa: B018


def test_maybe_bind_binds_the_object_itself_once():
    # Given
    valve, first, second = Valve(size=2), PaperChannel(), PaperChannel()
    # When
    assert valve.maybe_bind(None) is valve and not valve.is_bound
    assert valve.maybe_bind(first) is valve
    valve.maybe_bind(second)
    # Then
    assert valve.channel is first and valve.bound_to is first


def test_a_connection_stands_for_its_default_channel():
    connection = FakeConnection()
    assert Valve(size=1)(connection).channel is connection.default_channel


def test_revive_changes_the_channel_of_bound_values_only():
    # Given
    bound, unbound, channel = Valve(size=1)(PaperChannel()), Valve(size=1), PaperChannel()
    # When
    bound.revive(channel)
    unbound.revive(channel)
    # Then
    assert bound.channel is channel and bound.bound_to is channel
    assert not unbound.is_bound


def test_a_promised_channel_is_opened_when_first_needed():
    # Given a promise that counts
    opened = []

    def open_channel():
        opened.append(PaperChannel())
        return opened[-1]

    valve = Valve(size=1)(ChannelPromise(open_channel))
    # When it is bound, shown and asked whether it is: nothing is opened
    assert valve.is_bound and "not opened" in valve._repr_entity("")
    assert opened == []
    # When it is used, it is opened once
    assert valve.channel is valve.channel is opened[0]
    assert len(opened) == 1


def test_a_bound_value_is_unbound_when_it_was_pickled():
    bound = Valve(size=1)(PaperChannel())
    assert not pickle.loads(pickle.dumps(bound)).is_bound
