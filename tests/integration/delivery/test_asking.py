"""Reads that a person asks for, beside the loop at work: real loop, queue and client, the sandbox, virtual time."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from daemon.errors import RefusedError
from daemon.timesheets.timesheet import CheckAssigned, KeyRefused, NotSent, People, ReadPeople, Standings, Throttled
from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, BOB, Bench, on_bench


def test_a_question_is_answered_beside_the_punches(tmp_path: Path) -> None:
    """One request a question; the punches go as ever, and never two requests are out at a time."""

    async def story(bench: Bench) -> None:
        bench.sandbox.latency_s = 3.0
        await bench.punch(ANNA, "clock_in", ago_s=5)
        replies = await asyncio.gather(*(bench.delivery.ask(CheckAssigned(who)) for who in (ANNA, BOB)))
        assert all(isinstance(reply.outcome, Standings) for reply in replies)
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert bench.requests().count("GET assignments") == 2
        entries = bench.sandbox.log.entries
        for earlier, later in itertools.pairwise(entries):
            assert earlier.processed_at is not None
            assert later.at >= earlier.processed_at

    on_bench(tmp_path, story)


def test_questions_leave_live_punches_their_reserve(tmp_path: Path) -> None:
    """On five requests a minute a row of questions causes no 429, and a punch in between does not wait for them."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        await bench.delivery.sync_now()
        await asyncio.sleep(60)
        asking = asyncio.gather(*(bench.delivery.ask(CheckAssigned(ANNA)) for _ in range(12)))
        await asyncio.sleep(20)
        assert not asking.done()
        punch = await bench.punch(ANNA, "clock_in", ago_s=3)
        await asyncio.sleep(3)
        assert (await bench.state(punch))[0] == "delivered"
        replies = await asking
        assert all(isinstance(reply.outcome, Standings) for reply in replies)
        assert all(entry.status == 200 for entry in bench.sandbox.log.entries)

    on_bench(tmp_path, story)


def test_a_spent_day_is_told_instead_of_waited_for(tmp_path: Path) -> None:
    """Nobody stands before a terminal for hours: refused in words, and nothing was sent."""

    async def story(bench: Bench) -> None:
        limits = bench.sandbox.company.limits
        limits.plan = SMALL_BUSINESS
        limits.day.turn(bench.clock.true_now)
        limits.day.used = limits.plan.per_day - 10
        assert isinstance((await bench.delivery.ask(ReadPeople())).outcome, People)
        before = len(bench.requests())
        with pytest.raises(RefusedError, match="budget"):
            await bench.delivery.ask(ReadPeople())
        assert len(bench.requests()) == before

    on_bench(tmp_path, story)


def test_nothing_is_asked_while_paused_halted_or_stopping(tmp_path: Path) -> None:
    """Each refused with its remedy, before a request."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(5)
        before = len(bench.requests())
        await bench.delivery.pause("uid:0")
        with pytest.raises(RefusedError, match="sync resume"):
            await bench.delivery.ask(ReadPeople())
        await bench.delivery.resume("uid:0")
        bench.delivery.gate.halt_for("halted", "no such key", bench.timekeeper.now())
        with pytest.raises(RefusedError, match="no such key"):
            await bench.delivery.ask(ReadPeople())
        bench.delivery.gate.halt = None
        await bench.delivery.stop(0)
        with pytest.raises(RefusedError, match="stopping"):
            await bench.delivery.ask(ReadPeople())
        assert len(bench.requests()) == before

    on_bench(tmp_path, story)


def test_a_key_that_may_not_read_people_still_punches(tmp_path: Path) -> None:
    """A 403 to a question is its answer and no more: delivery is not halted, nothing moves to review."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.sandbox.faults.set(kind=Kind.ERROR, status=403, path="*/users", text="Missing scope")
        assert isinstance((await bench.delivery.ask(ReadPeople())).outcome, KeyRefused)
        assert bench.delivery.status().state == "online"
        punch = await bench.punch(ANNA, "clock_in", ago_s=3)
        await asyncio.sleep(5)
        assert (await bench.state(punch))[0] == "delivered"

    on_bench(tmp_path, story)


def test_without_a_network_the_answer_says_so(tmp_path: Path) -> None:
    """NotSent, soon, however long the back-off has become; with the cable back it works at once."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.sandbox.cable.cut()
        await bench.punch(ANNA, "clock_in", ago_s=3)
        await asyncio.sleep(1800)
        assert bench.delivery.status().state == "offline"
        asked_at = bench.clock.true_now
        assert isinstance((await bench.delivery.ask(ReadPeople())).outcome, NotSent)
        assert bench.clock.true_now - asked_at < 30
        bench.sandbox.cable.restore()
        assert isinstance((await bench.delivery.ask(ReadPeople())).outcome, People)

    on_bench(tmp_path, story)


def test_a_throttle_is_waited_out_but_not_for_ever(tmp_path: Path) -> None:
    """Somebody else spent the minute: the same question goes again when the account may; at last that is the answer."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.sandbox.faults.set(kind=Kind.THROTTLE, count=2)
        assert isinstance((await bench.delivery.ask(ReadPeople())).outcome, People)
        bench.sandbox.faults.set(kind=Kind.THROTTLE)
        assert isinstance((await bench.delivery.ask(ReadPeople())).outcome, Throttled)

    on_bench(tmp_path, story)


def test_no_request_leaves_after_a_throttle_that_a_question_met(tmp_path: Path) -> None:
    """A punch waits for its turn while somebody asks; the answer is 429: it goes when the account may again, once."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.sandbox.faults.set(kind=Kind.THROTTLE, path="*/users", hold=True, when="after", count=1)
        asked = asyncio.create_task(bench.delivery.ask(ReadPeople()))
        await asyncio.sleep(1)
        punch = await bench.punch(ANNA, "clock_in", ago_s=3)
        await asyncio.sleep(1)
        assert await bench.state(punch) == ("in_flight", None)
        bench.sandbox.release()
        await asyncio.sleep(0.5)
        until = bench.delivery.pacer.blocked_until
        assert until > bench.clock.true_now
        assert await bench.state(punch) == ("pending", None)
        assert "POST clock-in" not in bench.requests()
        await asyncio.sleep(until - bench.clock.true_now + 5)
        assert await bench.state(punch) == ("delivered", None)
        assert bench.requests().count("POST clock-in") == 1
        assert isinstance((await asked).outcome, People)

    on_bench(tmp_path, story)
