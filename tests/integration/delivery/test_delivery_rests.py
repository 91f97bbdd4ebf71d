"""Delivery at rest: a spent day is waited for, not asked again and again; an outage has nobody planned in vain."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.delivery import planning
from daemon.model import PunchState
from daemon.queue.deliveries import set_state
from sandbox.connecteam.limits import Plan
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600


def test_a_read_that_the_day_does_not_allow_is_waited_for(tmp_path: Path) -> None:
    """Only the reserve is left, and a read that nothing waits for would be due: the loop sleeps until the day ends."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = Plan("tiny", 100, 3)
        planning = bench.delivery._planning
        planning.policy = replace(planning.policy, snapshots=True)
        turns = 0
        turn = bench.delivery._turn

        async def counted() -> float | None:
            nonlocal turns
            turns += 1
            return await turn()

        bench.delivery._turn = counted  # type: ignore[method-assign]
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(120)
        assert bench.delivery.pacer.ready_at(bench.timekeeper.now(), live=False) > bench.timekeeper.now()
        assert turns <= 200
        await asyncio.sleep(10 * HOUR)
        assert turns <= 200

    on_bench(tmp_path, story)


def test_a_probe_for_the_clock_that_the_day_does_not_allow_is_waited_for(tmp_path: Path) -> None:
    """Nothing vouches for the clock, something waits, and the day is spent: the loop sleeps until the day ends."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = Plan("tiny", 100, 2)
        for _ in range(2):
            await bench.punch(ANNA, "clock_in")
            await asyncio.sleep(120)
        turns = 0
        turn = bench.delivery._turn

        async def counted() -> float | None:
            nonlocal turns
            turns += 1
            return await turn()

        bench.delivery._turn = counted  # type: ignore[method-assign]
        bench.clock.reboot()
        await bench.punch(ANNA, "clock_out", known=False)
        assert bench.delivery.pacer.ready_at(bench.timekeeper.now(), live=True) > bench.timekeeper.now() + HOUR
        await asyncio.sleep(HOUR)
        assert turns <= 200

    on_bench(tmp_path, story)


def test_a_clock_in_that_is_retried_after_it_expired_takes_its_held_clock_out_along(tmp_path: Path) -> None:
    """In review in time, its clock-out held, retried too late for either to go live: one completed shift."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.unassign(ANNA)
        came, first = bench.second(300), await bench.punch(ANNA, "clock_in", ago_s=300)
        left, last = bench.second(100), await bench.punch(ANNA, "clock_out", ago_s=100)
        await asyncio.sleep(60)
        assert await bench.state(last) == ("held", "earlier_punch_in_review")
        await asyncio.sleep(13 * HOUR)
        bench.sandbox.manager.assign(ANNA)
        if (await bench.state(first))[0] == "review":
            await bench.delivery.retry([first], by="uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        assert bench.sheet() == [(ANNA, came, left)]

    on_bench(tmp_path, story)


@pytest.mark.parametrize("review", [False, True])
def test_through_an_outage_only_who_is_tried_for_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, review: bool
) -> None:
    """Three wait for a read, or are in review: each vain try plans its own lane, and shows nothing of the others."""

    async def story(bench: Bench) -> None:
        bench.sandbox.cable.cut()
        for hours, user_id in enumerate((ANNA, BOB, CARL)):
            punch = await bench.punch(user_id, "clock_in", ago_s=(5 - hours) * HOUR)
            if review:
                await bench.db.write(
                    lambda conn, id_=punch: set_state(conn, id_, PunchState.REVIEW, at=0.0, reason="refused")
                )
        bench.delivery.wake()
        await asyncio.sleep(HOUR)
        planned, plan_lane = Counter[str](), planning.plan_lane

        def counted(lane: Any, *more: Any) -> Any:
            planned[lane[0].punch.user_id] += 1
            return plan_lane(lane, *more)

        monkeypatch.setattr(planning, "plan_lane", counted)
        await asyncio.sleep(3 * HOUR)
        assert set(planned) == (set() if review else {ANNA})
        bench.sandbox.cable.restore()
        await asyncio.sleep(2 * HOUR)
        assert set(planned) == {ANNA, BOB, CARL}

    on_bench(tmp_path, story)
