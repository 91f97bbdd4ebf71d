"""The audit, and the checks of mended reviews: the real loop, queue and client, the sandbox, virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.control import api_timesheet
from daemon.delivery.audit import Line, Verdict
from daemon.delivery.healing import checks, days_of, healed, merged
from daemon.delivery.reading import read_people
from daemon.errors import RefusedError
from daemon.model import Employee
from daemon.queue import people
from daemon.timesheets.timesheet import ReadPeople, Standing, Standings
from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, BOB, Bench, on_bench

HOUR, DAY = 3600, 86400
ZONE = ZoneInfo("Europe/Amsterdam")


async def audit(bench: Bench, days: float) -> list[Line]:
    kiosk: Any = SimpleNamespace(database=bench.db, delivery=bench.delivery, timekeeper=bench.timekeeper)
    now = int(bench.timekeeper.now())
    lines: list[Line] = []
    async for piece in api_timesheet._audit(kiosk, now - int(days * DAY), now + 1, None):
        lines += piece
    return lines


async def shifts(bench: Bench, days: int) -> None:
    """A shift of Anna every third day of the past, all delivered."""
    for day in range(days, 0, -3):
        await bench.punch(ANNA, "clock_in", ago_s=day * DAY)
        await bench.punch(ANNA, "clock_out", ago_s=day * DAY - 8 * HOUR)
    await asyncio.sleep(1800)
    assert await bench.all_delivered()


def test_a_year_is_audited_in_few_reads_and_nothing_is_written(tmp_path: Path) -> None:
    """Every punch ok, whichever read it lies in; each read within what the service takes; GET alone."""

    async def story(bench: Bench) -> None:
        await shifts(bench, 300)
        before = len(bench.sandbox.log.entries)
        lines = await audit(bench, 365)
        assert len(lines) == 200
        assert {line.verdict for line in lines} == {Verdict.OK}
        asked = bench.sandbox.log.entries[before:]
        assert {entry.request.method for entry in asked} == {"GET"}
        assert all(entry.status == 200 for entry in asked)
        assert len(asked) <= 6

    on_bench(tmp_path, story)


def test_an_audit_on_a_small_plan_takes_its_time_and_causes_no_refusal(tmp_path: Path) -> None:
    """Five requests a minute: the reads wait for the next one, and none is throttled."""

    async def story(bench: Bench) -> None:
        await shifts(bench, 30)
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        await bench.delivery.sync_now()
        await asyncio.sleep(60)
        assert len([*(await audit(bench, 365)), *(await audit(bench, 365))]) == 40
        assert all(entry.status == 200 for entry in bench.sandbox.log.entries)

    on_bench(tmp_path, story)


def test_a_read_that_fails_later_leaves_its_lines_unread(tmp_path: Path) -> None:
    """What was read stands, the rest says why; a first read that fails is a refusal."""

    async def story(bench: Bench) -> None:
        await shifts(bench, 150)
        bench.sandbox.faults.set(kind=Kind.STATUS, status=503, path="*/time-activities", skip=1)
        lines = await audit(bench, 151)
        assert {line.verdict for line in lines} == {Verdict.OK, Verdict.UNREAD}
        assert len(lines) == 100
        assert all("503" in (line.detail or "") for line in lines if line.verdict is Verdict.UNREAD)
        assert max(line.at for line in lines if line.verdict is Verdict.OK) < min(
            line.at for line in lines if line.verdict is Verdict.UNREAD
        )
        with pytest.raises(RefusedError, match="Cannot read the timesheet"):
            await audit(bench, 151)

    on_bench(tmp_path, story)


def test_what_stands_there_besides_is_told_of_everybody_with_a_badge(tmp_path: Path) -> None:
    """Bob never tapped here, and works by phone: his shift is extra, with who made it; a pending punch is told too."""

    async def story(bench: Bench) -> None:
        await bench.db.write(lambda conn: people.assign_badge(conn, "04B0", BOB, 0.0))
        bench.sandbox.manager.phone_clock_in(BOB, bench.second(5 * HOUR))
        await bench.delivery.pause("uid:0")
        await bench.punch(ANNA, "clock_in", ago_s=60)
        await bench.delivery.resume("uid:0")
        bench.sandbox.faults.set(kind=Kind.STATUS, status=503, path="*/clock-in")
        lines = await audit(bench, 1)
        assert [(line.user_id, str(line.verdict), line.detail) for line in lines if line.user_id == BOB] == [
            (BOB, "extra", "by mobile")
        ]
        (hers,) = [line for line in lines if line.user_id == ANNA]
        assert hers.verdict is Verdict.NOT_DELIVERED

    on_bench(tmp_path, story)


def test_what_was_mended_is_seen_to_be(tmp_path: Path) -> None:
    """Not assigned, a locked day: the checks say so while it is so, and healed as soon as a manager mended it."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.unassign(ANNA)
        bench.sandbox.manager.lock_day(BOB, bench.second(HOUR))
        stuck = [await bench.punch(ANNA, "clock_in", ago_s=HOUR), await bench.punch(BOB, "clock_in", ago_s=HOUR)]
        await asyncio.sleep(10)
        assert [(await bench.state(punch))[1] for punch in stuck] == ["not_assigned", "locked_days"]

        async def gone() -> list[bool]:
            told: list[Standing] = []
            reviews = await bench.punches()
            for step in checks(reviews, ZONE):
                outcome = (await bench.delivery.ask(step)).outcome
                assert isinstance(outcome, Standings)
                told += outcome.standings
            shown = merged(told)
            return [healed(p.reason, shown.get(p.user_id), days_of(p, ZONE)) for p in reviews]

        assert await gone() == [False, False]
        bench.sandbox.manager.assign(ANNA)
        assert await gone() == [True, False]
        bench.sandbox.manager.unlock_day(BOB, bench.second(HOUR))
        assert await gone() == [True, True]
        await bench.delivery.retry(stuck, by="automatic")
        await asyncio.sleep(60)
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


def test_people_beyond_a_page_are_all_read(tmp_path: Path) -> None:
    """1,203 people in three requests; a page that fails is a refusal, never half a company."""

    async def story(bench: Bench) -> None:
        for number in range(1200):
            bench.sandbox.company.add_user(5000 + number, f"N {number}")
        assert len({person.user_id for person in await read_people(bench.delivery.ask)}) == 1203
        assert bench.requests().count("GET users") == 3
        bench.sandbox.faults.set(kind=Kind.TRUNCATED, path="*/users", skip=1)
        with pytest.raises(RefusedError, match="Cannot read the people"):
            await read_people(bench.delivery.ask)

    on_bench(tmp_path, story)


def test_asking_who_is_assigned_spends_a_tenth_of_the_day_unless_told_otherwise(tmp_path: Path) -> None:
    """On 100 requests a day 10 of 15 people are asked about; `all` asks on until the budget stops it, and says so."""

    async def story(bench: Bench) -> None:
        holders = [Employee(str(5000 + number), f"N {number}", badges=("04",)) for number in range(15)]
        for employee in holders:
            bench.sandbox.company.add_user(employee.user_id, employee.name, clocks=set())
        limits = bench.sandbox.company.limits
        limits.plan = SMALL_BUSINESS
        await bench.delivery.ask(ReadPeople())
        kiosk: Any = SimpleNamespace(delivery=bench.delivery)
        told = await api_timesheet._check(kiosk, holders, "some")
        assert (len(told["not_assigned"]), told["unchecked"], told["unchecked_because"]) == (10, 5, None)
        assert (await api_timesheet._check(kiosk, holders, "none"))["unchecked"] == 15
        limits.day.used = limits.plan.per_day - 15
        told = await api_timesheet._check(kiosk, holders, "all")
        assert 0 < len(told["not_assigned"]) < 15
        assert "budget" in told["unchecked_because"]
        assert all(entry.status == 200 for entry in bench.sandbox.log.entries)

    on_bench(tmp_path, story)
