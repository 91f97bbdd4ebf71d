"""The clock is wrong, or is set while delivery waits: nothing hurries for it, nothing waits on for hours or days."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from daemon.delivery.gate import Gate
from daemon.delivery.pacer import DAY_RESET_MAX_S, Pacer
from daemon.delivery.policy import Policy
from daemon.delivery.settle import Reach
from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, BOB, Bench, on_bench

HOUR = 3600
DAY = 24 * HOUR


@pytest.mark.parametrize("fraction_s", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("as_200", [False, True], ids=["429", "a 200 that says so"])
def test_a_spent_day_is_left_alone_by_a_clock_that_is_hours_ahead(
    tmp_path: Path, as_200: bool, fraction_s: float
) -> None:
    """By our clock the day's reset is over; by the service's it is to come, and that is what it means."""

    async def story(bench: Bench) -> None:
        limits = bench.sandbox.company.limits
        limits.plan, limits.as_200 = SMALL_BUSINESS, as_200
        await asyncio.sleep(60)
        bench.clock.step(26 * HOUR + fraction_s)
        await bench.delivery.check_key()
        limits.day.used = SMALL_BUSINESS.per_day
        await bench.punch(ANNA, "clock_in", known=False)
        asked = len(bench.requests())
        left = DAY - bench.clock.true_now % DAY
        assert left > 2 * HOUR, "the story needs some hours of the day"
        await asyncio.sleep(left - 60)
        assert len(bench.requests()) <= asked + 2
        refused = [entry.status for entry in bench.sandbox.log.entries].count(429)
        await asyncio.sleep(180)
        assert len(bench.requests()) > asked
        assert [entry.status for entry in bench.sandbox.log.entries].count(429) == refused, "it was not over yet"

    on_bench(tmp_path, story)


@pytest.mark.parametrize("set_by", [-30 * DAY, -3 * HOUR, 3 * HOUR], ids=["a month back", "back", "ahead"])
def test_what_is_waited_for_comes_no_later_for_a_clock_that_is_set(tmp_path: Path, set_by: int) -> None:
    """Offline, with the longest pause to come; the clock is set, the network is back: minutes later all is there."""

    async def story(bench: Bench) -> None:
        bench.clock.ahead_s = -set_by
        await asyncio.sleep(60)
        bench.sandbox.cable.cut()
        await bench.punch(ANNA, "clock_in", known=False)
        await asyncio.sleep(HOUR)
        assert bench.delivery.status().state == "offline"
        bench.clock.step(set_by)
        bench.sandbox.cable.restore()
        await asyncio.sleep(bench.policy.backoff_max_s + 60)
        assert bench.delivery.status().state == "online"

    on_bench(tmp_path, story)


def test_a_throttle_ends_when_it_ends_though_the_clock_was_set_back(tmp_path: Path) -> None:
    """Refused for a minute, and then the clock is set back by a day."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.sandbox.faults.set(kind=Kind.ERROR, status=429, count=1)
        bench.clock.step(DAY)
        await bench.delivery.check_key()
        bench.clock.step(-DAY)
        bench.timekeeper.forget_doubt()
        punch = await bench.punch(BOB, "clock_in")
        await asyncio.sleep(10 * 60)
        assert await bench.state(punch) == ("delivered", None)

    on_bench(tmp_path, story)


async def left_by_phone(bench: Bench, shift_id: str) -> None:
    """Anna's shift ends elsewhere and she taps out: no older view sends that, and a new one shows nothing to end."""
    bench.sandbox.manager.edit_shift(shift_id, end=bench.second(1))
    out = await bench.punch(ANNA, "clock_out")
    await asyncio.sleep(60)
    assert await bench.state(out) == ("held", "waiting_for_clock_in")
    assert "POST clock-out" not in bench.requests()


def test_a_view_of_a_clock_that_ran_ahead_says_nothing_of_what_comes_after(tmp_path: Path) -> None:
    """Read while the clock was 25 s ahead, which nobody doubts, Anna's shift was open; she has left since, by phone."""

    async def story(bench: Bench) -> None:
        shift = bench.sandbox.manager.add_shift(ANNA, bench.second(2 * HOUR))
        bench.clock.step(25)
        await asyncio.sleep(60)
        await bench.delivery.sync_now()
        await asyncio.sleep(2)
        assert bench.delivery.seen(ANNA) is not None
        bench.clock.step(-25)
        await left_by_phone(bench, shift.id)

    on_bench(tmp_path, story, policy=Policy(snapshots=True))


@pytest.mark.parametrize("set_by", [-25, 25])
def test_a_view_is_as_old_as_it_is_though_the_clock_was_set_while_it_was_read(tmp_path: Path, set_by: int) -> None:
    """Set while the answer is on its way: what Anna did after it was made does not pass for seen, nor for unseen."""

    async def story(bench: Bench) -> None:
        shift = bench.sandbox.manager.add_shift(ANNA, bench.second(2 * HOUR))
        bench.clock.step(-set_by)
        await asyncio.sleep(120)
        bench.sandbox.faults.set(path="*/time-activities", delay_s=2.0, when="after", count=1)
        await bench.delivery.sync_now()
        await asyncio.sleep(1)
        bench.clock.step(set_by)
        await asyncio.sleep(3)
        seen = bench.delivery.seen(ANNA)
        assert seen is not None
        assert 3 <= bench.clock.true_now - seen[0].requested_at <= 5
        await left_by_phone(bench, shift.id)

    on_bench(tmp_path, story, policy=Policy(snapshots=True))


def test_nobodys_rest_is_longer_than_the_longest_pause_by_whatever_clock_it_was_begun(tmp_path: Path) -> None:
    """The clock is set back by a month while a lane is loaded, so that nobody moves what that lane waits for."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        await bench.delivery.pause(by="test")
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(1)
        (lane,) = bench.delivery._planning.board.lanes.values()
        lane.deferred_until = bench.clock.true_now + 30 * DAY
        await bench.delivery.resume(by="test")
        bench.delivery.wake(ANNA)
        await asyncio.sleep(bench.policy.backoff_max_s + 10)
        assert await bench.state(punch) == ("delivered", None)

    on_bench(tmp_path, story)


def test_no_kept_throttle_outlasts_two_days() -> None:
    """Kept before a restart by a clock that was years ahead: the next start asks."""
    pacer, now = Pacer(60, 100), 1_700_000_000.0
    pacer.note_throttled(now + 1000 * DAY, None, 0.0)
    fresh = Pacer(60, 100)
    fresh.recall(pacer.memory() or "")
    assert fresh.ready_at(now, live=True) == now
    pacer.note_throttled(now, now + DAY_RESET_MAX_S - 1, 0.0)
    fresh.recall(pacer.memory() or "")
    assert fresh.ready_at(now, live=True) == now + DAY_RESET_MAX_S - 1


def test_our_own_day_ends_with_the_day_also_for_a_clock_that_was_ahead() -> None:
    """Ten requests a day by the owner's word, all spent on a day in the future, as kept before a restart."""
    pacer, now = Pacer(600, 10), 1_700_000_000.0
    for _ in range(10):
        pacer.note_sent(now + 400 * DAY)
    fresh = Pacer(600, 10)
    fresh.recall(pacer.memory() or "")
    assert now < fresh.ready_at(now, live=True) <= now + DAY


def test_no_pause_is_longer_than_the_longest_by_whatever_clock_it_was_begun() -> None:
    """Begun by a clock a month ahead, that nobody saw being set: it ends all the same, after the longest pause."""
    gate, now = Gate(300.0, random.Random(1)), 1_700_000_000.0
    gate.note(Reach.UNREACHED, None, now + 30 * DAY)
    assert gate.ready_at(now) == now + 300
    assert gate.ready_at(now + 300) == now + 300


def test_a_clock_that_is_set_ahead_shortens_no_settling(tmp_path: Path) -> None:
    """A whole shift is out, its answer is lost, and it arrives half a minute late; the clock is set ahead meanwhile."""

    async def story(bench: Bench) -> None:
        bench.clock.step(-25)
        await asyncio.sleep(120)
        bench.sandbox.faults.set(path="*/time-activities", method="POST", delay_s=30, count=1)
        await bench.delivery.pause("uid:0")
        await bench.punch(ANNA, "clock_in", ago_s=20 * HOUR, stated=True)
        await bench.punch(ANNA, "clock_out", ago_s=13 * HOUR, stated=True)
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(5)
        bench.clock.step(50)
        await asyncio.sleep(600)
        assert len(bench.sheet()) == 1
        assert await bench.all_delivered()

    on_bench(tmp_path, story)
