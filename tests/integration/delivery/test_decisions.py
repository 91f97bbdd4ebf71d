"""What a person decides about punches in review, all the way to the timesheet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from daemon.delivery import storage
from daemon.errors import InvalidInputError, NotFoundError, RefusedError
from daemon.model import PunchState
from daemon.queue.deliveries import set_state
from daemon.queue.queue import find_punch
from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from tests.support.deciding import decisions
from tests.support.delivery_bench import ANNA, BOB, Bench, on_bench

HOUR = 3600


def test_a_forgotten_clock_out_is_given_and_the_shift_recorded(tmp_path: Path) -> None:
    """missing_clock_out, --clock-out T: one completed shift; the added punch says that it is a decision."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_in", ago_s=30 * HOUR)
        await asyncio.sleep(30)
        assert await bench.state(punch) == ("review", "missing_clock_out")
        left = bench.second(22 * HOUR)
        resolved = await decisions(bench).resolve(punch, clock_out=left, by="uid:1000")
        assert resolved.added is not None
        assert (resolved.added.source, resolved.added.reader, resolved.added.badge) == ("decision", None, None)
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        ((_, _, end),) = bench.sheet()
        assert end == left
        assert ("uid:1000", "review.resolved") in [(j["by"], j["action"]) for j in (await bench.history(punch)).journal]

    on_bench(tmp_path, story)


def test_a_forgotten_clock_in_is_given(tmp_path: Path) -> None:
    """no_matching_clock_in, --clock-in T."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_out", ago_s=20 * HOUR)
        await asyncio.sleep(30)
        assert await bench.state(punch) == ("review", "no_matching_clock_in")
        came = bench.second(28 * HOUR)
        await decisions(bench).resolve(punch, clock_in=came, by="uid:0")
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert bench.sheet()[0][1] == came

    on_bench(tmp_path, story)


def test_a_tap_of_a_boot_without_a_clock_gets_its_time_from_a_person(tmp_path: Path) -> None:
    """held clock_untrusted of an earlier boot, --time T: that second stands on the timesheet."""

    async def story(bench: Bench) -> None:
        bench.clock.reboot(behind_s=5 * HOUR)
        punch = await bench.punch(ANNA, "clock_in", known=False)
        await asyncio.sleep(10)
        bench.clock.reboot(synchronised=True)
        bench.delivery.wake()
        await asyncio.sleep(HOUR)
        assert await bench.state(punch) == ("held", "clock_untrusted")
        true = bench.second(HOUR)
        await decisions(bench).resolve(punch, time=true, by="uid:0")
        await asyncio.sleep(60)
        assert bench.sheet() == [(ANNA, true, None)]

    on_bench(tmp_path, story)


def test_a_wrong_time_is_replaced_and_never_changed(tmp_path: Path) -> None:
    """A known time that is wrong: the punch is discarded by decision, another with the true time takes its place."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_in", ago_s=-600)
        await asyncio.sleep(30)
        assert await bench.state(punch) == ("review", "clock_ahead")
        true = bench.second(20)
        resolved = await decisions(bench).resolve(punch, time=true, by="uid:0")
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("discarded", "by_decision")
        assert resolved.added is not None
        assert await bench.state(resolved.added.id) == ("delivered", None)
        assert bench.sheet() == [(ANNA, true, None)]

    on_bench(tmp_path, story)


def test_the_timesheets_record_can_be_accepted(tmp_path: Path) -> None:
    """--accept-server: nothing is sent, the record's id is kept; both halves of the pair are settled one by one."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.add_shift(BOB, bench.second(20 * HOUR), bench.second(12 * HOUR))
        first = await bench.punch(BOB, "clock_in", ago_s=20 * HOUR - 300)
        second = await bench.punch(BOB, "clock_out", ago_s=12.5 * HOUR)
        await asyncio.sleep(60)
        assert await bench.state(first) == ("review", "overlaps_existing_shift")
        for punch in (first, second):
            accepted = await bench.delivery.accept_server(punch, by="uid:0")
            assert (accepted.state, accepted.remote_id) == ("delivered", bench.sandbox.timesheet()[0].id)
        assert len(bench.sheet()) == 1
        with pytest.raises(RefusedError):
            await bench.delivery.accept_server(first, by="uid:0")

    on_bench(tmp_path, story)


def test_accepting_needs_something_to_accept(tmp_path: Path) -> None:
    """No shift there, or no way to read: refused with the remedy, nothing changed."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_in", ago_s=30 * HOUR)
        await asyncio.sleep(30)
        with pytest.raises(RefusedError, match="shows no shift"):
            await bench.delivery.accept_server(punch, by="uid:0")
        bench.sandbox.cable.cut()
        with pytest.raises(RefusedError, match="Cannot read"):
            await bench.delivery.accept_server(punch, by="uid:0")
        assert await bench.state(punch) == ("review", "missing_clock_out")

    on_bench(tmp_path, story)


def test_what_the_service_recorded_at_another_time_is_never_sent_again(tmp_path: Path) -> None:
    """server_changed_time: no retry and no time given by a person sends it; accepting it ends the review."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.behaviour.round_to_s = HOUR
        await asyncio.sleep(2 * HOUR + 1200)
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        left = await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("review", "server_changed_time")
        once = bench.sheet()
        with pytest.raises(RefusedError, match="--accept-server"):
            await bench.delivery.retry([punch], by="uid:0")
        for given in ({"time": bench.second(30)}, {"clock_out": bench.second(30)}):
            with pytest.raises(RefusedError, match="--accept-server"):
                await decisions(bench).resolve(punch, **given, by="uid:0")
        await asyncio.sleep(HOUR)
        assert bench.sheet() == once
        for one in (punch, left):
            await bench.delivery.accept_server(one, by="uid:0")
        assert await bench.all_delivered()
        assert bench.sheet() == once

    on_bench(tmp_path, story)


def test_a_shift_that_was_over_before_or_begun_after_is_not_that_of_the_tap(tmp_path: Path) -> None:
    """A phone's shift of the night is none that a clock-in of the morning began, nor one of the evening this one's end.

    Within what a service rounds by it may be.
    """

    async def story(bench: Bench) -> None:
        for start_h, end_h in ((30, 28), (15, 14)):
            bench.sandbox.manager.add_shift(ANNA, bench.second(start_h * HOUR), bench.second(end_h * HOUR))
        came = await bench.punch(ANNA, "clock_in", ago_s=13 * HOUR)
        left = await bench.punch(BOB, "clock_out", ago_s=32 * HOUR)
        bench.sandbox.manager.add_shift(BOB, bench.second(30 * HOUR), bench.second(28 * HOUR))
        await asyncio.sleep(26 * HOUR)
        for punch in (came, left):
            assert (await bench.state(punch))[0] == "review"
            with pytest.raises(RefusedError, match="shows no shift"):
                await bench.delivery.accept_server(punch, by="uid:0")
        bench.sandbox.manager.add_shift(ANNA, bench.second(39.5 * HOUR), bench.second(39.1 * HOUR))
        accepted = await bench.delivery.accept_server(came, by="uid:0")
        assert accepted.state.value == "delivered"

    on_bench(tmp_path, story)


def test_asking_for_a_record_in_vain_leaves_other_punches_alone(tmp_path: Path) -> None:
    """What was read of an old day for a decision says nothing of today: a clock-out that waits is sent as any other."""

    async def story(bench: Bench) -> None:
        old = await bench.punch(ANNA, "clock_in", ago_s=60 * HOUR)
        await bench.punch(ANNA, "clock_in", ago_s=HOUR)
        await asyncio.sleep(60)
        left = await bench.punch(ANNA, "clock_out")  # too young to be sent for another two seconds
        with pytest.raises(RefusedError, match="shows no shift"):
            await bench.delivery.accept_server(old, by="uid:0")
        assert await bench.state(left) == ("pending", None)
        await asyncio.sleep(60)
        assert await bench.state(left) == ("delivered", None)

    on_bench(tmp_path, story)


def test_a_record_is_not_asked_for_where_nothing_may_be_asked(tmp_path: Path) -> None:
    """Paused, halted by a refused key, or with the day's budget spent: it says which, and no request leaves."""

    async def story(bench: Bench) -> None:
        old = await bench.punch(ANNA, "clock_in", ago_s=60 * HOUR)
        await asyncio.sleep(60)
        accept = partial(bench.delivery.accept_server, old, by="uid:0")
        await bench.delivery.pause(by="uid:0")
        await refuses(bench, accept, "paused")
        await bench.delivery.resume(by="uid:0")

        limits = bench.sandbox.company.limits
        limits.plan = SMALL_BUSINESS
        limits.day.turn(bench.clock.true_now)
        limits.day.used = limits.plan.per_day - 10
        await bench.delivery.sync_now()
        await asyncio.sleep(60)
        await refuses(bench, accept, "budget_spent")

        bench.sandbox.company.access.revoke_all()
        await bench.punch(ANNA, "clock_in", ago_s=5)
        await asyncio.sleep(10)
        await refuses(bench, accept, "halted")

    on_bench(tmp_path, story)


async def refuses(bench: Bench, decide: Callable[[], Awaitable[object]], code: str) -> None:
    """A decision is refused with this code, and nothing was asked for it."""
    asked = len(bench.requests())
    with pytest.raises(RefusedError) as refused:
        await decide()
    assert refused.value.code == code
    assert len(bench.requests()) == asked


def test_decisions_that_cannot_be_are_refused_and_change_nothing(tmp_path: Path) -> None:
    """Future times, wrong halves, too long shifts, unknown punches, punches in between."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_in", ago_s=30 * HOUR)
        await asyncio.sleep(30)
        decide = decisions(bench)
        now = bench.second()
        for error, word, at in (
            (InvalidInputError, "clock_out", now + 60),
            (InvalidInputError, "clock_out", now - 31 * HOUR),
            (InvalidInputError, "clock_out", now - 10 * HOUR),
            (RefusedError, "clock_in", now - 40 * HOUR),
        ):
            with pytest.raises(error):
                await decide.resolve(punch, **{word: at}, by="uid:0")  # type: ignore[arg-type]
        with pytest.raises(NotFoundError):
            await decide.resolve("nobody", clock_out=now, by="uid:0")
        with pytest.raises(InvalidInputError):
            await decide.resolve(punch, by="uid:0")
        assert await bench.state(punch) == ("review", "missing_clock_out")
        assert len(await bench.punches()) == 1

    on_bench(tmp_path, story)


def test_a_punch_whose_request_may_have_been_recorded_is_not_replaced(tmp_path: Path) -> None:
    """Replaced it would stand on the timesheet twice: first it is found out, then decided."""

    async def story(bench: Bench) -> None:
        carry_out = bench.timesheet.carry_out

        async def poisoned(step):  # type: ignore[no-untyped-def]
            reply = await carry_out(step)
            if type(step).__name__ == "OpenShift":
                raise ZeroDivisionError("after the answer came")
            return reply

        bench.timesheet.carry_out = poisoned  # type: ignore[method-assign]
        punch = await bench.punch(ANNA, "clock_in", ago_s=60)
        await asyncio.sleep(5)
        assert await bench.state(punch) == ("review", "internal_error")
        with pytest.raises(RefusedError, match="not known"):
            await decisions(bench).resolve(punch, time=bench.second(90), by="uid:0")
        bench.timesheet.carry_out = carry_out  # type: ignore[method-assign]
        await asyncio.sleep(120)
        assert len(bench.sheet()) == 1

    on_bench(tmp_path, story)


def test_what_a_decision_adds_is_journalled_with_who_and_when(tmp_path: Path) -> None:
    """The punch that a person gave says who gave it and for which other one, with the time of the decision."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_in", ago_s=30 * HOUR)
        await asyncio.sleep(30)
        now = bench.second()
        resolved = await decisions(bench).resolve(punch, clock_out=bench.second(22 * HOUR), by="uid:1000")
        assert resolved.added is not None
        (line,) = [one for one in (await bench.history(resolved.added.id)).journal if one["action"] == "punch.decided"]
        assert (line["by"], int(line["at"]), line["data"]) == ("uid:1000", now, {"for": punch})

    on_bench(tmp_path, story)


def test_a_given_time_does_not_reach_over_another_punch(tmp_path: Path) -> None:
    """Two shifts of one person would overlap: the punch in between is named, and decided first."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_in", ago_s=30 * HOUR)
        between = await bench.punch(ANNA, "clock_in", ago_s=26 * HOUR)
        await asyncio.sleep(30)
        with pytest.raises(RefusedError, match=between):
            await decisions(bench).resolve(punch, clock_out=bench.second(22 * HOUR), by="uid:0")
        assert len(await bench.punches()) == 2

    on_bench(tmp_path, story)


def test_the_shift_of_another_punch_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """Yesterday's shift stands there for yesterday's clock-in: of today's the timesheet shows nothing."""

    async def story(bench: Bench) -> None:
        came = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(4 * HOUR)
        left = await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(60)
        assert [await bench.state(punch) for punch in (came, left)] == [("delivered", None)] * 2
        await asyncio.sleep(8 * HOUR)
        bench.sandbox.faults.set(kind=Kind.ERROR, status=422, path="*/clock-in", count=1)
        today = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        assert (await bench.state(today))[0] == "review"
        with pytest.raises(RefusedError, match="not another punch's"):
            await bench.delivery.accept_server(today, by="uid:0")
        bench.sandbox.manager.add_shift(ANNA, bench.second(300))
        await bench.delivery.accept_server(today, by="uid:0")
        assert await bench.state(today) == ("delivered", None)

    on_bench(tmp_path, story)


def test_a_shift_that_a_discarded_punch_had_closed_is_free(tmp_path: Path) -> None:
    """Of two clock-outs the first one closed the shift, is told so, and is discarded: the second one may have it."""

    async def story(bench: Bench) -> None:
        await bench.delivery.pause("test")
        first, second = await bench.punch(ANNA, "clock_out", ago_s=HOUR), await bench.punch(ANNA, "clock_out", ago_s=1)
        now = bench.clock.true_now
        because = {"reason": "closed_another_shift", "remote_id": "s2"}
        told = partial(set_state, punch_id=first, state=PunchState.REVIEW, at=now, **because)
        await bench.db.write(told)
        punch = await bench.db.read(partial(find_punch, punch_id=second))
        others = partial(storage.shifts_of_others, punch=punch, since=now - 10 * HOUR)
        assert await bench.db.read(others) == {"s2"}
        await bench.delivery.discard(first, reason="not his", by="uid:0")
        assert await bench.db.read(others) == set()

    on_bench(tmp_path, story)


@pytest.mark.parametrize("in_review", [0, 1])
@pytest.mark.parametrize("today", [True, False])
def test_the_last_of_many_shifts_in_review_is_taken_up_first(tmp_path: Path, in_review: int, today: bool) -> None:
    """A person left nine days lying, one half of each in review, and sends the last again: both halves of it go."""

    async def story(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        days = []
        for day in range(8, -1, -1):
            ago_s = (day + (not today)) * 24 * HOUR
            start = await bench.punch(ANNA, "clock_in", ago_s=ago_s + 8 * HOUR)
            end = await bench.punch(ANNA, "clock_out", ago_s=ago_s + HOUR)
            days.append((start, end))
            refuse = partial(set_state, punch_id=days[-1][in_review], state=PunchState.REVIEW, at=0.0, reason="refused")
            await bench.db.write(refuse)
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(300)
        *others, last = days
        waiting = {await bench.state(day[1 - in_review]) for day in others}
        assert waiting == {("held", "earlier_punch_in_review")}
        await bench.delivery.retry([last[in_review]], by="uid:1000")
        await asyncio.sleep(600)
        assert [(await bench.state(punch))[0] for punch in last] == ["delivered", "delivered"]
        assert {(await bench.state(punch))[0] for day in others for punch in day} == {"review", "held"}
        assert len(bench.sheet()) == 1

    on_bench(tmp_path, story)
