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
        bench.delivery._policy = replace(bench.delivery._policy, snapshots=True)
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
