"""What is kept of the timesheet: bounded, and never claimed for a time that was forgotten."""

from __future__ import annotations

from daemon.delivery.knowledge import FOLLOWS_S, RECORDS_MAX, Knowledge
from daemon.timesheets.timesheet import ShiftRecord

HOUR = 3600


def test_our_own_writes_never_make_a_view_longer_than_its_bound() -> None:
    """The oldest finished ones go, and the view no longer says that it covers their time; what is open stays."""
    knowledge = Knowledge()
    knowledge.learn(["7"], 0.0, 0, 10**6, [ShiftRecord("open", "7", 5)])
    for number in range(3 * RECORDS_MAX):
        knowledge.note_written(ShiftRecord(f"s{number}", "7", number * HOUR, number * HOUR + 60), number * HOUR)
    view = knowledge.of("7")
    assert view is not None
    assert len(view.records) == RECORDS_MAX
    assert view.by_id("open") is not None
    oldest = min(record.start for record in view.records if record.end is not None)
    assert not view.covers(oldest - HOUR)
    assert view.covers(oldest)
    assert view.starting((3 * RECORDS_MAX - 1) * HOUR) is not None


def test_how_long_a_shift_was_shown_open_counts_over_reads_that_follow_one_another() -> None:
    """A read long after the one before begins anew: whatever kept this kiosk from asking may have kept others too."""
    knowledge, there = Knowledge(), [ShiftRecord("s1", "7", 5)]
    shown = []
    for at, records in ((0.0, there), (60.0, there), (360.0, there), (661.0, there), (700.0, []), (760.0, there)):
        knowledge.learn(["7"], at, 0, 10**6, records)
        view = knowledge.of("7")
        assert view is not None
        shown.append(view.shown_open_s("s1"))
    assert FOLLOWS_S == 300
    assert shown == [0, 60, 360, 0, 0, 0]
