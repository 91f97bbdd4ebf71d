"""Pure: ids of punches: 26 characters, in the order of time, unique without asking anyone."""

from __future__ import annotations

import math
from typing import Protocol

#: Crockford's base 32: no I, L, O, U, so that an id survives being read aloud.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_BITS, _CHANCE_BITS, _LENGTH = 48, 80, 26
#: Two characters at a time: half the work, with a person in front of the reader.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_SHIFTS = tuple(range(5 * (_LENGTH - 2), -1, -10))


class Chance(Protocol):
    """The part of random.Random that is used; an argument, so that a simulation repeats itself."""

    def getrandbits(self, k: int, /) -> int:
        """`k` bits by chance."""


def new_id(wall_s: float, chance: Chance) -> str:
    """A new id: 48 bits of wall milliseconds (a clock far off is clamped), then 80 bits of chance."""
    milliseconds = min(max(math.floor(wall_s * 1000), 0), (1 << _TIME_BITS) - 1)
    value = milliseconds << _CHANCE_BITS | chance.getrandbits(_CHANCE_BITS)
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])
