"""Requests that write are lost for hours while reads are answered: few are made, and nothing waits long after.

What is lost is known only by its absence from two reads, so each try is three requests or four; tries share one pause
that grows, and who was sent in vain again and again waits longer than others.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from daemon.model import PunchState
from daemon.queue import people
from daemon.queue.deliveries import history
from sandbox.faults import Fault, Kind
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600
CROWD = [str(1000 + number) for number in range(40)]


async def hire(bench: Bench, user_ids: list[str]) -> None:
    """More people, in the company and in the directory."""

    def store(conn: object) -> None:
        for user_id in user_ids:
            people.put_employee(conn, user_id, f"Person {user_id}", None)  # type: ignore[arg-type]

    for user_id in user_ids:
        bench.sandbox.company.add_user(user_id, f"Person {user_id}")
    await bench.db.write(store)


def lose_writes(bench: Bench, user_id: str | None = None, count: int | None = None) -> Fault:
    """From now on no POST (of this person) arrives, while everything else is answered."""
    return bench.sandbox.faults.set(kind=Kind.DROP, method="POST", processed=False, user_id=user_id, count=count)


async def lose_behind_a_phone(bench: Bench, after_s: float) -> str:
    """Anna's phone ends her shift; her clock-out here, so long after, never arrives, and both looks pass."""
    bench.sandbox.manager.phone_clock_out(ANNA)
    await asyncio.sleep(after_s)
    lose_writes(bench, count=1)
    lost = await bench.punch(ANNA, "clock_out")
    await asyncio.sleep(600)
    return lost


async def delivered_at(bench: Bench, punch_id: str) -> float:
    """When a punch was delivered; infinity where it is not."""
    lines = (await bench.db.read(lambda conn: history(conn, punch_id))).journal
    return next((line["at"] for line in lines if line["action"] == "punch.delivered"), float("inf"))


async def wrote(bench: Bench, punch_id: str) -> int:
    """How many requests were made for a punch."""
    return len((await bench.history(punch_id)).attempts)


def test_ten_hours_of_lost_writes_cost_no_more_for_many_people(tmp_path: Path) -> None:
    """Forty people come within an hour and nothing that is written arrives until the evening: a few hundred requests.

    Status calls that offline, with the next try in sight. A quarter of an hour after it ended everything stands there,
    once.
    """

    async def story(bench: Bench) -> None:
        await hire(bench, CROWD)
        await asyncio.sleep(60)
        fault, before = lose_writes(bench), len(bench.requests())
        for user_id in CROWD:
            await bench.punch(user_id, "clock_in")
            await asyncio.sleep(90)
        seen = set()
        for _ in range(9):
            await asyncio.sleep(HOUR)
            status = bench.delivery.status()
            seen.add(status.state)
            assert status.detail is not None
            assert "reads" in status.detail
            assert status.next_try_at is None or status.next_try_at <= bench.timekeeper.now() + 300
        assert seen == {"offline"}
        assert len(bench.requests()) - before <= 800
        assert bench.sheet() == []
        bench.sandbox.faults.clear(fault.id)
        await asyncio.sleep(15 * 60)
        assert await bench.all_delivered()
        assert sorted(row[0] for row in bench.sheet()) == CROWD
        assert bench.delivery.status().state == "online"
        assert bench.delivery.status().detail is None

    on_bench(tmp_path, story)


def test_a_lost_request_is_made_again_as_soon_as_it_is_known_to_be_lost(tmp_path: Path) -> None:
    """Once, and once more, as in a bad minute: each time after the second look and not later."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        for count in (1, 2):
            lose_writes(bench, count=count)
            punch, at = await bench.punch((ANNA, BOB)[count - 1], "clock_in"), bench.timekeeper.now()
            await asyncio.sleep(HOUR)
            assert await delivered_at(bench, punch) - at < count * 52 + 3
            assert await wrote(bench, punch) == count + 1

    on_bench(tmp_path, story)


def test_one_whose_requests_are_lost_holds_up_nobody(tmp_path: Path) -> None:
    """Two people's writes never arrive: everybody else's go within seconds, theirs are tried a dozen times an hour."""

    async def story(bench: Bench) -> None:
        await hire(bench, CROWD)
        await asyncio.sleep(60)
        faults = [lose_writes(bench, user_id) for user_id in (ANNA, BOB)]
        unlucky = [await bench.punch(user_id, "clock_in") for user_id in (ANNA, BOB)]
        for user_id in CROWD:
            await asyncio.sleep(613)
            punch, at = await bench.punch(user_id, "clock_in"), bench.timekeeper.now()
            await asyncio.sleep(30)
            assert await delivered_at(bench, punch) - at < 10
        for punch in unlucky:
            assert await wrote(bench, punch) <= 15 * 7  # in seven hours
        for fault in faults:
            bench.sandbox.faults.clear(fault.id)
        await asyncio.sleep(11 * 60)
        assert await bench.all_delivered()
        assert len(bench.sheet()) == len(CROWD) + 2

    on_bench(tmp_path, story)


def test_who_was_never_tried_is_tried_before_those_who_were_in_vain(tmp_path: Path) -> None:
    """Six people's writes never arrive; a seventh's and a good one come together: that waits for one pause."""

    async def story(bench: Bench) -> None:
        await hire(bench, CROWD)
        await asyncio.sleep(60)
        *unlucky, seventh, good = CROWD[:8]
        for user_id in (*unlucky, seventh):
            lose_writes(bench, user_id)
        for user_id in unlucky:
            await bench.punch(user_id, "clock_in")
        await asyncio.sleep(3 * HOUR)
        await bench.punch(seventh, "clock_in")
        punch, at = await bench.punch(good, "clock_in"), bench.timekeeper.now()
        await asyncio.sleep(HOUR)
        assert await delivered_at(bench, punch) - at < 310

    on_bench(tmp_path, story)


def test_no_pause_lets_a_punch_leave_the_reach_untried(tmp_path: Path) -> None:
    """What is about to leave the service's reach is tried in its last minute, whoever was to be tried next."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        fault = lose_writes(bench)
        first, at = await bench.punch(ANNA, "clock_in"), bench.timekeeper.now()
        await asyncio.sleep(5 * 60)
        second = await bench.punch(BOB, "clock_in")
        third = await bench.punch(CARL, "clock_in")
        expires_at = at + bench.policy.reach_s
        await asyncio.sleep(expires_at - 75 - bench.timekeeper.now())
        assert (await wrote(bench, first)) > 0
        bench.sandbox.faults.clear(fault.id)
        bench.delivery.gate._writes_until = bench.timekeeper.now() + 290  # as if the longest pause had just begun
        await asyncio.sleep(70)
        assert await delivered_at(bench, first) <= expires_at
        await asyncio.sleep(15 * 60)
        assert (await bench.state(second), await bench.state(third)) == (("delivered", None),) * 2

    on_bench(tmp_path, story)


def test_lost_answers_alone_slow_down_nobody(tmp_path: Path) -> None:
    """No answer to what writes comes back, but all of it arrives: the first look shows that, and the next one goes."""

    async def story(bench: Bench) -> None:
        await hire(bench, CROWD)
        await asyncio.sleep(60)
        bench.sandbox.faults.set(kind=Kind.DROP, method="POST", processed=True)
        for user_id in CROWD:
            punch, at = await bench.punch(user_id, "clock_in"), bench.timekeeper.now()
            await asyncio.sleep(20)
            assert await delivered_at(bench, punch) - at < 12
        assert bench.delivery.status().state == "online"
        assert len(bench.sheet()) == len(CROWD)

    on_bench(tmp_path, story)


def test_whoever_asks_for_a_sync_waits_for_no_pause(tmp_path: Path) -> None:
    """After hours of it, `sync now`: what waits goes at once."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        fault = lose_writes(bench)
        for user_id in (ANNA, BOB, CARL):
            await bench.punch(user_id, "clock_in")
        await asyncio.sleep(3 * HOUR)
        for _ in range(60):
            if all(punch.state is PunchState.PENDING for punch in await bench.punches()):
                break
            await asyncio.sleep(1)
        bench.sandbox.faults.clear(fault.id)
        await bench.delivery.sync_now()
        await asyncio.sleep(10)
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


def test_where_nothing_is_left_to_write_it_does_not_stay_offline(tmp_path: Path) -> None:
    """Nobody writes any more: a person decided. Ten minutes after the last try status says so, and so do the events."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        lose_writes(bench)
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(3 * HOUR)
        for _ in range(60):  # it is in flight until its second look
            if (await bench.state(punch))[0] == "pending":
                break
            await asyncio.sleep(1)
        await bench.delivery.discard(punch, reason="typed in by hand", by="test")
        assert bench.delivery.status().state == "offline"
        async with bench.events.watch() as watch:
            await asyncio.sleep(11 * 60)
            assert "delivery.online" in [watch.get_nowait().name for _ in range(watch.qsize())]
        assert (bench.delivery.status().state, bench.delivery.status().detail) == ("online", None)

    on_bench(tmp_path, story)


def test_a_record_of_last_week_that_cannot_be_read_does_not_keep_a_lost_clock_out_unknown(tmp_path: Path) -> None:
    """A phone had ended its shift: what else it may have ended is looked for; where that fails, its looks must do."""

    async def story(bench: Bench) -> None:
        shift = bench.sandbox.manager.add_shift(ANNA, bench.second(240 * HOUR), bench.second(239 * HOUR))
        assert shift.end is not None
        shift.end = replace(shift.end, at=0)
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(4 * HOUR)
        lost = await lose_behind_a_phone(bench, 600)
        assert await bench.state(lost) == ("review", "already_clocked_out")
        later = [await bench.punch(ANNA, "clock_in")]
        await asyncio.sleep(4 * HOUR)
        later.append(await bench.punch(ANNA, "clock_out"))
        await asyncio.sleep(HOUR)
        assert [await bench.state(one) for one in later] == [("delivered", None)] * 2

    on_bench(tmp_path, story)


def test_a_lost_clock_out_is_not_told_of_the_one_before_it(tmp_path: Path) -> None:
    """Out, in again after four minutes, a phone ends that, and the next clock-out is lost: the first is not near it."""

    async def story(bench: Bench) -> None:
        for direction, pause_s in (("clock_in", 4 * HOUR), ("clock_out", 240), ("clock_in", 120)):
            await bench.punch(ANNA, direction)
            await asyncio.sleep(pause_s)
        lost = await lose_behind_a_phone(bench, 120)
        assert await bench.state(lost) == ("review", "already_clocked_out")

    on_bench(tmp_path, story)
