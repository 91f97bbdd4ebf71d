"""Delivery at rest: a day whose budget is spent is waited for, not asked again and again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from sandbox.connecteam.limits import Plan
from tests.support.delivery_bench import ANNA, Bench, on_bench

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
