"""What an input device may report: keys right and wrong, other events, dropped ones, times that jump, torn structs."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from drivers.scanner import EV_KEY, EV_SYN, EVENT, SYN_DROPPED

#: Stands for keys that the kernel dropped.
DROPPED = -1
_GOOD = [*range(2, 12), *range(16, 26), *range(30, 39)]
_CODES = st.sampled_from(_GOOD * 4 + [28, 28, 96, 42, 54, 69] * 4 + [DROPPED] * 6 + [1, 0, 248, 65535])
_VALUES = st.sampled_from([1] * 12 + [0, 0, 2, -1, 2**31 - 1])
#: Seconds on the events' clock: mostly one after the other, sometimes anywhere.
_STEPS = st.sampled_from([0.0, 0.001, 0.01, 1.9] * 8 + [2.1, -0.001, 1e6, -1e6])
#: One key: code, value, seconds since the one before. Some are a long line of good ones, as a cat types.
KEYS = st.lists(st.tuples(_CODES, _VALUES, _STEPS), max_size=150) | st.lists(
    st.tuples(st.sampled_from(_GOOD), st.just(1), st.just(0.01)), min_size=60, max_size=140
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What may be read from a device: events of every kind, now and then in pieces that are none."""
    stream, at = b"", 1000.0
    for code, value, step in draw(KEYS):
        at = min(max(at + step, 0.0), 2e9)
        kind = draw(st.sampled_from([EV_KEY] * 6 + [EV_SYN, 4, 17]))
        if code == DROPPED:
            kind, code = EV_SYN, SYN_DROPPED
        stream += EVENT.pack(int(at), int(at % 1 * 1e6), kind, code, value)
    if draw(st.integers(0, 20)) == 0:
        stream += draw(st.binary(max_size=3 * struct.calcsize("@llHHi")))
    return stream
