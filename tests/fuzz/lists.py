"""Lists of employees as people save them: good rows, near misses, other separators, other encodings, and noise."""

from __future__ import annotations

import csv
import io

from hypothesis import strategies as st

_IDS = st.sampled_from(["7", "8", "101", "9170357"] * 8 + ["", " 7 ", "7\t8", "x" * 65, "４２", "null"]) | st.text(
    max_size=4
)
_NAMES = st.sampled_from(["Ann", "Ben", "Ünï Cödé", "", "x" * 201, 'O"Neil', "=1+1", "\u202eevil"]) | st.text(
    max_size=12
)
_BADGES = st.sampled_from(["04A2B3C4", "04:a2:b3:c4", "", "04A2B3C4D5E680", "0" * 65, "-", "08010203"]) | st.text(
    max_size=9
)
#: What nothing is wrong with by itself; the badge may be another person's.
_GOOD = st.builds(
    lambda person, badge: [*person, badge, ""],
    st.sampled_from([("7", "Ann"), ("8", "Bob"), ("101", "Cy")]),
    st.sampled_from(["04AA0001", "04A2B3C4", ""]),
)
_CELLS = _GOOD | _GOOD | st.tuples(_IDS, _NAMES, _BADGES, _IDS).map(list)
_HEADERS = st.sampled_from(
    [["user_id", "name", "badge", "job_id"]] * 6
    + [["job_id", "badge", "name", "user_id"], ["User_ID", " name", "badge", "job_id"], ["user_id", "name"], []]
)


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """A file as a program would write it, with this separator and that encoding."""
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=draw(st.sampled_from([","] * 8 + [";", "\t"])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    writer.writerow(draw(_HEADERS))
    for row in draw(st.lists(_CELLS, max_size=6)):
        writer.writerow(row[: draw(st.sampled_from([4] * 8 + [3, 1, 0]))])
    encoding = draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"]))
    return out.getvalue().encode(encoding, "replace")


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """The same with a piece cut out, doubled, or overwritten."""
    data = draw(written())
    first, second = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
    return draw(
        st.sampled_from([data[:first] + data[second:], data[:second] + data[first:]])
        | st.binary(max_size=6).map(lambda noise: data[:first] + noise + data[second:])
    )


FILES = written() | broken() | st.binary(max_size=60)
