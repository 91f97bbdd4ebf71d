"""Lanes are planned as they were loaded for as long as nobody changed them: what is kept is what is stored."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from daemon.delivery import storage
from daemon.delivery.board import Lane
from daemon.delivery.loop import Delivery
from daemon.queue.lanes import LanePunch
from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.run import run
from tests.support.town import Town, in_town

#: Whoever stores something tells delivery right after; what differs for longer was never told.
TOLD_WITHIN_S = 5.0
EVERY_S = 600.0


async def _differ(delivery: Delivery, lane: Lane) -> str | None:
    """What is stored otherwise than it is kept; None where nothing is, or where it is to be loaded anyway."""
    found = await delivery._db.read(partial(storage.load, user_id=lane.user_id, wide=lane.wide))
    board = delivery._planning.board
    told = delivery._planning.all_dirty or board.dirty.get(lane.user_id) or board.loading == lane.user_id
    under_way = delivery._way._one.locked() or delivery._serving._courier.owed is not None
    if told or under_way or board.lanes.get(lane.user_id) is not lane:
        return None
    kept, wanted = (_own(lane.punches), lane.waiting), (_own(found.punches), found.waiting)
    if kept != wanted:
        return f"{lane.user_id}: kept {kept}, stored {wanted}"
    person = found.employee
    assert person is not None
    rules = (lane.max_shift_s, lane.job_id)
    return None if rules == (person.max_shift_s, person.job_id) else f"{lane.user_id}: rules {rules}, stored {person}"


def _own(punches: list[LanePunch]) -> list[LanePunch]:
    """Without what stands beside: old punches are pruned, and that is nobody's news."""
    return [entry for entry in punches if not entry.context]


@pytest.fixture
def compared(monkeypatch) -> Iterator[list[int]]:
    """Every delivery loop has somebody beside it who compares, again and again. How many lanes were looked at."""
    counted, found = [0], list[str]()

    async def beside(delivery: Delivery) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            for lane in list(delivery._planning.board.lanes.values()):
                counted[0] += 1
                if await _differ(delivery, lane) is not None:
                    await asyncio.sleep(TOLD_WITHIN_S)
                    found.extend(filter(None, [await _differ(delivery, lane)]))

    plain = Delivery.run

    async def watched(delivery: Delivery) -> None:
        task = asyncio.create_task(beside(delivery))
        try:
            await plain(delivery)
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                found.append(repr(error))

    monkeypatch.setattr(Delivery, "run", watched)
    yield counted
    assert found == []


def test_what_is_kept_is_what_is_stored(compared):
    """Three weeks of decisions, staff that changes, settings that are reloaded, doubts about the clock and restarts."""
    wanted = {"decisions", "staff_changes", "settings", "wrong_clocks", "restarts"}
    scripts = (draw_script(seed, 8) for seed in itertools.count(1))
    chosen = itertools.islice((script for script in scripts if len(wanted & set(script.kinds)) >= 3), 3)
    for script in chosen:
        run(script)
    assert compared[0] > 1000


def test_a_job_that_is_given_while_a_punch_waits_goes_with_it(tmp_path: Path) -> None:
    """The link is down, Anna taps, then the office says what she works at: it is on the timesheet, once."""

    async def story(town: Town) -> None:
        job = town.sandbox.company.add_job("Kitchen")
        kiosk = await town.kiosk()
        kiosk.offline()
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 08:30")
        user_id = town.ids["Anna"]
        await kiosk.built.kiosk.directory.import_csv(
            f"user_id,name,badge,job_id\n{user_id},Anna,,{job.id}\n".encode(), by="test"
        )
        kiosk.online()
        await asyncio.sleep(300)
        assert town.sheet() == ["Anna Mon 08:00:00 - open"]
        assert [shift.job_id for shift in town.sandbox.company.shifts.values()] == [job.id]

    in_town(tmp_path, story)
