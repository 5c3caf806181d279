"""Confirms are matched by delivery tag."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kombu.exceptions import MessageNacked
from kombu_amqp.confirms import Confirms


def test_one_by_one_in_any_order() -> None:
    confirms = Confirms()
    tags = [confirms.sent("e", str(number)) for number in range(3)]
    assert tags == [1, 2, 3]
    confirms.settle(2, multiple=False)
    assert [tag in confirms for tag in tags] == [True, False, True]
    assert confirms.outcome(2) is None


def test_several_at_once() -> None:
    confirms = Confirms()
    for number in range(5):
        confirms.sent("e", str(number))
    confirms.settle(3, multiple=True)
    assert list(confirms.pending) == [4, 5]
    confirms.settle(0, multiple=True)
    assert not confirms.pending


def test_refused() -> None:
    confirms = Confirms()
    tag = confirms.sent("the-exchange", "the-key")
    confirms.settle(tag, multiple=False, refused=True)
    error = confirms.outcome(tag)
    assert isinstance(error, MessageNacked)
    assert "the-exchange" in str(error) and "the-key" in str(error)
    assert confirms.outcome(tag) is None


def test_a_late_answer_confirms_nothing_else() -> None:
    # Given: somebody gave up on 1
    confirms = Confirms()
    first = confirms.sent("e", "k")
    confirms.forget([first])
    second = confirms.sent("e", "k")
    # When
    confirms.settle(first, multiple=False)
    # Then
    assert second in confirms


def test_numbers_of_a_reopened_channel() -> None:
    # Given: the broker counts anew
    confirms = Confirms()
    old = confirms.sent("e", "k")
    lost = RuntimeError("lost")
    confirms.fail_all(lost)
    new = confirms.sent("e", "k")
    # When: its first answer on the new channel
    confirms.settle(1, multiple=False)
    # Then
    assert new != old and new not in confirms
    assert (confirms.outcome(old), confirms.outcome(new)) == (lost, None)


def test_the_oldest_of_the_same_address_comes_back() -> None:
    confirms, error = Confirms(), RuntimeError("no route")
    tags = [confirms.sent("e", key) for key in ("a", "b", "b")]
    confirms.returned("e", "b", error)
    confirms.settle(3, multiple=True)
    assert [confirms.outcome(tag) for tag in tags] == [None, error, None]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), max_size=40))
def test_every_message_is_settled_once(answers: list[tuple[int, bool, bool]]) -> None:
    # Given
    confirms = Confirms()
    tags = {confirms.sent("e", str(number)) for number in range(20)}
    expected: dict[int, bool] = {}
    for tag, multiple, refused in answers:
        # When
        confirms.settle(tag, multiple, refused)
        # Then: the first answer counts
        covered = {t for t in tags if t == tag or (multiple and (t <= tag or tag == 0))}
        for each in covered:
            expected.setdefault(each, refused)
        assert set(confirms.pending) == tags - set(expected)
    for tag, refused in expected.items():
        assert (confirms.outcome(tag) is not None) == refused
