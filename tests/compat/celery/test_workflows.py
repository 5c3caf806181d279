"""Groups, chains, chords, maps, and what they are made of, one inside the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import chain, chord, group

if TYPE_CHECKING:
    from tests.compat.celery.sites import Site

WAIT = 30


def test_chain(site: Site) -> None:
    site.shared()
    add = site.task("add")
    sent = chain(add.s(1, 1), add.s(10), add.s(100)).apply_async()
    assert sent.get(WAIT) == 112
    assert sent.parent.get(WAIT) == 12


def test_group(site: Site) -> None:
    site.shared()
    add = site.task("add")
    sent = group(add.s(n, n) for n in range(30)).apply_async()
    assert sent.get(WAIT) == [2 * n for n in range(30)]
    assert sent.completed_count() == 30


def test_chord(site: Site) -> None:
    site.shared()
    add, total = site.task("add"), site.task("total")
    assert chord([add.s(n, 1) for n in range(20)], total.s()).apply_async().get(WAIT) == 210


def test_chord_in_a_chain_in_a_chord(site: Site) -> None:
    site.shared()
    add, total = site.task("add"), site.task("total")
    inner = chain(group(add.s(1, n) for n in range(3)), total.s())  # 1 + 2 + 3
    sent = chord([inner, add.s(4, 4)], total.s()) | add.s(100)
    assert sent.apply_async().get(WAIT) == 114


def test_the_error_of_a_part_reaches_the_chord(site: Site) -> None:
    site.shared()
    add, fail, total = site.task("add"), site.task("fail"), site.task("total")
    with pytest.raises(Exception, match="as asked"):
        chord([add.s(1, 1), fail.s()], total.s()).apply_async().get(WAIT)


def test_callbacks(site: Site) -> None:
    site.shared()
    add = site.task("add")
    sent = add.apply_async((1, 2), link=add.s(5))
    assert sent.get(WAIT) == 3
    (child,) = sent.children
    assert child.get(WAIT) == 8


def test_map_and_chunks(site: Site) -> None:
    site.shared()
    add, total = site.task("add"), site.task("total")
    assert total.map([[1, 2], [3, 4]]).apply_async().get(WAIT) == [3, 7]
    assert add.starmap([(1, 2), (3, 4)]).apply_async().get(WAIT) == [3, 7]
    assert add.chunks([(n, n) for n in range(6)], 3).apply_async().get(WAIT) == [[0, 2, 4], [6, 8, 10]]
