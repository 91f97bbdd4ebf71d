"""A reload changes the owner's rules while delivery runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon.delivery.policy import Policy
from tests.support.delivery_bench import ANNA, BOB, Bench, on_bench

HOUR = 3600


def test_a_shorter_longest_shift_counts_from_the_reload_on(tmp_path: Path) -> None:
    """What went before stands; the next shift of five hours is too long for four, on the same running loop."""

    async def story(bench: Bench) -> None:
        before = [await bench.punch(ANNA, "clock_in")]
        await asyncio.sleep(5 * HOUR)
        before.append(await bench.punch(ANNA, "clock_out"))
        await asyncio.sleep(60)
        bench.delivery.change_rules(Policy(max_shift_s=4 * HOUR))
        await bench.punch(BOB, "clock_in")
        await asyncio.sleep(5 * HOUR)
        left = await bench.punch(BOB, "clock_out")
        await asyncio.sleep(60)
        assert [await bench.state(punch) for punch in before] == [("delivered", None)] * 2
        assert await bench.state(left) == ("review", "shift_too_long")

    on_bench(tmp_path, story)
