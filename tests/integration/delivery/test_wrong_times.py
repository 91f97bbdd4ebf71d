"""A second that is known to be wrong is sent by no decision, and after no doubt: only a stated time goes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.delivery import storage
from daemon.errors import RefusedError
from daemon.model import PunchState
from daemon.queue.deliveries import SALVAGED, set_state
from sandbox.faults import Kind
from tests.integration.test_salvaged_and_changed import salvaged, told
from tests.support.deciding import decisions, intake_of
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600
#: What says that the time is wrong, or is not known: (state, reason, whether the time is known).
WRONG = [("review", "time_disputed"), ("review", "clock_ahead")]
UNKNOWN = [("held", "clock_untrusted"), ("review", "salvaged")]
#: The forms of a decision that let the punch itself go.
FORMS = ("retry", "other_half")


async def waits(
    bench: Bench, direction: str | None, state: str, reason: str, *, known: bool = True, detail: str = "why"
) -> str:
    """A punch of three hours ago that stands there; its id."""
    await bench.delivery.pause(by="test")
    punch = await bench.punch(ANNA, direction, ago_s=3 * HOUR, known=known)
    now = bench.clock.true_now
    await bench.db.write(lambda conn: set_state(conn, punch, PunchState(state), at=now, reason=reason, detail=detail))
    await bench.delivery.resume(by="test")
    return punch


async def decide(bench: Bench, form: str, punch: str, direction: str) -> object:
    """One of FORMS, with an other half two hours away."""
    if form == "retry":
        return await bench.delivery.retry([punch], by="uid:0")
    if direction == "clock_in":
        return await decisions(bench).resolve(punch, clock_out=bench.second(HOUR), by="uid:0")
    return await decisions(bench).resolve(punch, clock_in=bench.second(5 * HOUR), by="uid:0")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("direction", ["clock_in", "clock_out"])
@pytest.mark.parametrize(("state", "reason"), WRONG, ids=lambda word: word)
def test_no_decision_but_a_time_lets_a_wrong_second_go(
    tmp_path: Path, state: str, reason: str, direction: str, form: str
) -> None:
    """Refused with the remedy, nothing is added, nothing sent; the true time then stands alone on the timesheet."""

    async def story(bench: Bench) -> None:
        punch = await waits(bench, direction, state, reason)
        with pytest.raises(RefusedError, match=rf"not the true one \(why\).*review resolve {punch} --time T"):
            await decide(bench, form, punch, direction)
        await asyncio.sleep(HOUR)
        assert await bench.state(punch) == (state, reason)
        assert (bench.sheet(), len(await bench.punches())) == ([], 1)
        true = bench.second(90 * 60)
        resolved = await decisions(bench).resolve(punch, time=true, by="uid:0")
        assert resolved.added is not None
        assert await bench.state(punch) == ("discarded", "by_decision")
        await asyncio.sleep(60)
        assert bench.sheet() == ([(ANNA, true, None)] if direction == "clock_in" else [])

    on_bench(tmp_path, story)


@pytest.mark.parametrize("direction", ["clock_in", "clock_out"])
@pytest.mark.parametrize(("state", "reason"), WRONG, ids=lambda word: word)
def test_a_wrong_second_may_be_stated_all_the_same(tmp_path: Path, state: str, reason: str, direction: str) -> None:
    """A person who says that it was then is believed: their word goes, and the other half after it."""

    async def story(bench: Bench) -> None:
        punch = await waits(bench, direction, state, reason)
        at = (await bench.punches())[0].second
        resolved = await decisions(bench).resolve(punch, time=at, by="uid:0")
        assert resolved.added is not None
        await asyncio.sleep(30)
        if direction == "clock_out":
            await decisions(bench).resolve(resolved.added.id, clock_in=at - HOUR, by="uid:0")
        await asyncio.sleep(120)
        assert bench.sheet() == [(ANNA, at, None) if direction == "clock_in" else (ANNA, at - HOUR, at)]

    on_bench(tmp_path, story)


def test_a_confirmed_time_goes_the_way_that_the_punch_before_it_says(tmp_path: Path) -> None:
    """Salvaged without a direction, after a clock-in: confirmed it is the clock-out, and looked up before it goes."""

    async def story(bench: Bench) -> None:
        came = await bench.punch(ANNA, "clock_in", ago_s=5 * HOUR)
        await asyncio.sleep(60)
        punch = await waits(bench, None, "review", "salvaged", detail=SALVAGED)
        seconds = {one.id: one.second for one in await bench.punches()}
        await decisions(bench).resolve(punch, time=seconds[punch], by="uid:0")
        assert await bench.state(punch) == ("in_flight", None)
        await asyncio.sleep(600)
        assert bench.sheet() == [(ANNA, seconds[came], seconds[punch])]

    on_bench(tmp_path, story)


@pytest.mark.parametrize(("state", "reason"), WRONG, ids=lambda word: word)
def test_the_timesheets_word_and_a_discard_end_a_wrong_second(tmp_path: Path, state: str, reason: str) -> None:
    """Neither sends anything."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.add_shift(ANNA, bench.second(4 * HOUR), bench.second(2 * HOUR))
        taken = await waits(bench, "clock_in", state, reason)
        left = await waits(bench, "clock_out", state, reason)
        assert (await bench.delivery.accept_server(taken, by="uid:0")).state == "delivered"
        assert (await bench.delivery.discard(left, reason="twice", by="uid:0")).state == "discarded"
        await asyncio.sleep(HOUR)
        assert len(bench.sheet()) == 1
        assert "POST" not in {request.split()[0] for request in bench.requests()}

    on_bench(tmp_path, story)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("direction", ["clock_in", "clock_out"])
@pytest.mark.parametrize(("state", "reason"), UNKNOWN, ids=lambda word: word)
def test_no_decision_but_a_time_lets_an_unknown_second_go(
    tmp_path: Path, state: str, reason: str, direction: str, form: str
) -> None:
    """Refused, or held for its time: nothing is sent."""

    async def story(bench: Bench) -> None:
        punch = await waits(bench, direction, state, reason, known=False)
        if form == "retry" and state == "review":
            await decide(bench, form, punch, direction)
        else:
            with pytest.raises(RefusedError, match="--time" if form == "other_half" else "not in review"):
                await decide(bench, form, punch, direction)
        await asyncio.sleep(HOUR)
        assert (await bench.state(punch))[1] in (reason, "clock_untrusted")
        assert bench.sheet() == []

    on_bench(tmp_path, story)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_no_decision_sends_what_goes_neither_in_nor_out(tmp_path: Path, form: str, known: bool) -> None:
    """Salvaged without a direction: refused with the remedy; its time, given or confirmed, lets its lane decide it."""

    async def story(bench: Bench) -> None:
        punch = await waits(bench, None, "review", "salvaged", known=known, detail=SALVAGED)
        (own,) = [one.second for one in await bench.punches()]
        stamp = f"{datetime.fromtimestamp(own, UTC):%Y-%m-%dT%H:%M:%SZ}"
        remedy = rf"resolve {punch} --time {stamp}; .*--reason TEXT" if known else rf"resolve {punch} --time T$"
        with pytest.raises(RefusedError, match=remedy):
            await decide(bench, form, punch, "clock_in")
        at = own if known else bench.second(2 * HOUR)
        if known:
            with pytest.raises(RefusedError, match=rf"its time is known, .*{remedy}"):
                await decisions(bench).resolve(punch, time=own + 60, by="uid:0")
        assert await bench.state(punch) == ("review", "salvaged")
        await decisions(bench).resolve(punch, time=at, by="uid:0")
        await asyncio.sleep(600)
        assert bench.sheet() == [(ANNA, at, None)]

    on_bench(tmp_path, story)


def test_a_salvaged_punch_that_turns_out_out_of_order_is_still_looked_up_before_it_goes(tmp_path: Path) -> None:
    """Its time puts it before a punch that was tapped earlier: a person lets it go, and it may have gone already."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.sandbox.cable.cut()
        await bench.punch(ANNA, "clock_in", ago_s=HOUR)
        punch = await waits(bench, None, "held", "clock_untrusted", known=False, detail=SALVAGED)
        await decisions(bench).resolve(punch, time=bench.second(2 * HOUR), by="uid:0")
        assert await bench.state(punch) == ("review", "out_of_order")
        await bench.delivery.retry([punch], by="uid:0")
        assert await bench.state(punch) == ("in_flight", None)
        (attempt,) = (await bench.history(punch)).attempts
        assert (attempt.ended_at, attempt.detail) == (None, SALVAGED)

    on_bench(tmp_path, story)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("direction", ["clock_in", "clock_out"])
def test_a_review_for_another_reason_is_disputed_when_it_is_let_go(tmp_path: Path, direction: str, form: str) -> None:
    """Refused while the clock was an hour behind, vouched for by NTP, and let go after it was set right."""

    async def story(bench: Bench) -> None:
        bench.clock.step(-HOUR)
        punch = await waits(bench, direction, "review", "refused")
        bench.clock.step(HOUR)
        await decide(bench, form, punch, direction)
        await asyncio.sleep(600)
        assert await bench.state(punch) == ("review", "time_disputed")
        (tapped,) = [one.second for one in await bench.punches() if one.id == punch]
        assert all(tapped not in row for row in bench.sheet())
        assert "review_waiting" in {alarm.code for alarm in bench.alarms.standing()}

    on_bench(tmp_path, story)


def test_what_was_out_while_the_clock_was_set_right_is_not_sent_again_with_that_time(tmp_path: Path) -> None:
    """A request lost by a clock an hour behind is absent from both looks: the tap needs a person."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.clock.step(-HOUR)
        bench.sandbox.faults.set(kind=Kind.DROP, path="*/clock-in", count=1)
        punch = await bench.punch(ANNA, "clock_in", ago_s=60)
        await asyncio.sleep(3)
        assert await bench.state(punch) == ("in_flight", None)
        bench.clock.step(HOUR)
        await asyncio.sleep(HOUR)
        assert await bench.state(punch) == ("review", "time_disputed")
        assert bench.sheet() == []

    on_bench(tmp_path, story)


def test_a_stated_or_decided_time_is_never_disputed(tmp_path: Path) -> None:
    """What a person said when it was hangs on no clock of the kiosk, also of a tap whose own time was not known."""

    async def story(bench: Bench) -> None:
        bench.sandbox.cable.cut()
        bench.clock.step(-HOUR)
        came = await waits(bench, "clock_in", "review", "time_disputed")
        at = bench.second(2 * HOUR)
        await decisions(bench).resolve(came, time=at, by="uid:0")
        await bench.punch(BOB, "clock_in", ago_s=HOUR, stated=True)
        unknown = await bench.punch(CARL, "clock_in", known=False)
        await asyncio.sleep(5)
        await decisions(bench).resolve(unknown, time=at, by="uid:0")
        bench.clock.step(HOUR)
        bench.sandbox.cable.restore()
        await asyncio.sleep(600)
        assert await intake_of(bench).settle_times() == 0
        assert bench.sheet() == [(ANNA, at, None), (BOB, at, None), (CARL, at, None)]

    on_bench(tmp_path, story)


def test_a_wrong_second_is_not_taken_back_with_refusals_that_were_nobodys_own(tmp_path: Path) -> None:
    """The third such refusal says that it was a misconfiguration; the first punch was disputed meanwhile."""

    async def story(bench: Bench) -> None:
        punch = await waits(bench, "clock_in", "review", "time_disputed")
        await bench.db.write(lambda conn: storage.take_back(conn, [punch], bench.clock.true_now))
        assert await bench.state(punch) == ("review", "time_disputed")

    on_bench(tmp_path, story)


def test_a_salvaged_dispute_that_turns_out_groundless_is_looked_up_before_it_goes(tmp_path: Path) -> None:
    """In the same boot, by a clock that is right: it may have been sent since, so it goes once, by itself."""

    async def before(bench: Bench) -> None:
        await waits(bench, "clock_in", "review", "time_disputed")

    async def after(bench: Bench) -> None:
        assert await bench.state("P001") == ("review", "time_disputed")
        assert await intake_of(bench).settle_times() == 1
        assert await bench.state("P001") == ("in_flight", None)
        await asyncio.sleep(600)
        assert await bench.state("P001") == ("delivered", None)
        assert len(bench.sheet()) == 1

    told(tmp_path, before, salvaged, after)


@pytest.mark.parametrize("stood", ["absent", "delivered"])
def test_a_salvaged_dispute_is_looked_up_by_a_retry_and_never_sent(tmp_path: Path, stood: str) -> None:
    """Whether it was sent is not known any more: found it is delivered; absent it waits for its true time again."""

    async def before(bench: Bench) -> None:
        punch = await waits(bench, "clock_in", "review", "time_disputed")
        if stood == "delivered":
            at = (await bench.punches())[0].second
            bench.sandbox.manager.add_shift(ANNA, at, at + HOUR, source="api")
        assert await bench.state(punch) == ("review", "time_disputed")

    async def after(bench: Bench) -> None:
        if stood == "absent":
            assert await bench.state("P001") == ("review", "time_disputed")
            with pytest.raises(RefusedError, match="review retry"):
                await decisions(bench).resolve("P001", time=bench.second(2 * HOUR), by="uid:0")
            await bench.delivery.retry(["P001"], by="uid:0")
        await asyncio.sleep(HOUR)
        if stood == "delivered":
            assert await bench.state("P001") == ("delivered", None)
            return
        assert (await bench.state("P001"), bench.sheet()) == (("review", "time_disputed"), [])
        at = bench.second(2 * HOUR)
        await decisions(bench).resolve("P001", time=at, by="uid:0")
        await asyncio.sleep(600)
        assert bench.sheet() == [(ANNA, at, None)]

    told(tmp_path, before, salvaged, after)
