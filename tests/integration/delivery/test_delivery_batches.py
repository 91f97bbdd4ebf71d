"""Completed shifts of many people share one request, and each is settled by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandbox.connecteam.behaviour import Behaviour
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600
CREATE = "POST time-activities"


async def yesterday(bench: Bench) -> list[tuple[str, int, int | None]]:
    """A shift of each person that is too old to go live; what the timesheet must say."""
    await bench.delivery.pause("uid:0")
    for person in (ANNA, BOB, CARL):
        await bench.punch(person, "clock_in", ago_s=20 * HOUR)
        await bench.punch(person, "clock_out", ago_s=13 * HOUR)
    await bench.delivery.resume("uid:0")
    return [(person, bench.second(20 * HOUR), bench.second(13 * HOUR)) for person in (ANNA, BOB, CARL)]


def test_three_peoples_shifts_take_one_request_and_one_read_back(tmp_path: Path) -> None:
    """One read before, one request, one read after: three requests for six punches."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        wanted = await yesterday(bench)
        await asyncio.sleep(60)
        assert bench.sheet() == wanted
        assert await bench.all_delivered()
        assert bench.requests("time-activities") == ["GET time-activities", CREATE, "GET time-activities"]
        assert bench.delivery.status().state == "online"

    on_bench(tmp_path, story)


@pytest.mark.parametrize("processed", [True, False])
@pytest.mark.parametrize("kind", [Kind.DROP, Kind.STATUS, Kind.EMPTY, Kind.TRUNCATED])
def test_a_lost_answer_to_several_shifts_doubles_none(tmp_path: Path, kind: Kind, processed: bool) -> None:
    """Each is looked for in the read-back; those that are absent go again, one person a request."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sandbox.faults.set(kind=kind, path="*/time-activities", method="POST", count=1, processed=processed)
        wanted = await yesterday(bench)
        await asyncio.sleep(200)
        assert bench.sheet() == wanted
        assert await bench.all_delivered()
        assert bench.requests().count(CREATE) == (1 if processed else 4)

    on_bench(tmp_path, story)


@pytest.mark.parametrize("atomic", [True, False])
def test_one_persons_locked_day_counts_against_that_person_only(tmp_path: Path, atomic: bool) -> None:
    """Whether the service refuses the whole or takes the others: only an answer to Bob's alone moves Bob to review."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sandbox.company.behaviour = Behaviour(batch_atomic=atomic)
        bench.sandbox.manager.lock_day(BOB, bench.second(20 * HOUR))
        bench.sandbox.manager.lock_day(BOB, bench.second(13 * HOUR))
        wanted = await yesterday(bench)
        await asyncio.sleep(300)
        assert bench.sheet() == [row for row in wanted if row[0] != BOB]
        states = {(p.user_id, p.state.value, p.reason) for p in await bench.punches()}
        assert states == {
            (ANNA, "delivered", None),
            (CARL, "delivered", None),
            (BOB, "review", "locked_days"),
        }

    on_bench(tmp_path, story)


def test_a_crash_while_several_shifts_are_out_doubles_none(tmp_path: Path) -> None:
    """Killed with the request processed: after the restart every one is found."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sandbox.faults.set(path="*/time-activities", method="POST", hold=True, when="after", count=1)
        wanted = await yesterday(bench)
        await asyncio.sleep(5)
        await bench.crash()
        bench.sandbox.release()
        await bench.start()
        await asyncio.sleep(120)
        assert bench.sheet() == wanted
        assert bench.requests().count(CREATE) == 1

    on_bench(tmp_path, story)


@pytest.mark.parametrize("typed_in", [(BOB,), (ANNA, CARL)], ids=["a mate's", "the first one's and a mate's"])
def test_what_was_typed_in_through_an_outage_is_seen_for_each_of_them(
    tmp_path: Path, typed_in: tuple[str, ...]
) -> None:
    """Read, then three hours without a network: none goes along by what was read before it."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sandbox.faults.set(kind=Kind.REFUSE, path="*/time-activities", method="POST", count=1)
        wanted = await yesterday(bench)
        await asyncio.sleep(0.3)
        assert bench.requests("time-activities") == ["GET time-activities"]
        bench.sandbox.cable.cut()
        await asyncio.sleep(3 * HOUR)
        theirs = [(person, start + 60, end + 60) for person, start, end in wanted if person in typed_in and end]
        for person, start, end in theirs:
            bench.sandbox.manager.add_shift(person, start, end)
        bench.sandbox.cable.restore()
        await asyncio.sleep(15 * 60)
        assert sorted(bench.sheet()) == sorted(theirs + [row for row in wanted if row[0] not in typed_in])
        reasons = {p.user_id: p.reason for p in await bench.punches()}
        assert reasons == {p: "overlaps_existing_shift" if p in typed_in else None for p in (ANNA, BOB, CARL)}

    on_bench(tmp_path, story)
