"""What damage made forgotten and a manager has changed since: no punch stands there twice, and none is lost."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.model import PunchState
from daemon.queue import people
from daemon.queue.copying import read_all
from daemon.queue.lines import encode
from daemon.queue.salvage import salvage
from daemon.queue.salvaged import Seen
from sandbox.connecteam.model import Shift
from sandbox.faults import Kind
from sandbox.handle import TIME_CLOCK_ID
from tests.simulation.virtual import VirtualTimeLoop, run_virtual
from tests.support.delivery_bench import ANNA, Bench

HOUR = 3600
Story = Callable[[Bench], Awaitable[None]]


def forget(path: Path, *, punch_ids: tuple[str, ...] = (), attempts: bool = True) -> None:
    """Damage: where these punches (none named: all) stand is gone from the database."""
    with closing(sqlite3.connect(path)) as conn:
        for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            conn.execute(f"DROP TRIGGER {name}")
        which, ids = "", punch_ids
        if punch_ids:
            which = f" WHERE punch_seq IN (SELECT seq FROM punches WHERE id IN ({', '.join('?' * len(punch_ids))}))"
        conn.execute(f"DELETE FROM deliveries{which}", ids)
        if attempts:
            conn.execute(f"DELETE FROM attempts{which}", ids)
        conn.commit()


def salvaged(bench: Bench) -> None:
    """What a start does with it, without a second copy."""
    salvage(bench.directory / "punchd.db", None, "for this test", Seen(bench.clock.true_now, known=True))


def told(tmp_path: Path, before: Story, between: Callable[[Bench], None], after: Story, *, copy: bool = False) -> None:
    """A story with damage, and ten minutes without power, between its two halves."""

    async def main(loop: VirtualTimeLoop) -> None:
        bench = Bench(loop, tmp_path)
        bench.copy = tmp_path / "punchd.copy" if copy else None
        await bench.start()
        await before(bench)
        await bench.crash()
        between(bench)
        await asyncio.sleep(600)
        await bench.start()
        await asyncio.sleep(HOUR)
        await after(bench)
        await bench.crash()

    run_virtual(main)


def moved(bench: Bench, start_s: int, end_s: int = 0, *, by: str = "admin") -> None:
    """A manager gives the one shift other times; a start of another program's name is a server that rounds."""
    (shift,) = bench.sandbox.company.shifts.values()
    end = None if shift.end is None or not end_s else shift.end.at + end_s
    bench.sandbox.manager.edit_shift(shift.id, start=shift.start.at + start_s if start_s else None, end=end)
    if by != "admin":
        shift.start = replace(shift.start, source=by)


@pytest.mark.parametrize(
    ("moved_s", "closed", "by"),
    [
        (0, True, "admin"),
        (60, True, "api"),
        (14 * 60, True, "api"),
        (14 * 60, True, "admin"),
        (30 * 60, True, "api"),
        (30 * 60, True, "admin"),
        (30 * 60, False, "admin"),
        (-30 * 60, True, "admin"),
        (100 * 60, True, "admin"),
        (-5 * HOUR, True, "admin"),
        (-5 * HOUR, False, "admin"),
    ],
)
def test_a_forgotten_delivery_is_not_made_again_beside_the_changed_one(tmp_path, moved_s, closed, by):
    """No second shift however far its start was moved: as it was tapped it is known again, else a person looks."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=7200)
        if closed:
            await bench.punch(ANNA, "clock_out", ago_s=60)
        await asyncio.sleep(120)
        assert await bench.all_delivered()

    def between(bench: Bench) -> None:
        moved(bench, moved_s, by=by)
        forget(bench.directory / "punchd.db")
        salvaged(bench)

    async def after(bench: Bench) -> None:
        assert len(bench.sheet()) == 1
        assert bench.requests("clock-in") == ["POST clock-in"]
        assert await bench.state("P001") == (
            (PunchState.DELIVERED, None) if not moved_s else (PunchState.REVIEW, "outcome_unclear")
        )
        if closed:
            assert await bench.state("P002") == (PunchState.DELIVERED, None)

    told(tmp_path, before, between, after)


def test_a_start_that_was_moved_though_its_clock_out_is_known_to_be_delivered(tmp_path):
    """That the clock-out's delivery names the shift does not make the shift another's."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=7200)
        await bench.punch(ANNA, "clock_out", ago_s=60)
        await asyncio.sleep(120)

    def between(bench: Bench) -> None:
        moved(bench, 600)
        forget(bench.directory / "punchd.db", punch_ids=("P001",))
        salvaged(bench)

    async def after(bench: Bench) -> None:
        assert len(bench.sheet()) == 1
        assert await bench.state("P001") == (PunchState.REVIEW, "outcome_unclear")

    told(tmp_path, before, between, after)


@pytest.mark.parametrize("ends", ["end moved", "both moved"])
def test_an_end_that_was_moved_is_not_written_again(tmp_path, ends):
    """Of a forgotten clock-out a person is told what stands there; its shift keeps what the manager gave it."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=7200)
        await bench.punch(ANNA, "clock_out", ago_s=60)
        await asyncio.sleep(120)

    def between(bench: Bench) -> None:
        moved(bench, 1800 if ends == "both moved" else 0, -1800)
        forget(bench.directory / "punchd.db")
        salvaged(bench)
        bench.sheet_before = bench.sheet()  # type: ignore[attr-defined]

    async def after(bench: Bench) -> None:
        assert bench.sheet() == bench.sheet_before  # type: ignore[attr-defined]
        first, last = await bench.state("P001"), await bench.state("P002")
        if ends == "both moved":
            assert (first, last) == (("review", "outcome_unclear"), ("held", "earlier_punch_in_review"))
        else:
            assert (first, last) == (("delivered", None), ("review", "already_clocked_out"))

    told(tmp_path, before, between, after)


def test_what_never_left_goes_after_all_when_the_persons_other_punches_explain_the_day(tmp_path):
    """Shifts of the same day that are other punches' own are no reason to hold back what the damage made doubtful."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=10 * HOUR)
        await bench.punch(ANNA, "clock_out", ago_s=8 * HOUR)
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        await bench.delivery.pause("uid:0")
        await bench.punch(ANNA, "clock_in", ago_s=6 * HOUR)
        await bench.punch(ANNA, "clock_out", ago_s=1 * HOUR)

    def between(bench: Bench) -> None:
        forget(bench.directory / "punchd.db")
        salvaged(bench)

    async def after(bench: Bench) -> None:
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        punches = await bench.punches()
        assert bench.sheet() == [(ANNA, punches[i].second, punches[i + 1].second) for i in (0, 2)]

    told(tmp_path, before, between, after)


def test_a_person_who_compared_lets_it_go(tmp_path):
    """The manager's own entry of that day makes the punch doubtful; retried by a person it is sent."""

    async def before(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        await bench.punch(ANNA, "clock_in", ago_s=3 * HOUR)
        await bench.punch(ANNA, "clock_out", ago_s=2 * HOUR)
        await asyncio.sleep(60)

    def between(bench: Bench) -> None:
        bench.sandbox.manager.add_shift(ANNA, bench.second(HOUR), bench.second(HOUR // 2))
        forget(bench.directory / "punchd.db")
        salvaged(bench)

    async def after(bench: Bench) -> None:
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.state("P001") == ("review", "outcome_unclear")
        await bench.delivery.retry(["P001"], by="uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        assert len(bench.sheet()) == 2

    told(tmp_path, before, between, after)


@pytest.mark.parametrize("closed", [True, False])
def test_what_was_out_when_the_power_went_and_was_moved_before_it_came_back(tmp_path, closed):
    """Nothing is damaged: the answer was lost with the power, and the shift has another start when it is looked up."""

    async def before(bench: Bench) -> None:
        bench.sandbox.faults.set(kind=Kind.RESET, path="*/clock-in", processed=True, count=1)
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(3)
        assert len(bench.sheet()) == 1

    def between(bench: Bench) -> None:
        if closed:
            bench.sandbox.manager.close_shift(ANNA)
        moved(bench, -HOUR, 0)

    async def after(bench: Bench) -> None:
        assert len(bench.sheet()) == 1
        assert await bench.state("P001") == (PunchState.REVIEW, "outcome_unclear")

    told(tmp_path, before, between, after)


# --- reviews


@pytest.mark.parametrize("sent_since", [False, True])
@pytest.mark.parametrize("why", ["not_assigned", "locked_days", "job_required", "overlaps_existing_shift"])
def test_a_salvaged_review_heals_by_itself(tmp_path, why, sent_since):
    """When the obstacle is gone it goes, once: also where it had been sent after all and that was forgotten."""
    kept: list[Shift] = []

    async def before(bench: Bench) -> None:
        start, end = bench.second(3 * HOUR), bench.second(2 * HOUR)
        if why == "not_assigned":
            bench.sandbox.manager.unassign(ANNA)
        elif why == "locked_days":
            bench.sandbox.manager.lock_day(ANNA, start)
        elif why == "job_required":
            bench.sandbox.company.clocks[TIME_CLOCK_ID].job_required = True
        else:
            kept.append(bench.sandbox.manager.add_shift(ANNA, start - 600, end + 600))
        await bench.punch(ANNA, "clock_in", ago_s=3 * HOUR)
        await asyncio.sleep(60)
        assert await bench.state("P001") == ("review", why)
        if sent_since:
            bench.sandbox.manager.add_shift(ANNA, start, end, source="api")

    def between(bench: Bench) -> None:
        salvaged(bench)

    async def after(bench: Bench) -> None:
        if why == "not_assigned":
            bench.sandbox.manager.assign(ANNA)
        elif why == "locked_days":
            bench.sandbox.manager.unlock_day(ANNA, bench.second(4 * HOUR))
        elif why == "job_required":
            job = bench.sandbox.company.add_job("Kitchen", clocks={TIME_CLOCK_ID})
            await bench.db.write(lambda conn: people.put_employee(conn, ANNA, "Anna", job.id))
        else:
            bench.sandbox.manager.delete_shift(kept[0].id)
        await asyncio.sleep(5 * HOUR)
        assert await bench.state("P001") == ("delivered", None)
        punch = (await bench.punches())[0]
        assert [start for _, start, _ in bench.sheet()] == [punch.second]

    told(tmp_path, before, between, after)


# --- the second copy


def test_a_review_that_only_the_copy_remembers_heals_by_itself(tmp_path):
    """The database is gone with the card; what the manager mends afterwards is taken up all the same."""

    async def before(bench: Bench) -> None:
        bench.sandbox.manager.unassign(ANNA)
        await bench.punch(ANNA, "clock_in", ago_s=HOUR)
        await asyncio.sleep(60)

    def between(bench: Bench) -> None:
        for file in bench.directory.glob("punchd.db*"):
            file.unlink()

    async def after(bench: Bench) -> None:
        assert await bench.state("P001") == ("review", "not_assigned")
        bench.sandbox.manager.assign(ANNA)
        await asyncio.sleep(5 * HOUR)
        assert await bench.state("P001") == ("delivered", None)
        assert len(bench.sheet()) == 1

    told(tmp_path, before, between, after, copy=True)


def test_a_delivery_that_only_the_copy_knows_is_believed(tmp_path):
    """The database of before the delivery beside the copy of after it, and the start was moved: nothing is sent."""

    async def before(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        await bench.punch(ANNA, "clock_in", ago_s=7200)
        await bench.punch(ANNA, "clock_out", ago_s=60)
        await bench.crash()
        shutil.copytree(bench.directory, bench.directory / "before", ignore=shutil.ignore_patterns("before"))
        await bench.start()
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(120)
        assert await bench.all_delivered()

    def between(bench: Bench) -> None:
        moved(bench, 1800)
        for file in (bench.directory / "before").glob("punchd.db*"):
            shutil.copy(file, bench.directory / file.name)

    async def after(bench: Bench) -> None:
        assert len(bench.sheet()) == 1
        assert await bench.all_delivered()

    told(tmp_path, before, between, after, copy=True)


def test_neither_the_database_nor_the_copy_remembers_the_delivery(tmp_path):
    """The punch itself survives in the copy alone, its mark is torn away, and the start was moved: not sent again."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=7200)
        await bench.punch(ANNA, "clock_out", ago_s=60)
        await asyncio.sleep(120)
        assert await bench.all_delivered()

    def between(bench: Bench) -> None:
        assert bench.copy is not None
        moved(bench, 1800)
        lines = [line for line in read_all(bench.copy) if line is not None and line["is"] != "mark"]
        bench.copy.write_bytes(b"".join(encode(line) for line in lines))
        for file in bench.directory.glob("punchd.db*"):
            file.unlink()

    async def after(bench: Bench) -> None:
        assert len(bench.sheet()) == 1
        assert await bench.state("P001") == (PunchState.REVIEW, "outcome_unclear")
        assert await bench.state("P002") == (PunchState.DELIVERED, None)

    told(tmp_path, before, between, after, copy=True)
