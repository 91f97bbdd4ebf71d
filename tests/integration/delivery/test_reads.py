"""Reads that nothing waits for: what managers mend is taken up by itself, and the toggle learns of phones."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.delivery.policy import Policy
from sandbox.connecteam.limits import SMALL_BUSINESS, Plan
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600
DAY = 24 * HOUR


def test_an_overlap_that_a_manager_deletes_heals_by_itself(tmp_path: Path) -> None:
    """Nobody touches the kiosk: the shift goes when the obstacle is gone, journalled as automatic."""

    async def story(bench: Bench) -> None:
        typed = bench.sandbox.manager.add_shift(ANNA, bench.second(20 * HOUR), bench.second(19 * HOUR))
        punch = await bench.punch(ANNA, "clock_in", ago_s=20 * HOUR - 60)
        await bench.punch(ANNA, "clock_out", ago_s=12 * HOUR)
        came, left = bench.second(20 * HOUR - 60), bench.second(12 * HOUR)
        await asyncio.sleep(HOUR)
        assert await bench.state(punch) == ("review", "overlaps_existing_shift")
        bench.sandbox.manager.delete_shift(typed.id)
        await asyncio.sleep(HOUR)
        assert bench.sheet() == [(ANNA, came, left)]
        assert await bench.all_delivered()
        assert {line["by"] for line in (await bench.history(punch)).journal} == {"automatic"}
        assert bench.alarms.standing() == []

    on_bench(tmp_path, story)


def test_what_a_manager_typed_in_exactly_is_delivered(tmp_path: Path) -> None:
    """Our time is present: delivered with that record's id, nothing is sent."""

    async def story(bench: Bench) -> None:
        punch = await bench.punch(ANNA, "clock_out", ago_s=20 * HOUR)
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("review", "no_matching_clock_in")
        typed = bench.sandbox.manager.add_shift(ANNA, bench.second(28 * HOUR), bench.second(20 * HOUR) - 60)
        await asyncio.sleep(HOUR)
        assert await bench.state(punch) == ("delivered", None)
        assert [row.id for row in bench.sandbox.timesheet()] == [typed.id]

    on_bench(tmp_path, story)


def test_a_shift_open_for_days_does_not_let_two_clock_ins_chase_each_other(tmp_path: Path) -> None:
    """No list of today shows it, and each is refused for it: few requests, and it heals when the shift is ended."""

    async def story(bench: Bench) -> None:
        open_for_days = bench.sandbox.manager.add_shift(ANNA, bench.second(6 * DAY))
        forgotten_at = bench.second(5 * DAY)
        one = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(45)
        two = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(4 * HOUR)
        assert {await bench.state(one), await bench.state(two)} == {("review", "already_open")}
        assert len(bench.requests("clock-in")) <= 16
        bench.sandbox.manager.edit_shift(open_for_days.id, end=forgotten_at)
        await asyncio.sleep(6 * HOUR)
        # One of the two opens the shift; the other one is a second clock-in, for a person.
        assert sorted([(await bench.state(one))[0], (await bench.state(two))[0]]) == ["delivered", "review"]

    on_bench(tmp_path, story)


def test_without_reviews_and_toggles_nothing_is_read(tmp_path: Path) -> None:
    """Idle reads are for those who need them."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(DAY)
        assert bench.requests() == ["GET me"]

    on_bench(tmp_path, story)


def test_idle_reads_take_at_most_a_tenth_of_the_day(tmp_path: Path) -> None:
    """On a plan of 100 a day: ten, however long nothing happens."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        await asyncio.sleep(5 * DAY)
        reads = bench.requests().count("GET time-activities")
        assert 5 * 8 <= reads <= 5 * 10

    on_bench(tmp_path, story, policy=Policy(snapshots=True))


def test_checks_of_a_review_do_not_make_the_reads_between_them_more_frequent(tmp_path: Path) -> None:
    """While somebody is not assigned, the timesheet and the assignment are each read once in a quarter of an hour."""

    async def story(bench: Bench) -> None:
        bench.sandbox.manager.unassign(ANNA)
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        before = len(bench.requests())
        await asyncio.sleep(6 * HOUR)
        assert await bench.state(punch) == ("review", "not_assigned")
        assert 6 * 4 <= len(bench.requests()) - before <= 6 * 4 * 2 + 2

    on_bench(tmp_path, story)


def test_the_toggle_is_told_what_a_read_showed_only_after_all_is_settled(tmp_path: Path) -> None:
    """A snapshot speaks for a person only if requested after their last punch here was settled."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(120)
        bench.sandbox.manager.phone_clock_in(BOB)
        await bench.delivery.sync_now()
        await asyncio.sleep(10)
        seen = bench.delivery.seen(BOB)
        assert seen is not None
        view, settled_at = seen
        assert settled_at == float("-inf")
        assert [record.end for record in view.records] == [None]
        bench.sandbox.cable.cut()
        await bench.punch(CARL, "clock_in")
        await asyncio.sleep(60)
        seen = bench.delivery.seen(CARL)
        assert seen is not None
        assert seen[1] is None
        bench.sandbox.cable.restore()
        await asyncio.sleep(600)
        seen = bench.delivery.seen(CARL)
        assert seen is not None
        assert seen[1] is not None
        assert seen[1] > bench.second(700)

    on_bench(tmp_path, story, policy=Policy(snapshots=True))


def test_the_toggle_is_told_nothing_while_the_queue_cannot_be_read(tmp_path: Path) -> None:
    """On a failing disk nobody knows what is settled: a person who tapped in is not taken in once more."""

    async def story(bench: Bench) -> None:
        await bench.delivery.sync_now()
        await asyncio.sleep(10)
        assert bench.delivery.seen(BOB) is not None

        async def failing(fn: object) -> object:
            raise sqlite3.OperationalError("disk I/O error")

        working, bench.db.read = bench.db.read, failing  # type: ignore[method-assign, assignment]
        await bench.punch(BOB, "clock_in")
        await asyncio.sleep(10)
        assert not bench.running
        seen = bench.delivery.seen(BOB)
        assert seen is not None
        assert seen[1] is None
        again = asyncio.create_task(bench.delivery.run())  # as the supervisor does
        await asyncio.sleep(10)
        assert again.done()
        assert isinstance(again.exception(), sqlite3.Error)
        seen = bench.delivery.seen(BOB)
        assert seen is not None
        assert seen[1] is None
        bench.db.read = working  # type: ignore[method-assign]

    on_bench(tmp_path, story, policy=Policy(snapshots=True))


def test_when_the_day_cannot_carry_the_queue_pairs_go_together(tmp_path: Path) -> None:
    """plan_too_small with its numbers; whole shifts inside the window share one request; nothing is doubled."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = Plan("tiny", 5, 12)
        await asyncio.sleep(1)
        bench.sandbox.cable.cut()
        wanted = []
        for hours in (9, 6, 3):
            for person in (ANNA, BOB, CARL):
                await bench.punch(person, "clock_in", ago_s=hours * HOUR)
                await bench.punch(person, "clock_out", ago_s=(hours - 2) * HOUR)
                wanted.append((person, bench.second(hours * HOUR), bench.second((hours - 2) * HOUR)))
        raised = []
        bench.alarms.on_change = lambda alarm, up: raised.append((alarm.code, alarm.text)) if up else None
        bench.sandbox.cable.restore()
        bench.delivery.network_changed()
        await asyncio.sleep(2 * HOUR)
        assert "18 punches wait" in dict(raised)["plan_too_small"]
        assert bench.sheet() == sorted(wanted)
        assert await bench.all_delivered()
        assert len(bench.requests()) <= 14
        assert 429 not in [entry.status for entry in bench.sandbox.log.entries]

    on_bench(tmp_path, story)


def test_the_account_s_day_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """What the last answer told of the budget holds until the next one: a restart gives no new day."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        await bench.punch(ANNA, "clock_in", ago_s=60)
        await asyncio.sleep(30)
        before = bench.delivery.pacer.budget
        assert before is not None
        assert before.day_remaining == 98
        await bench.crash()
        bench.sandbox.cable.cut()
        await bench.start()
        await asyncio.sleep(0.1)
        after = bench.delivery.pacer.budget
        assert after is not None
        assert (after.day_limit, after.day_reset_at) == (before.day_limit, before.day_reset_at)
        assert after.day_remaining in (97, 98)

    on_bench(tmp_path, story)


def test_the_kiosks_own_count_of_the_day_survives_restarts(tmp_path: Path) -> None:
    """The service tells nothing of its budget: what the owner said of the day is counted here, reads and all."""

    async def story(bench: Bench) -> None:
        bench.delivery.pacer.requests_per_day = 12
        bench.sandbox.company.limits.with_headers = False
        for number in range(18):
            await bench.punch((ANNA, BOB, CARL)[number % 3], "clock_in" if number // 3 % 2 == 0 else "clock_out")
            await asyncio.sleep(60)
            if number in (3, 7):
                await bench.crash()
                await bench.start()
                bench.delivery.pacer.requests_per_day = 12
        assert len(bench.requests()) == 12
        assert not await bench.all_delivered()
        await asyncio.sleep(24 * HOUR)
        assert len(bench.requests()) > 12
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


@pytest.mark.parametrize("told", [True, False])
def test_hours_without_a_network_cost_nothing_of_the_day(tmp_path: Path, told: bool) -> None:
    """What never left asked nobody: after ten hours of tries the punches leave with the network's return, not with the
    next day. Told by headers, or by the owner's word alone."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        bench.sandbox.company.limits.with_headers = told
        if not told:
            bench.delivery.pacer.requests_per_day = 100
        await bench.punch(CARL, "clock_in")
        await asyncio.sleep(60)
        bench.sandbox.cable.cut()
        for direction in ("clock_in", "clock_out") * 5:
            await bench.punch(ANNA, direction)
            await asyncio.sleep(HOUR)
        bench.sandbox.cable.restore()
        await asyncio.sleep(600)
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


def test_a_refusal_until_the_end_of_the_day_is_remembered(tmp_path: Path) -> None:
    """Refused with the day's reset, the box restarts: it does not ask again before that."""

    async def story(bench: Bench) -> None:
        limits = bench.sandbox.company.limits
        limits.plan = Plan("three a day", 100, 3)
        assert limits.spend(bench.clock.true_now, 3)  # somebody else's requests, of which no answer told us
        await bench.punch(ANNA, "clock_in", ago_s=60)
        await asyncio.sleep(30)
        before = [entry.status for entry in bench.sandbox.log.entries]
        assert before == [429]
        for _ in range(3):
            await bench.crash()
            await bench.start()
            await asyncio.sleep(600)
        assert [entry.status for entry in bench.sandbox.log.entries] == before
        await asyncio.sleep(24 * HOUR)
        assert 200 in [entry.status for entry in bench.sandbox.log.entries]

    on_bench(tmp_path, story)


def test_all_who_tapped_in_an_outage_share_one_read(tmp_path: Path) -> None:
    """Fresh when they were tapped, old when the way is back: one look at the timesheet is enough for everybody."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.sandbox.cable.cut()
        for who in (ANNA, BOB, CARL):
            await bench.punch(who, "clock_in")
            await asyncio.sleep(20)
        await asyncio.sleep(3 * HOUR)
        before = len(bench.requests())
        bench.sandbox.cable.restore()
        await asyncio.sleep(900)
        assert await bench.all_delivered()
        assert bench.requests()[before:] == ["GET time-activities", *["POST clock-in"] * 3]

    on_bench(tmp_path, story)


def test_who_did_not_clock_out_is_told_after_the_longest_shift_though_nothing_answers(tmp_path: Path) -> None:
    """Six hours at most, an outage of ten: no clock-out can come any more that would end this shift."""

    async def story(bench: Bench) -> None:
        bench.sandbox.cable.cut()
        await bench.punch(ANNA, "clock_out", ago_s=HOUR)  # the oldest, and so what is tried for
        punch = await bench.punch(BOB, "clock_in")
        await asyncio.sleep(6 * HOUR - 60)
        assert (await bench.state(punch))[0] == "pending"
        await asyncio.sleep(120)
        assert await bench.state(punch) == ("review", "missing_clock_out")

    on_bench(tmp_path, story, policy=Policy(max_shift_s=6 * HOUR))


def test_one_unreadable_record_holds_up_that_person_alone(tmp_path: Path) -> None:
    """A look-up for three: two go on, the third waits with its reason, is told, and goes on when it is mended."""

    async def story(bench: Bench) -> None:
        shift = bench.sandbox.manager.add_shift(ANNA, bench.second(30 * HOUR), bench.second(29 * HOUR))
        assert shift.end is not None
        end, shift.end = shift.end, replace(shift.end, at=0)
        punches = [await bench.punch(who, "clock_in", ago_s=14 * HOUR) for who in (ANNA, BOB, CARL)]
        outs = [await bench.punch(who, "clock_out", ago_s=13.5 * HOUR) for who in (ANNA, BOB, CARL)]
        await asyncio.sleep(600)
        assert [await bench.state(one) for one in punches[1:] + outs[1:]] == [("delivered", None)] * 4
        assert await bench.state(punches[0]) == ("held", "timesheet_unreadable")
        assert ANNA in next(a.text for a in bench.alarms.standing() if a.code == "timesheet_unreadable")
        assert bench.delivery.status().state == "online"
        before = len(bench.requests())
        await asyncio.sleep(HOUR)
        assert len(bench.requests()) - before <= 5
        shift.end = end
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()
        assert bench.alarms.standing() == []

    on_bench(tmp_path, story)


def test_a_managers_note_survives_our_closing_of_their_shift(tmp_path: Path) -> None:
    """The end is set by an update; what somebody wrote into the record stays, and an empty note gets our mark."""

    async def story(bench: Bench) -> None:
        for who in (ANNA, BOB):
            await bench.punch(who, "clock_in", ago_s=11 * HOUR)
        await asyncio.sleep(60)
        (annas,) = bench.sandbox.timesheet(ANNA)
        bench.sandbox.manager.edit_shift(annas.id, note="came by bicycle")
        bench.sandbox.cable.cut()
        outs = [await bench.punch(who, "clock_out", ago_s=3600) for who in (ANNA, BOB)]
        await asyncio.sleep(13 * HOUR)
        bench.sandbox.cable.restore()
        bench.delivery.network_changed()
        await asyncio.sleep(600)
        assert [await bench.state(one) for one in outs] == [("delivered", None)] * 2
        notes = {row.user_id: bench.sandbox.company.shifts[row.id].manager_note for row in bench.sandbox.timesheet()}
        assert notes[ANNA] == "came by bicycle"
        assert outs[1] in str(notes[BOB])

    on_bench(tmp_path, story)


def test_a_line_that_comes_back_is_used_within_a_second_but_not_in_step(tmp_path: Path) -> None:
    """A link change ends the pause of the back-off; the jitter keeps kiosks of one site apart."""

    async def story(bench: Bench) -> None:
        bench.sandbox.cable.cut()
        await bench.punch(ANNA, "clock_in", ago_s=60)
        await asyncio.sleep(1800)
        bench.sandbox.cable.restore()
        at = bench.second()
        bench.delivery.network_changed()
        await asyncio.sleep(5)
        arrived = [entry.at for entry in bench.sandbox.log.entries]
        assert arrived
        assert 0 < arrived[0] - at <= 1.0

    on_bench(tmp_path, story)


@pytest.mark.parametrize("phone_leaves", [False, True])
def test_who_came_by_phone_as_well_is_clocked_in_once(tmp_path: Path, *, phone_leaves: bool) -> None:
    """The kiosk's clock-in waits, the phone's shift a few minutes later is worked and ends: nothing is opened beside it
    when it is no longer in the way, be it ended at the kiosk or by phone."""

    async def story(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        first = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(300)
        bench.sandbox.manager.phone_clock_in(ANNA)
        await bench.delivery.resume("uid:0")
        await asyncio.sleep(8 * HOUR)
        if phone_leaves:
            bench.sandbox.manager.phone_clock_out(ANNA)
            await asyncio.sleep(20)
        await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(2 * HOUR)
        assert await bench.state(first) == ("review", "already_open")
        assert len(bench.sheet()) == 1
        assert bench.sheet()[0][2] is not None

    on_bench(tmp_path, story)


def test_what_a_manager_typed_in_with_round_times_is_not_paid_twice(tmp_path: Path) -> None:
    """A day without network, typed in from ten past to five to: the taps around it open nothing, a person compares."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.sandbox.cable.cut()
        came = bench.second()
        first = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(9 * HOUR)
        left = bench.second()
        second = await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(600)
        bench.sandbox.manager.add_shift(ANNA, came + 600, left - 300)
        bench.sandbox.cable.restore()
        await asyncio.sleep(HOUR)
        assert bench.sheet() == [(ANNA, came + 600, left - 300)]
        assert await bench.state(first) == ("review", "overlaps_existing_shift")
        assert await bench.state(second) == ("held", "earlier_punch_in_review")

    on_bench(tmp_path, story)


def test_a_punch_that_waits_for_its_time_leaves_its_person_unsettled(tmp_path: Path) -> None:
    """It is in no lane of delivery's, and a snapshot may not speak before it is settled."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(60)
        punch = await bench.punch(ANNA, "clock_in", ago_s=2 * HOUR, known=False)
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("held", "clock_untrusted")
        await bench.delivery.sync_now()
        await asyncio.sleep(HOUR)
        assert bench.delivery.seen(BOB) is not None
        seen = bench.delivery.seen(ANNA)
        assert seen is not None
        assert seen[1] is None
        await bench.delivery.discard(punch, reason="nobody knows when", by="uid:0")
        await asyncio.sleep(60)
        seen = bench.delivery.seen(ANNA)
        assert seen is None or seen[1] is not None

    on_bench(tmp_path, story, policy=Policy(snapshots=True))
