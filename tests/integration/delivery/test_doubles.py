"""A service that shows a write only after the second look, and takes a second clock-in: told, never counted twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon.delivery.doubles import alike, judged
from daemon.model import PunchState
from daemon.timesheets.timesheet import ShiftRecord
from sandbox.connecteam.behaviour import Behaviour, SecondClockIn
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, Bench, on_bench
from tests.support.lanes import punch

MINUTE = 60


def slow_to_show(bench: Bench) -> None:
    """The service shows what was written only after a minute; the next answer is lost although it was done."""
    bench.sandbox.company.behaviour = Behaviour(second_clock_in=SecondClockIn.SECOND_SHIFT, visible_after_s=MINUTE)
    bench.sandbox.faults.set(kind=Kind.DROP, method="POST", processed=True, count=1)


def test_a_punch_that_stands_there_twice_is_told_until_one_of_them_is_deleted(tmp_path: Path) -> None:
    """An alarm with what to delete, one line in the journal, the punch delivered once; gone when the double is gone."""

    async def story(bench: Bench) -> None:
        slow_to_show(bench)
        came, clock_in = bench.second(), await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(20 * MINUTE)
        rows = bench.sandbox.timesheet(ANNA)
        assert [row.start for row in rows] == [came, came]
        (stored,) = await bench.punches()
        assert (stored.state.value, stored.recorded_as) == ("delivered", "clock_in")
        double = next(row.id for row in rows if row.id != stored.remote_id)
        (alarm,) = bench.alarms.standing()
        assert alarm.code == "recorded_twice"
        assert f"delete shift {double}, keep {stored.remote_id}" in alarm.text
        assert stored.name not in alarm.text, "alarms are logged, and no name may be"
        lines = (await bench.history(clock_in)).journal
        told = [line["data"] for line in lines if line["action"] == "punch.recorded_twice"]
        assert told == [{"keep": stored.remote_id, "delete": [double]}]
        await asyncio.sleep(3 * 60 * MINUTE)
        lines = (await bench.history(clock_in)).journal
        assert [line["action"] for line in lines].count("punch.recorded_twice") == 1
        bench.sandbox.manager.delete_shift(double)
        await asyncio.sleep(3 * 60 * MINUTE)
        assert bench.alarms.standing() == []
        asked = len(bench.requests())
        await asyncio.sleep(3 * 60 * MINUTE)
        assert len(bench.requests()) == asked  # with nothing left to watch, nothing is asked

    on_bench(tmp_path, story)


def test_what_another_program_or_a_manager_made_is_not_ours(tmp_path: Path) -> None:
    """Two shifts at one second that no punch of this kiosk was sent for raise nothing."""

    async def story(bench: Bench) -> None:
        start = bench.second(7200)
        for _ in range(2):
            bench.sandbox.manager.add_shift(ANNA, start, start + 600, source="api")
        await bench.punch(ANNA, "clock_in", ago_s=1200)  # old enough to be read for
        await asyncio.sleep(MINUTE)
        assert await bench.all_delivered()
        assert bench.requests().count("GET time-activities") == 1
        assert bench.alarms.standing() == []

    on_bench(tmp_path, story)


def test_alike_are_two_records_of_one_second_or_one_mark() -> None:
    """A phone's shift at the same second is no double, nor are two people's; a mark counts wherever it stands."""
    ours, again = ShiftRecord("a", "7", 100, started_by="api"), ShiftRecord("b", "7", 100, 200, started_by="api")
    phone, other = ShiftRecord("c", "7", 100, started_by="mobile"), ShiftRecord("d", "8", 100, started_by="api")
    assert alike([ours, phone, other]) == []
    assert alike([ours, again, phone, other]) == [(ours, again)]
    moved = [ShiftRecord("e", "7", 300, 400, reference="P1"), ShiftRecord("f", "7", 360, 460, reference="P1")]
    assert alike(moved) == [tuple(moved)]


def test_kept_is_what_the_punch_was_delivered_as_else_what_was_there_first() -> None:
    """Whatever the order they are shown in."""
    older, newer = ShiftRecord("z", "7", 100, created_at=1), ShiftRecord("a", "7", 100, created_at=2)
    sent = punch("in", 8).punch
    assert judged(sent, [newer, older]).keep is older
    delivered = punch("in", 8, PunchState.DELIVERED, shift="a").punch
    assert judged(delivered, [older, newer]).delete == (older,)
