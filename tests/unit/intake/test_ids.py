"""Ids sort by time and never repeat."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.ids import ALPHABET, new_id

walls = st.floats(0, 2**47 / 1000)


@given(walls, walls)
def test_ids_sort_as_their_milliseconds(one, other):
    """26 characters of the alphabet, in the order of time."""
    chance = random.Random(1)
    first, second = new_id(one, chance), new_id(other, chance)
    assert len(first) == 26
    assert set(first) <= set(ALPHABET)
    if int(one * 1000) < int(other * 1000):
        assert first < second


def test_a_clock_far_off_still_gives_ids():
    """Before 1970 and beyond the year 10000 the time part is clamped."""
    chance = random.Random(1)
    assert new_id(-5.0, chance).startswith("0" * 10)
    assert new_id(1e18, chance).startswith("7" + "Z" * 9)


def test_ids_of_one_millisecond_differ():
    """Chance parts them."""
    chance = random.Random(1)
    assert len({new_id(1.0, chance) for _ in range(10_000)}) == 10_000
