from __future__ import annotations

import pytest

from daemon.control.times import parse_instant, rfc3339


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-01T08:00:00Z", 1772352000),
        ("2026-03-01T09:00:00+01:00", 1772352000),
        ("2026-03-01t03:30:00-04:30", 1772352000),
        ("2026-03-01 08:00:00z", 1772352000),
        ("2026-03-01T08:00Z", 1772352000),
        ("2026-03-01T08:00:00.75Z", 1772352000.75),
        ("1772352000", 1772352000),
        ("1772352000.5", 1772352000.5),
    ],
)
def test_an_instant_is_read_as_rfc_3339_with_an_offset_or_as_unix_seconds(text: str, seconds: float) -> None:
    """Both forms of the contract give the same Unix seconds, whatever the offset."""
    assert parse_instant(text) == seconds


@pytest.mark.parametrize("text", ["2026-03-01T08:00:00", "2026-03-01 08:00"])
def test_a_time_without_an_offset_is_refused_and_told_why(text: str) -> None:
    """A naive time would be guessed; the message says what to add."""
    with pytest.raises(ValueError, match="names no offset; add one"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text",
    ["", "now", "8:00", "2026-02-30T08:00:00Z", "2026-03-01T25:00:00Z", "2026-03-01", "-5", "1e9", "nan", "٣٤٥",
     "2026-W10-1", "1772352000 ", "99999999999999999999", "2026-03-01T08:00:00+99:00"],
)  # fmt: skip
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Nothing else passes, and nothing but ValueError is raised."""
    with pytest.raises(ValueError):
        parse_instant(text)


def test_milliseconds_are_recognised() -> None:
    """The commonest mistake in scripts is named."""
    with pytest.raises(ValueError, match="milliseconds"):
        parse_instant("1772352000123")


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (1772352000.999, "2026-03-01T08:00:00Z"),
        (0.0, "1970-01-01T00:00:00Z"),
        (-5.0, "1970-01-01T00:00:00Z"),
        (1e18, "9999-12-31T23:59:59Z"),
    ],
)
def test_instants_are_written_in_utc_and_floored(at: float, text: str) -> None:
    """Whole seconds, floored and never rounded up; a clock gone mad still gives a document."""
    assert rfc3339(at) == text
