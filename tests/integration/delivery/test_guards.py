"""Guards of delivery that no other test would miss; each was found by taking it away (`make mutants`)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from daemon.delivery import storage
from daemon.delivery.plan import Send, Verdict
from daemon.delivery.policy import Policy
from daemon.errors import RefusedError
from daemon.model import PunchState
from daemon.queue import people
from daemon.queue.deliveries import set_state
from daemon.timesheets.timesheet import OpenShift
from sandbox.connecteam.limits import Plan
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600


def test_what_waited_long_for_its_turn_is_judged_when_it_is_sent(tmp_path: Path) -> None:
    """Planned when it was fresh, sent twenty minutes later: what a manager typed in meanwhile is read first."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(30)
        await bench.delivery.pause("uid:0")
        punch = await bench.punch(ANNA, "clock_in")
        came = bench.second()
        await asyncio.sleep(20 * 60)
        bench.sandbox.manager.add_shift(ANNA, came - 60, came + 600)
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(30)
        assert await bench.state(punch) == ("review", "overlaps_existing_shift")
        assert "POST clock-in" not in bench.requests()

    on_bench(tmp_path, story)


def test_a_request_without_an_answer_holds_up_its_own_lane_alone(tmp_path: Path) -> None:
    """Bob's answer is lost; Anna's punch goes before anybody has looked up what became of his."""

    async def story(bench: Bench) -> None:
        bench.sandbox.faults.set(kind=Kind.DROP, path="*/clock-in", count=1)
        bob = await bench.punch(BOB, "clock_in", ago_s=300)
        anna = await bench.punch(ANNA, "clock_in", ago_s=200)
        await asyncio.sleep(4)
        assert await bench.state(bob) == ("in_flight", None)
        assert await bench.state(anna) == ("delivered", None)
        assert "GET time-activities" not in bench.requests()

    on_bench(tmp_path, story)


def test_a_persons_own_longest_shift_counts_for_what_is_sent(tmp_path: Path) -> None:
    """16 hours are too long for Bob and one shift for Anna, who may work 24."""

    async def story(bench: Bench) -> None:
        await bench.db.write(lambda conn: people.put_employee(conn, ANNA, "Anna", None, 24 * HOUR))
        came, left = bench.second(20 * HOUR), bench.second(4 * HOUR)
        for person in (ANNA, BOB):
            await bench.punch(person, "clock_in", ago_s=20 * HOUR)
            await bench.punch(person, "clock_out", ago_s=4 * HOUR)
        await asyncio.sleep(120)
        assert bench.sheet() == [(ANNA, came, left)]
        assert {p.reason for p in await bench.punches() if p.user_id == BOB} == {"shift_too_long"}

    on_bench(tmp_path, story)


@pytest.mark.parametrize("state", [PunchState.HELD, PunchState.REVIEW, PunchState.DISCARDED])
def test_no_request_begins_for_what_was_decided_meanwhile(tmp_path: Path, state: PunchState) -> None:
    """Between the plan and the request a person, or the clock, has moved the punch: nothing leaves for it."""

    async def story(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        punch, now = await bench.punch(ANNA, "clock_in", ago_s=60), bench.second()
        planned = Send(OpenShift(ANNA, now - 60), (punch,))
        await bench.db.write(lambda conn: set_state(conn, punch, state, at=now, reason="by_decision"))
        assert await bench.db.write(lambda conn: storage.begin(conn, planned, now)) is None
        assert (await bench.state(punch))[0] == state.value

    on_bench(tmp_path, story)


def test_a_plan_made_before_a_decision_overrules_nothing(tmp_path: Path) -> None:
    """The planner saw it pending; a person has had it held since: the verdict is dropped."""

    async def story(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        punch, now = await bench.punch(ANNA, "clock_in", ago_s=60), bench.second()
        await bench.db.write(lambda conn: set_state(conn, punch, PunchState.HELD, at=now, reason="clock_untrusted"))
        verdict, saw = Verdict(punch, PunchState.REVIEW, "missing_clock_out"), {punch: PunchState.PENDING}
        await bench.db.write(lambda conn: storage.apply(conn, [verdict], saw, now))
        assert await bench.state(punch) == ("held", "clock_untrusted")

    on_bench(tmp_path, story)


def test_a_second_is_floored(tmp_path: Path) -> None:
    """Tapped at 7.75 s past: the timesheet shows second 7, never one that had not come."""

    async def story(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in", ago_s=60.25)
        second = bench.second(61)
        await asyncio.sleep(10)
        assert bench.sheet() == [(ANNA, second, None)]

    on_bench(tmp_path, story)


def test_what_has_expired_leaves_live_punches_their_reserve(tmp_path: Path) -> None:
    """Of five requests a minute one is never spent on reads that nothing waits for, however often they are asked."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = Plan("tiny", 5, 1000)
        await asyncio.sleep(70)
        left = []
        for _ in range(60):
            await bench.delivery.sync_now()
            await asyncio.sleep(1)
            budget = bench.delivery.pacer.budget
            assert budget is not None
            left.append(budget.minute_remaining)
        assert min(left) == 1
        punch = await bench.punch(CARL, "clock_in")
        await asyncio.sleep(4)
        assert await bench.state(punch) == ("delivered", None)

    on_bench(tmp_path, story, policy=Policy(snapshots=True))


def test_a_retry_of_an_unknown_outcome_looks_first(tmp_path: Path) -> None:
    """A punch in review whose request may have been recorded: retried, it is looked up, and found."""

    async def story(bench: Bench) -> None:
        carry_out = bench.timesheet.carry_out

        async def poisoned(step):  # type: ignore[no-untyped-def]
            reply = await carry_out(step)
            if isinstance(step, OpenShift):
                raise ZeroDivisionError("after the answer came")
            return reply

        bench.timesheet.carry_out = poisoned  # type: ignore[method-assign]
        punch, came = await bench.punch(ANNA, "clock_in", ago_s=60), bench.second(60)
        await asyncio.sleep(5)
        assert await bench.state(punch) == ("review", "internal_error")
        (retried,) = await bench.delivery.retry([punch], by="uid:0")
        assert retried.state is PunchState.IN_FLIGHT
        await asyncio.sleep(120)
        assert await bench.state(punch) == ("delivered", None)
        assert bench.sheet() == [(ANNA, came, None)]

    on_bench(tmp_path, story)


def test_the_nearest_record_is_the_one_accepted(tmp_path: Path) -> None:
    """Of two shifts of that day the one that begins nearest is taken for the clock-in."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.add_shift(BOB, bench.second(26 * HOUR), bench.second(20 * HOUR + 60))
        near = bench.sandbox.manager.add_shift(BOB, bench.second(20 * HOUR), bench.second(12 * HOUR))
        punch = await bench.punch(BOB, "clock_in", ago_s=20 * HOUR - 300)
        await bench.punch(BOB, "clock_out", ago_s=12.5 * HOUR)
        await asyncio.sleep(60)
        accepted = await bench.delivery.accept_server(punch, by="uid:0")
        assert accepted.remote_id == near.id

    on_bench(tmp_path, story)


def test_what_is_out_cannot_be_discarded(tmp_path: Path) -> None:
    """Its outcome is not known yet: discarded, it might stand on the timesheet all the same."""

    async def story(bench: Bench) -> None:
        bench.sandbox.faults.set(path="*/clock-in", hold=True, when="after", count=1)
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(5)
        with pytest.raises(RefusedError, match="wait until its outcome is known"):
            await bench.delivery.discard(punch, reason="tapped for fun", by="uid:0")
        assert await bench.state(punch) == ("in_flight", None)
        bench.sandbox.release()
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("delivered", None)

    on_bench(tmp_path, story)


def test_a_discard_needs_a_reason(tmp_path: Path) -> None:
    """White space is none; with one, who and why are journalled."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_in", ago_s=30 * HOUR)
        await asyncio.sleep(30)
        with pytest.raises(RefusedError, match="without a reason"):
            await bench.delivery.discard(punch, reason="  ", by="uid:7")
        await bench.delivery.discard(punch, reason="holiday", by="uid:7")
        lines = [(line["by"], line["action"], line["data"]) for line in (await bench.history(punch)).journal]
        assert ("uid:7", "review.discarded", {"reason": "holiday"}) in lines

    on_bench(tmp_path, story)


def test_only_what_is_in_review_is_retried_or_accepted(tmp_path: Path) -> None:
    """A punch that is delivered, or only waits, is left as it is; the refusal says where it stands."""

    async def story(bench: Bench) -> None:
        done = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(30)
        bench.sandbox.cable.cut()
        waits = await bench.punch(BOB, "clock_in")
        await asyncio.sleep(30)
        for punch, state in ((done, "delivered"), (waits, "pending")):
            with pytest.raises(RefusedError, match=f"it is {state}"):
                await bench.delivery.retry([punch], by="uid:0")
            with pytest.raises(RefusedError, match=f"it is {state}"):
                await bench.delivery.accept_server(punch, by="uid:0")

    on_bench(tmp_path, story)


def test_a_refused_key_on_a_punch_itself_moves_nothing_to_review(tmp_path: Path) -> None:
    """The key ends between two punches: the punch it was refused for stays pending, and goes with the next key."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sandbox.company.access.keys.clear()
        punch, came = await bench.punch(ANNA, "clock_in"), bench.second()
        await asyncio.sleep(30)
        assert await bench.state(punch) == ("pending", None)
        assert "POST clock-in" in bench.requests()
        assert bench.delivery.status().state == "halted"
        bench.sandbox.company.access.keys["another-key-0123456789"] = None
        bench.key_file.write_text("another-key-0123456789")
        await asyncio.sleep(60)
        assert bench.sheet() == [(ANNA, came, None)]

    on_bench(tmp_path, story)


def test_a_clock_nobody_vouches_for_is_asked_about_again(tmp_path: Path) -> None:
    """The first question to the service got no answer; later ones do, without anybody's help."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.sandbox.cable.cut()
        bench.clock.reboot(behind_s=3)
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(HOUR)
        assert await bench.state(punch) == ("held", "clock_untrusted")
        bench.sandbox.cable.restore()
        await asyncio.sleep(15 * 60)
        assert await bench.state(punch) == ("delivered", None)

    on_bench(tmp_path, story)
