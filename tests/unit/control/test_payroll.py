"""The CSV for payroll: what each cell says, and what no cell does."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from daemon.control import payroll
from daemon.model import Direction, Punch, PunchState, RecordedAs, Source

PUNCH = Punch(
    id="P1", seq=1, user_id="7", name="Ada Lovelace", direction=Direction.CLOCK_IN, occurred_at=1774746000.9,
    raw_at=1774746000.9, time_error_s=0.5, time_known=True, boot_id="b", boottime_s=1.0, synchronised=True,
    reader="front", badge="04A2B3C4", source=Source.TAP, job_id=None, state=PunchState.DELIVERED, reason=None,
    detail=None, attempts=1, remote_id="r-1", recorded_as=RecordedAs.CLOCK_IN,
)  # fmt: skip
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def read(*punches: Punch) -> list[dict[str, str]]:
    text = (payroll.header() + payroll.lines(punches, AMSTERDAM)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_line_says_all_of_a_punch_but_its_badge():
    """Both times are the same floored second, the local one with its offset; unknown things are empty."""
    assert read(PUNCH) == [
        {
            "user_id": "7", "name": "Ada Lovelace", "direction": "clock_in",
            "occurred_at_local": "2026-03-29T03:00:00+02:00", "occurred_at": "2026-03-29T01:00:00Z",
            "state": "delivered", "reason": "", "recorded_as": "clock_in", "remote_id": "r-1", "reader": "front",
            "time_error_s": "0.500", "punch_id": "P1",
        }
    ]  # fmt: skip
    bare = replace(PUNCH, direction=None, time_error_s=None, remote_id=None, recorded_as=None, reader=None)
    assert [read(bare)[0][name] for name in ("direction", "time_error_s", "remote_id", "reader")] == ["", "", "", ""]


def test_the_local_time_follows_the_summer():
    """One second before the change it is 01:59:59+01:00; an hour that comes twice is told apart by its offset."""
    times = [
        read(replace(PUNCH, occurred_at=at))[0]["occurred_at_local"] for at in (1774745999, 1792886400, 1792890000)
    ]
    assert times == ["2026-03-29T01:59:59+01:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =cmd|' /C calc'!A0", "\r\n=1"])
def test_no_spreadsheet_runs_a_cell(evil):
    """Names, ids and readers that would be formulas begin with an apostrophe; everything else is as it was."""
    for name in ("name", "user_id", "remote_id", "reader"):
        cell = read(replace(PUNCH, **{name: evil}))[0][name]
        assert cell.startswith("'")
        assert not set(cell) & {"\r", "\n"}
    assert payroll.defused("O'Neil = friend") == "O'Neil = friend"


def test_commas_and_quotes_are_quoted_as_rfc_4180_says():
    """Lines end with CRLF; a quote inside is doubled; what is read back is what was written."""
    name = 'Lovelace, "Ada" 山'
    text = payroll.lines([replace(PUNCH, name=name)], AMSTERDAM)
    assert text.endswith(b"\r\n")
    assert '"Lovelace, ""Ada"" 山"'.encode() in text
    assert read(replace(PUNCH, name=name))[0]["name"] == name
