"""A reload changes the owner's rules while delivery runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from daemon.delivery.policy import CLOSE_WITHIN_SLOW_S, Policy
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


def test_an_owner_who_allows_one_request_a_minute_gets_late_ends_set_as_well(tmp_path: Path) -> None:
    """The read and the update are a minute apart then, and that has to do."""

    async def story(bench: Bench) -> None:
        bench.delivery.pacer.requests_per_minute = 1
        bench.delivery.change_rules(Policy(close_within_s=CLOSE_WITHIN_SLOW_S))
        came = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(10 * 60)
        assert await bench.state(came) == ("delivered", None)
        bench.sandbox.cable.cut()
        await asyncio.sleep(8 * HOUR)
        left = await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(12 * HOUR)
        bench.sandbox.cable.restore()
        bench.delivery.network_changed()
        await asyncio.sleep(HOUR)
        assert await bench.state(left) == ("delivered", None)

    on_bench(tmp_path, story)
