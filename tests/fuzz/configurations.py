"""Configurations as people write them: known keys with values of every kind, unknown keys, sections, and torn text."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from daemon.config_spec import KEYS, SECTIONS

SECRET = "Zz9-secret-in-the-file"
_NAMES = [key.name for key in KEYS]
_VALUES = (
    st.sampled_from(
        [
            '"front-door"', '"Europe/Amsterdam"', "12345", '"pcsc"', '"toggle"', '"review"', "true", "false", '""', "0",
            "-1", "14", "36.5", "nan", "inf", "1e400", "9" * 30, "[]", "{}", '["a"]', "[[1]]", '"/etc/passwd"',
            '"https://api.connecteam.com"', '"http://evil.example"', '"https://u:p@h/"', '"127.0.0.1:9464"',
            '"\\u0000"', '"Mars/Olympus"', "1979-05-27T07:32:00Z", "'''x'''", '"../../x"', '"22:00-06:00"', "0x7f",
        ]
    )
    | st.integers(-(2**70), 2**70).map(str)
    | st.text(max_size=12).map(lambda text: '"' + re.sub(r'[\x00-\x1f\x7f"\\]', "", text) + '"')
)  # fmt: skip
_KEYS = st.sampled_from([*_NAMES, "api_key", "tokn", "nmae"]) | st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True)
_LINES = st.builds("{} = {}".format, _KEYS, _VALUES) | st.just(f'api_key = "{SECRET}"')
_HEADS = st.sampled_from(
    [f"[[{one.name}]]" if one.repeated else f"[{one.name}]" for one in SECTIONS] * 3
    + ["[readers]", "[[kiosk]]", "[kiosks]", "[a.b]", ""]
)
_SECTIONS = st.builds(
    lambda head, lines: "\n".join([head, *lines]),
    _HEADS,
    st.lists(_LINES, max_size=6, unique_by=lambda line: line.split()[0]),
)
#: What may stand beside the sections that have to be there.
GOOD = '[kiosk]\nname = "a"\ntimezone = "Europe/Amsterdam"\n[connecteam]\ntime_clock_id = 1\napi_key_file = "key"\n'


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file: good sections or none, then others; sometimes torn, sometimes not even text."""
    text = draw(st.sampled_from([GOOD, ""])) + "\n".join(draw(st.lists(_SECTIONS, max_size=4)))
    data = text.encode()
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(data)))
        data = data[:cut] + draw(st.binary(max_size=5)) + data[cut + draw(st.integers(0, 3)) :]
    return data


FILES = files() | st.binary(max_size=40)
