"""The delivery loop on a real queue and the real client, against the sandbox, in virtual time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.delivery import planning, storage
from daemon.delivery.plan import Plan, Send
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import Policy
from daemon.model import PunchState
from daemon.queue.deliveries import set_state
from daemon.queue.lanes import LanePunch
from sandbox.connecteam.behaviour import LateClose
from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from sandbox.handle import Sandbox
from sandbox.http import Request
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600


def test_in_and_out_reach_the_timesheet_with_their_seconds(tmp_path: Path) -> None:
    """One request a punch (and one greeting), the true seconds, delivered with the shift's id."""

    async def story(bench: Bench) -> None:
        came = bench.second()
        first = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(8 * HOUR)
        left = bench.second()
        await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(10)
        assert bench.sheet() == [(ANNA, came, left)]
        assert await bench.state(first) == ("delivered", None)
        assert bench.requests() == ["GET me", "POST clock-in", "POST clock-out"]
        assert bench.delivery.status().state == "online"

    on_bench(tmp_path, story)


def test_after_an_outage_the_oldest_goes_first_with_the_original_times(tmp_path: Path) -> None:
    """Three people over four hours without a network, then the flush: oldest first, one read, true seconds."""

    async def story(bench: Bench) -> None:
        bench.sandbox.cable.cut()
        tapped = []
        for person in (BOB, ANNA, CARL):
            came = bench.second()
            await bench.punch(person, "clock_in")
            await asyncio.sleep(3000)
            tapped.append((person, came, bench.second()))
            await bench.punch(person, "clock_out")
            await asyncio.sleep(600)
        assert bench.delivery.status().state == "offline"
        bench.sandbox.cable.restore()
        await asyncio.sleep(400)
        assert await bench.all_delivered()
        assert bench.sheet() == sorted(tapped)
        sent = [
            row.request.body for row in bench.sandbox.log.entries if "clock-" in row.request.path.rsplit("/", 1)[-1]
        ]
        stamps = [int(body.split(b'"timestamp":')[1].strip().split(b"}")[0].split(b",")[0]) for body in sent]
        assert stamps == sorted(stamps)
        assert bench.requests().count("GET time-activities") == 1

    on_bench(tmp_path, story)


@pytest.mark.parametrize("direction", ["clock_in", "clock_out"])
@pytest.mark.parametrize("processed", [True, False])
@pytest.mark.parametrize(
    "kind", [Kind.DROP, Kind.RESET, Kind.HANG, Kind.STATUS, Kind.PORTAL, Kind.EMPTY, Kind.TRUNCATED]
)
def test_a_lost_answer_is_looked_up_and_never_doubles(
    tmp_path: Path, kind: Kind, processed: bool, direction: str
) -> None:
    """Whatever came instead of the answer, and whether it was processed or not: exactly once, at its second."""

    async def story(bench: Bench) -> None:
        came = bench.second(HOUR / 10)
        bench.sandbox.faults.set(kind=kind, path=f"*/{direction.replace('_', '-')}", count=1, processed=processed)
        await bench.punch(ANNA, "clock_in", ago_s=HOUR / 10)
        left = bench.second(60)
        await bench.punch(ANNA, "clock_out", ago_s=60)
        await asyncio.sleep(120)
        assert bench.sheet() == [(ANNA, came, left)]
        assert await bench.all_delivered()
        writes = [r for r in bench.requests() if r == f"POST {direction.replace('_', '-')}"]
        assert len(writes) == (1 if processed else 2)

    on_bench(tmp_path, story)


@pytest.mark.parametrize("apart_min", [3, 25])
def test_a_lost_request_is_not_found_in_an_earlier_shift_of_the_same_person(tmp_path: Path, apart_min: int) -> None:
    """Short stays that all arrived after an outage: the one whose request was lost goes again, each is there once."""

    async def story(bench: Bench) -> None:
        bench.sandbox.faults.set(kind=Kind.RESET, path="*/clock-in", processed=False, skip=2, count=1)
        ago = [5 + number * apart_min for number in (3, 2, 1, 0)]
        stays = [(bench.second(minutes * 60), bench.second(minutes * 60 - 60)) for minutes in ago]
        for minutes in ago:
            await bench.punch(ANNA, "clock_in", ago_s=minutes * 60)
            await bench.punch(ANNA, "clock_out", ago_s=minutes * 60 - 60)
        await asyncio.sleep(120)
        assert bench.sheet() == [(ANNA, came, left) for came, left in stays]
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


def test_a_crash_between_the_journal_and_the_answer_is_looked_up(tmp_path: Path) -> None:
    """Killed while the request is out and processed: after the restart it is found, not sent again."""

    async def story(bench: Bench) -> None:
        bench.sandbox.faults.set(path="*/clock-in", hold=True, when="after", count=1)
        came = bench.second()
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(5)
        assert await bench.state(punch) == ("in_flight", None)
        await bench.crash()
        bench.sandbox.release()
        await bench.start()
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("delivered", None)
        assert bench.sheet() == [(ANNA, came, None)]
        assert bench.requests().count("POST clock-in") == 1

    on_bench(tmp_path, story)


def test_an_expired_pair_becomes_one_time_activity(tmp_path: Path) -> None:
    """A shift of yesterday goes as a completed shift with our reference, after a read, and is found again by it."""

    async def story(bench: Bench) -> None:
        came, left = bench.second(20 * HOUR), bench.second(13 * HOUR)
        first = await bench.punch(ANNA, "clock_in", ago_s=20 * HOUR)
        await bench.punch(ANNA, "clock_out", ago_s=13 * HOUR)
        await asyncio.sleep(60)
        assert bench.sheet() == [(ANNA, came, left)]
        (row,) = bench.sandbox.timesheet()
        assert first in (row.note or "")
        assert {p.recorded_as for p in await bench.punches()} == {"time_activity"}
        assert bench.requests().count("POST time-activities") == 1

    on_bench(tmp_path, story)


@pytest.mark.parametrize("processed", [True, False])
def test_a_lost_answer_to_a_time_activity_never_doubles_it(tmp_path: Path, processed: bool) -> None:
    """The record is found by its times, or sent again: one shift on the sheet."""

    async def story(bench: Bench) -> None:
        bench.sandbox.faults.set(kind=Kind.DROP, path="*/time-activities", method="POST", count=1, processed=processed)
        came, left = bench.second(20 * HOUR), bench.second(13 * HOUR)
        await bench.punch(ANNA, "clock_in", ago_s=20 * HOUR)
        await bench.punch(ANNA, "clock_out", ago_s=13 * HOUR)
        await asyncio.sleep(120)
        assert bench.sheet() == [(ANNA, came, left)]
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


@pytest.mark.parametrize(("how", "state"), [(LateClose.CLOSES, "delivered"), (LateClose.IGNORED, "review")])
def test_an_expired_clock_out_closes_its_shift_by_an_update_that_is_read_back(
    tmp_path: Path, how: LateClose, state: str
) -> None:
    """A shift left open for a day gets its true end; where the update does not take, a person is told."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.behaviour.late_close = how
        came = bench.second()
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(8 * HOUR)
        bench.sandbox.cable.cut()
        left = bench.second()
        out = await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(14 * HOUR)
        bench.sandbox.cable.restore()
        await asyncio.sleep(700)
        took = state == "delivered"
        assert (await bench.state(out))[0] == state
        assert bench.sheet() == [(ANNA, came, left if took else None)]
        assert bench.requests().count("PUT time-activities") == 1

    on_bench(tmp_path, story)


def test_one_persons_trouble_is_nobody_elses(tmp_path: Path) -> None:
    """Bob is not assigned: his punch needs a person, his clock-out waits, the others go on."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.unassign(BOB)
        bob = await bench.punch(BOB, "clock_in", ago_s=300)
        bob_out = await bench.punch(BOB, "clock_out", ago_s=100)
        anna = await bench.punch(ANNA, "clock_in", ago_s=200)
        await asyncio.sleep(60)
        assert await bench.state(bob) == ("review", "not_assigned")
        assert await bench.state(bob_out) == ("held", "earlier_punch_in_review")
        assert await bench.state(anna) == ("delivered", None)
        assert [alarm.code for alarm in bench.alarms.standing()] == ["review_waiting"]
        bench.sandbox.manager.assign(BOB)
        await bench.delivery.retry([bob], by="uid:0")
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert bench.alarms.standing() == []

    on_bench(tmp_path, story)


def test_discarding_a_clock_in_leaves_its_clock_out_to_the_timesheet(tmp_path: Path) -> None:
    """A recorded decision: the punch stays on record and is never sent."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.unassign(BOB)
        bob = await bench.punch(BOB, "clock_in", ago_s=300)
        await asyncio.sleep(30)
        await bench.delivery.discard(bob, reason="tapped for fun", by="uid:1000")
        await asyncio.sleep(30)
        assert await bench.state(bob) == ("discarded", "by_decision")
        lines = (await bench.history(bob)).journal
        assert ("uid:1000", "review.discarded") in [(line["by"], line["action"]) for line in lines]
        assert bench.sheet() == []

    on_bench(tmp_path, story)


def test_a_refused_key_halts_everything_and_moves_nothing_to_review(tmp_path: Path) -> None:
    """Expired over the weekend: punches stay pending; a new key file is noticed by itself."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.access.revoke_all()
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(3 * HOUR)
        assert (await bench.state(punch))[0] == "pending"
        assert bench.delivery.status().state == "halted"
        assert "halted" in [alarm.code for alarm in bench.alarms.standing()]
        assert len(bench.requests()) <= 1 + 3 * 4 + 2
        bench.sandbox.company.access.keys["new-key"] = None
        bench.key_file.write_text("new-key")
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert bench.alarms.standing() == []

    on_bench(tmp_path, story)


def test_the_same_unknown_refusal_for_three_people_is_a_misconfiguration(tmp_path: Path) -> None:
    """Nothing stays in review for it; when it is mended everything goes."""

    async def story(bench: Bench) -> None:
        fault = bench.sandbox.faults.set(
            kind=Kind.ERROR, path="*/clock-in", status=400, code="", text="Kiosk not allowed"
        )
        for person in (ANNA, BOB, CARL):
            await bench.punch(person, "clock_in", ago_s=60)
        await asyncio.sleep(60)
        assert {p.state.value for p in await bench.punches()} == {"pending"}
        assert bench.delivery.status().state == "halted"
        assert [alarm.code for alarm in bench.alarms.standing()] == ["misconfigured"]
        bench.sandbox.faults.clear(fault.id)
        await bench.delivery.sync_now()
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert bench.alarms.standing() == []

    on_bench(tmp_path, story)


def test_a_small_plan_is_never_overrun(tmp_path: Path) -> None:
    """5 a minute: no 429 in steady state, oldest first, everything arrives."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        for number in range(5):
            for person in (ANNA, BOB, CARL):
                await bench.punch(person, "clock_in" if number % 2 == 0 else "clock_out", ago_s=900 - number * 60)
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        assert 429 not in [entry.status for entry in bench.sandbox.log.entries]

    on_bench(tmp_path, story)


@pytest.mark.parametrize("kind", [Kind.THROTTLE, Kind.THROTTLE_200])
def test_a_throttle_in_either_dress_waits_and_sends_again(tmp_path: Path, kind: Kind) -> None:
    """429, and the 200 that is one: nothing is taken for success, nothing is lost."""

    async def story(bench: Bench) -> None:
        bench.sandbox.faults.set(kind=kind, path="*/clock-in", count=2)
        came = bench.second()
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(400)
        assert bench.sheet() == [(ANNA, came, None)]
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


def test_nothing_leaves_while_the_clock_is_not_trusted(tmp_path: Path) -> None:
    """Hours behind after a power cut: probes only; synchronised, everything goes by itself."""

    async def story(bench: Bench) -> None:
        bench.clock.reboot(behind_s=2 * HOUR)
        bench.timekeeper.doubt = None
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(HOUR)
        assert await bench.state(punch) == ("held", "clock_untrusted")
        assert set(bench.requests()) == {"GET me"}
        assert bench.timekeeper.doubt is not None

    on_bench(tmp_path, story)


def test_a_verified_date_near_ours_is_trust_enough(tmp_path: Path) -> None:
    """Never synchronised, but the service's Date agrees: one probe, then the punch."""

    async def story(bench: Bench) -> None:
        bench.clock.reboot(behind_s=3)
        came = bench.second(-3 + 3)
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert abs(bench.sheet()[0][1] - came) <= 3
        assert bench.timekeeper.trust is not None

    on_bench(tmp_path, story)


def test_paused_punches_stay_pending_also_over_a_restart(tmp_path: Path) -> None:
    """sync pause holds until sync resume."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)
        await bench.delivery.pause("uid:0")
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(HOUR)
        await bench.crash()
        await bench.start()
        await asyncio.sleep(HOUR)
        assert (await bench.state(punch))[0] == "pending"
        assert bench.delivery.status().state == "paused"
        assert bench.requests("clock-in") == []
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(60)
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


def test_a_phones_shift_is_closed_by_the_kiosk(tmp_path: Path) -> None:
    """Phone in, kiosk out: looked up, closed, exactly that one."""

    async def story(bench: Bench) -> None:
        opened = bench.sandbox.manager.phone_clock_in(ANNA)
        await asyncio.sleep(8 * HOUR)
        left = bench.second()
        await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(60)
        assert bench.sheet() == [(ANNA, opened.start.at, left)]

    on_bench(tmp_path, story)


def test_a_phone_that_clocked_in_before_the_kiosk_holds_back_nothing(tmp_path: Path) -> None:
    """Already open: the kiosk's clock-in needs a person, its clock-out closes the open shift."""

    async def story(bench: Bench) -> None:
        opened = bench.sandbox.manager.phone_clock_in(ANNA)
        await asyncio.sleep(600)
        first = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(8 * HOUR)
        left = bench.second()
        await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(60)
        assert await bench.state(first) == ("review", "already_open")
        assert bench.sheet() == [(ANNA, opened.start.at, left)]

    on_bench(tmp_path, story)


def test_a_rounding_service_is_believed_and_told_of(tmp_path: Path) -> None:
    """Recorded to the quarter: delivered, never sent again, one alarm."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.behaviour.round_to_s = 900
        await asyncio.sleep(100)
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert [alarm.code for alarm in bench.alarms.standing()] == ["server_changes_times"]
        assert bench.requests().count("POST clock-in") == 1

    on_bench(tmp_path, story)


def test_a_fault_of_ours_on_one_person_puts_theirs_in_review_and_others_go_on(tmp_path: Path) -> None:
    """An error while planning one person: internal_error, and the rest is delivered."""

    async def story(bench: Bench) -> None:
        planned = bench.delivery._planning._planned

        def poisoned(lane):  # type: ignore[no-untyped-def]
            if lane.user_id == BOB and any(e.punch.state.value == "pending" for e in lane.punches):
                raise ZeroDivisionError("a fault of ours")
            return planned(lane)

        bench.delivery._planning._planned = poisoned  # type: ignore[method-assign]
        bob = await bench.punch(BOB, "clock_in", ago_s=60)
        anna = await bench.punch(ANNA, "clock_in", ago_s=30)
        await asyncio.sleep(60)
        assert await bench.state(bob) == ("review", "internal_error")
        assert await bench.state(anna) == ("delivered", None)

    on_bench(tmp_path, story)


def test_the_punch_whose_request_failed_goes_to_review_and_not_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits before it, for a person's decision on its other half, is not blamed for it."""
    begin = storage.begin

    async def story(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        first = await bench.punch(ANNA, "clock_in", ago_s=3 * HOUR)
        await bench.db.write(lambda conn: set_state(conn, first, PunchState.REVIEW, at=0.0, reason="refused"))
        older = await bench.punch(ANNA, "clock_out", ago_s=2 * HOUR)
        newer = await bench.punch(ANNA, "clock_in", ago_s=HOUR / 10)

        def poisoned(conn: sqlite3.Connection, send: Send, at: float) -> int | None:
            if newer in send.punch_ids:
                raise ZeroDivisionError("of the newer one's")
            return begin(conn, send, at)

        monkeypatch.setattr(storage, "begin", poisoned)
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(60)
        assert await bench.state(older) == ("held", "earlier_punch_in_review")
        assert await bench.state(newer) == ("review", "internal_error")

    on_bench(tmp_path, story)


def test_what_was_sent_before_is_not_blamed_for_a_later_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that came to nothing is over: where planning fails after it, it is the oldest that goes to review."""

    async def story(bench: Bench) -> None:
        bench.sandbox.cable.cut()
        await bench.delivery.pause("uid:0")
        first = await bench.punch(ANNA, "clock_in", ago_s=3 * HOUR, known=False)
        await bench.db.write(lambda conn: set_state(conn, first, PunchState.HELD, at=0.0, reason="clock_untrusted"))
        older = await bench.punch(ANNA, "clock_out", ago_s=2 * HOUR)
        newer = await bench.punch(ANNA, "clock_in", ago_s=HOUR / 10)
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(60)
        assert await bench.state(older) == ("held", "earlier_punch_undecided")
        assert [attempt.outcome for attempt in (await bench.history(newer)).attempts][:1] == ["not_sent"]

        def poisoned(lane: Sequence[LanePunch], *rest: Any) -> Plan:
            if lane[1].punch.state is PunchState.HELD:
                raise ZeroDivisionError("of the older one's")
            return plan_lane(lane, *rest)

        monkeypatch.setattr(planning, "plan_lane", poisoned)
        bench.delivery.wake(ANNA)
        await asyncio.sleep(60)
        assert await bench.state(older) == ("review", "internal_error")
        assert (await bench.state(newer))[0] == "pending"

    on_bench(tmp_path, story)


@pytest.mark.parametrize("broken", ["give_up", "nothing to give up"])
def test_a_person_whose_punches_cannot_even_be_put_in_review_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Meanwhile nothing of theirs counts as settled, so that no old view decides their toggle; others go on."""

    async def story(bench: Bench) -> None:
        for ago_s, direction in ((30 * HOUR, "clock_in"), (22 * HOUR, "clock_out")):
            await bench.punch(ANNA, direction, ago_s=ago_s)
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert settled_at(bench) is not None

        def fails(conn: object, user_id: str, *_: object) -> bool:
            if broken == "give_up":
                raise ZeroDivisionError(user_id)
            return False

        with monkeypatch.context() as patch:
            patch.setattr(storage, "give_up", fails)
            patch.setattr(planning, "plan_lane", poisoned)
            anna, bob = await bench.punch(ANNA, "clock_in", ago_s=5), await bench.punch(BOB, "clock_in", ago_s=5)
            await asyncio.sleep(60)
            assert await bench.state(anna) == ("pending", None)
            assert await bench.state(bob) == ("delivered", None)
            assert settled_at(bench) is None
        await asyncio.sleep(20 * 60)
        assert await bench.state(anna) == ("delivered", None)
        assert settled_at(bench) is not None

    def settled_at(bench: Bench) -> float | None:
        seen = bench.delivery.seen(ANNA)
        assert seen is not None
        return seen[1]

    def poisoned(lane: Sequence[LanePunch], *rest: Any) -> Plan:
        if any(entry.punch.user_id == ANNA for entry in lane):
            raise ZeroDivisionError("of Anna's")
        return plan_lane(lane, *rest)

    on_bench(tmp_path, story)


def test_a_timesheet_that_raises_after_sending_leaves_the_attempt_open(tmp_path: Path) -> None:
    """A fault of ours between send and settle: review, and a retry looks it up before it sends."""

    async def story(bench: Bench) -> None:
        carry_out = bench.timesheet.carry_out

        async def poisoned(step):  # type: ignore[no-untyped-def]
            reply = await carry_out(step)
            if type(step).__name__ == "OpenShift":
                raise ZeroDivisionError("after the answer came")
            return reply

        bench.timesheet.carry_out = poisoned  # type: ignore[method-assign]
        came = bench.second()
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(10)
        assert await bench.state(punch) == ("review", "internal_error")
        await bench.delivery.retry([punch], by="uid:0")
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("delivered", None)
        assert bench.sheet() == [(ANNA, came, None)]
        assert bench.requests().count("POST clock-in") == 1

    on_bench(tmp_path, story)


def test_idle_means_no_requests_and_no_wakes(tmp_path: Path) -> None:
    """Nothing queued: nothing is asked, and the loop sleeps until something happens."""

    async def story(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        before = len(bench.requests())
        turns = 0
        turn = bench.delivery._turn

        async def counted() -> float | None:
            nonlocal turns
            turns += 1
            return await turn()

        bench.delivery._turn = counted  # type: ignore[method-assign]
        await asyncio.sleep(24 * HOUR)
        assert len(bench.requests()) == before
        assert turns <= 1

    on_bench(tmp_path, story)


def test_the_sandbox_is_reached_without_the_client(tmp_path: Path) -> None:
    """A control: the sandbox itself refuses what the planner must never send."""
    sandbox = Sandbox(now=lambda: 1_795_392_000.0)
    answer = sandbox.handle(Request("GET", "/nowhere", [], {}, b""))
    assert answer.status in (401, 404)
    assert Policy().reach_s == 42600


def test_a_plan_that_the_queue_never_lets_begin_is_a_fault_and_not_a_spin(tmp_path: Path) -> None:
    """Plan and queue disagree: after a few tries that person's punch needs a look, and others go on."""

    async def story(bench: Bench) -> None:
        from daemon.delivery import storage

        begin = storage.begin
        tries = 0

        def never(conn, send, at):  # type: ignore[no-untyped-def]
            nonlocal tries
            if send.step.user_id != BOB:
                return begin(conn, send, at)
            tries += 1
            return None

        storage.begin = never
        try:
            bob = await bench.punch(BOB, "clock_in", ago_s=60)
            anna = await bench.punch(ANNA, "clock_in", ago_s=30)
            await asyncio.sleep(5)
        finally:
            storage.begin = begin
        assert await bench.state(bob) == ("review", "internal_error")
        assert await bench.state(anna) == ("delivered", None)
        assert tries <= 10

    on_bench(tmp_path, story)
