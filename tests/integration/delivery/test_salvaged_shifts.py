"""What a salvage made doubtful and never left is delivered after all, however old it is by then."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.queue.deliveries import SALVAGED
from tests.integration.test_salvaged_and_changed import HOUR, Story, forget, salvaged, told
from tests.support.delivery_bench import ANNA, Bench


async def shift_kept_here(bench: Bench, begun_h: float, ended_h: float) -> None:
    """Both taps are stored, and nothing was sent: the kiosk is without a network."""
    await bench.delivery.pause("uid:0")
    await bench.punch(ANNA, "clock_in", ago_s=begun_h * HOUR)
    await bench.punch(ANNA, "clock_out", ago_s=ended_h * HOUR)


@pytest.mark.parametrize("forgotten", [True, False])
@pytest.mark.parametrize(("begun_h", "ended_h"), [(6, 1), (12.5, 11), (14, 6), (20, 14), (60, 52)])
def test_a_shift_that_never_left_is_recorded_after_a_salvage(tmp_path, begun_h, ended_h, forgotten):
    """Beyond the look-back as one completed shift, each half looked up first; within it live. Nobody is asked."""

    async def before(bench: Bench) -> None:
        await shift_kept_here(bench, begun_h, ended_h)

    def between(bench: Bench) -> None:
        if forgotten:
            forget(bench.directory / "punchd.db")
        salvaged(bench)

    async def after(bench: Bench) -> None:
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        start, end = await bench.punches()
        assert bench.sheet() == [(ANNA, start.second, end.second)]
        for one in (start, end):
            outcomes = [attempt.outcome for attempt in (await bench.history(one.id)).attempts]
            assert outcomes == ["absent", "done"]

    told(tmp_path, before, between, after)


def test_days_without_a_network_then_a_salvage(tmp_path):
    """A week of whole shifts of one person, all kept here, all in doubt: each stands there once, at its own times."""

    async def before(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        for day in range(6, -1, -1):
            await bench.punch(ANNA, "clock_in", ago_s=(24 * day + 10) * HOUR)
            await bench.punch(ANNA, "clock_out", ago_s=(24 * day + 2) * HOUR)

    async def after(bench: Bench) -> None:
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(4 * HOUR)
        assert await bench.all_delivered()
        starts, ends = (await bench.punches())[::2], (await bench.punches())[1::2]
        assert sorted(bench.sheet()) == [(ANNA, a.second, b.second) for a, b in zip(starts, ends, strict=True)]

    told(tmp_path, before, salvaged, after)


def test_a_recorded_shift_that_was_forgotten_is_found_and_not_made_again(tmp_path):
    """The same two taps, delivered as a completed shift before the damage: both halves are found in it."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=20 * HOUR)
        await bench.punch(ANNA, "clock_out", ago_s=14 * HOUR)
        await asyncio.sleep(300)
        assert await bench.all_delivered()

    def between(bench: Bench) -> None:
        forget(bench.directory / "punchd.db")
        salvaged(bench)

    async def after(bench: Bench) -> None:
        assert await bench.all_delivered()
        assert len(bench.sheet()) == 1

    told(tmp_path, before, between, after)


def test_longer_shifts_that_are_allowed_after_a_salvage_go(tmp_path):
    """What was too long, and in doubt since, is looked up and then recorded when the limit is raised."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=40 * HOUR)
        await bench.punch(ANNA, "clock_out", ago_s=20 * HOUR)
        await asyncio.sleep(300)
        assert [punch.reason for punch in await bench.punches()] == ["shift_too_long"] * 2

    def between(bench: Bench) -> None:
        salvaged(bench)
        bench.policy = replace(bench.policy, max_shift_s=24 * HOUR)

    async def after(bench: Bench) -> None:
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        start, end = await bench.punches()
        assert bench.sheet() == [(ANNA, start.second, end.second)]

    told(tmp_path, before, between, after)


def test_a_clock_out_that_turns_up_after_a_salvage_frees_its_clock_in(tmp_path):
    """Given up for want of it, and in doubt since: looked up, then one completed shift."""

    async def before(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=30 * HOUR)
        await asyncio.sleep(300)
        assert await bench.state("P001") == ("review", "missing_clock_out")

    async def after(bench: Bench) -> None:
        assert await bench.state("P001") == ("review", "missing_clock_out")
        await bench.punch(ANNA, "clock_out", ago_s=24 * HOUR, stated=True)
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        assert len(bench.sheet()) == 1

    told(tmp_path, before, salvaged, after)


@pytest.mark.parametrize("clock_out", ["held", "pending"])
def test_a_database_that_an_earlier_version_left_stuck_comes_free(tmp_path, clock_out):
    """Its clock-out waits with a request nobody knows the outcome of: looked up by itself; a retry then sends both."""

    async def after(bench: Bench) -> None:
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.state("P002") == ("held", "earlier_punch_in_review")
        assert [attempt.outcome for attempt in (await bench.history("P002")).attempts] == ["absent"]
        await bench.delivery.retry(["P001"], by="uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        assert len(bench.sheet()) == 1

    left_stuck(tmp_path, clock_out, after)


@pytest.mark.parametrize("clock_out", ["held", "pending"])
def test_a_retry_at_once_of_what_was_left_stuck_sends_both_after_the_look_up(tmp_path, clock_out):
    """As before, but the person was faster than the look-up."""

    async def after(bench: Bench) -> None:
        await bench.delivery.retry(["P001"], by="uid:0")
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        assert len(bench.sheet()) == 1

    left_stuck(tmp_path, clock_out, after)


def leave_stuck(path: Path, clock_out: str) -> None:
    """As such a salvage ended: the clock-in looked up, then given up; the clock-out let go with its attempt open."""
    reason = "earlier_punch_in_review" if clock_out == "held" else None
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("UPDATE attempts SET ended_at = sent_at, outcome = 'absent' WHERE punch_seq = 1")
        conn.execute("UPDATE deliveries SET state = 'review', reason = 'internal_error' WHERE punch_seq = 1")
        conn.execute("UPDATE deliveries SET state = ?, reason = ? WHERE punch_seq = 2", (clock_out, reason))
        assert conn.execute("SELECT detail, ended_at FROM attempts WHERE punch_seq = 2").fetchall() == [
            (SALVAGED, None)
        ]


def left_stuck(tmp_path: Path, clock_out: str, after: Story) -> None:
    """A whole shift kept here, and the salvage of an earlier version; then `after`."""

    async def before(bench: Bench) -> None:
        await shift_kept_here(bench, 20, 14)

    def between(bench: Bench) -> None:
        salvaged(bench)
        leave_stuck(bench.directory / "punchd.db", clock_out)

    told(tmp_path, before, between, after)
