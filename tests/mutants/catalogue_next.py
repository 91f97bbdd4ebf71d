"""Mutants of what is sent next: the planner's table, and batches."""

from __future__ import annotations

from functools import partial

from tests.mutants.mutant import Mutant
from tests.mutants.tests_of import BATCHES, GUARDS, LOOP, PLANNER, PROMISES, SETTLE, WIRE

_next = partial(Mutant, table="what to send next")

_PLANNER = "daemon/delivery/planner.py"
_WALK = "daemon/delivery/walk.py"
_KNOWLEDGE = "daemon/delivery/knowledge.py"
_SETTLE = "daemon/delivery/settle.py"
_COURIER = "daemon/delivery/courier.py"

MUTANTS = (
    _next(
        id="untrusted-clock-plans",
        row="any, clock not trusted",
        breaks="Punches are planned and sent on a clock that nothing vouches for.",
        file=_PLANNER,
        before="if not walk.moment.trusted or not punch.time_known or punch.direction is None:",
        after="if not punch.time_known or punch.direction is None:",
        proofs=(f"{PLANNER}::test_nothing_is_sent_on_an_untrusted_clock",),
    ),
    _next(
        id="unknown-time-sent",
        row="any, clock not trusted",
        breaks="A punch whose time is not known is sent with what the wall clock said.",
        file=_PLANNER,
        before="if not walk.moment.trusted or not punch.time_known or punch.direction is None:",
        after="if not walk.moment.trusted or punch.direction is None:",
        proofs=(
            f"{PLANNER}::test_a_punch_without_a_time_stays_held_and_later_ones_that_do_not_hang_on_it_go",
            f"{PROMISES}::test_every_lane_gets_on_or_names_why_not",
        ),
    ),
    _next(
        id="looked-up-on-an-untrusted-clock",
        row="any, clock not trusted",
        breaks="An unknown outcome is judged on a clock that nothing vouches for.",
        file="daemon/delivery/unknown.py",
        before="if not walk.moment.trusted:\n        return False",
        after="pass",
        proofs=(f"{PLANNER}::test_not_even_a_look_up_leaves_on_an_untrusted_clock",),
    ),
    _next(
        id="recorded-clock-in-sent-again",
        row="any, already recorded",
        breaks="A clock-in that a read shows recorded, by a manager's hand perhaps, is sent once more.",
        file=_PLANNER,
        before="if (record := walk.view.starting(punch.second) if walk.view else None) is not None:",
        after="if (record := None) is not None:",
        proofs=(f"{PLANNER}::test_a_clock_in_already_on_the_timesheet_is_delivered",),
    ),
    _next(
        id="recorded-clock-out-not-seen",
        row="any, already recorded",
        breaks="A shift that ends at exactly our second needs a person instead of being delivered.",
        file=_PLANNER,
        before="if record.end == punch.second:",
        after="if False:",
        proofs=(f"{PLANNER}::test_a_shift_that_already_ended",),
    ),
    _next(
        id="recorded-foreign-clock-out-not-seen",
        row="any, already recorded",
        breaks="A clock-out of a phone's shift that already stands there waits for ever.",
        file=_PLANNER,
        before="if (record := view.ending(punch.second)) is not None:",
        after="if (record := None) is not None:",
        proofs=(
            f"{GUARDS}::test_a_clock_out_that_stands_there_already_is_delivered_though_its_clock_in_is_unknown_here",
        ),
    ),
    _next(
        id="clock-in-without-its-second",
        row="clock-in, inside",
        breaks="A clock-in is sent without its time: the service takes the moment of arrival.",
        file="daemon/timesheets/connecteam/wire.py",
        before='body: Json = {"userId": user_number(step.user_id), "timestamp": step.at}',
        after='body: Json = {"userId": user_number(step.user_id)}',
        proofs=(f"{WIRE}::test_clock_in_and_out_say_who_and_when_and_nothing_else",),
    ),
    _next(
        id="clock-in-before-its-second",
        row="clock-in, inside",
        breaks="A fresh tap is sent at once, where a service a second behind refuses it as its future.",
        file="daemon/delivery/policy.py",
        before="SEND_AFTER_S = 2",
        after="SEND_AFTER_S = -60",
        proofs=(f"{PLANNER}::test_a_fresh_tap_waits_for_the_services_second",),
        unseen="the service refuses it, and it goes again a second later: nobody sees more than a wasted request",
    ),
    _next(
        id="inside-a-finished-shift",
        row="clock-in, inside a finished shift",
        breaks="A clock-in opens a shift inside one that a read shows finished.",
        file=_PLANNER,
        before="if (record := walk.view.around(punch.second) if walk.view else None) is not None:",
        after="if (record := None) is not None:",
        proofs=(f"{PLANNER}::test_a_clock_in_inside_a_finished_shift_needs_a_person",),
    ),
    _next(
        id="expired-clock-in-sent-live",
        row="clock-in expired, its clock-out queued",
        breaks="A clock-in beyond the look-back is sent live, and refused again and again.",
        file=_PLANNER,
        before="if walk.too_old_for_live(index):\n        return _expired_clock_in(walk, index)",
        after="pass",
        proofs=(f"{PLANNER}::test_an_expired_clock_in_goes_as_one_completed_shift_with_its_own_clock_out",),
    ),
    _next(
        id="pair-and-its-clock-out-too",
        row="clock-in expired, its clock-out queued",
        breaks="A completed shift covers its clock-in alone; the clock-out is sent by itself as well.",
        file=_WALK,
        before="ids = (punch.id, self.punches[index + 1].id) if pair else (punch.id,)",
        after="ids = (punch.id,)",
        proofs=(f"{PLANNER}::test_an_expired_clock_in_goes_as_one_completed_shift_with_its_own_clock_out",),
    ),
    _next(
        id="given-up-before-the-shift-ends",
        row="clock-in expired, no clock-out yet",
        breaks="An expired clock-in goes to review although its clock-out may still come.",
        file=_PLANNER,
        before="if walk.moment.server_now > punch.second + walk.policy.max_shift_s:",
        after="if True:",
        proofs=(f"{PLANNER}::test_an_expired_clock_in_waits_for_its_clock_out_then_needs_a_person",),
    ),
    _next(
        id="waits-for-a-clock-out-for-ever",
        row="clock-in expired, no clock-out yet",
        breaks="A forgotten clock-out is waited for without end; nobody is told.",
        file=_PLANNER,
        before="if walk.moment.server_now > punch.second + walk.policy.max_shift_s:",
        after="if False:",
        proofs=(f"{PLANNER}::test_an_expired_clock_in_waits_for_its_clock_out_then_needs_a_person",),
    ),
    _next(
        id="next-clock-in-taken-for-the-end",
        row="clock-in expired, another clock-in next",
        breaks="The next clock-in is taken for the end of an expired shift.",
        file=_PLANNER,
        before="if after.direction is Direction.CLOCK_IN or not walk.is_pair(index) or",
        after="if",
        proofs=(f"{PLANNER}::test_an_expired_clock_in_before_another_clock_in_needs_a_person_and_the_later_goes_on",),
    ),
    _next(
        id="closed-another-shift-unnoticed",
        row="clock-out inside, its clock-in delivered",
        breaks="A clock-out that ended another shift than its own counts as delivered.",
        file=_SETTLE,
        before="if isinstance(step, EndShift) and record.id != step.shift_id:",
        after="if False:",
        proofs=(f"{SETTLE}::test_a_clock_out_that_closed_another_shift_needs_a_person",),
    ),
    _next(
        id="gone-shift-clocked-out",
        row="clock-out inside, its clock-in delivered",
        breaks="A clock-out is sent although a read shows its shift deleted: it ends another one.",
        file=_PLANNER,
        before="if walk.view is not None and record is None and walk.view.requested_at > punch.occurred_at:",
        after="if False:",
        proofs=(f"{GUARDS}::test_a_live_clock_out_of_a_shift_that_is_gone_is_not_sent",),
    ),
    _next(
        id="foreign-shift-by-an-old-read",
        row="clock-out, its clock-in unknown here",
        breaks="A read from before the tap says which shift of a phone is closed.",
        file=_PLANNER,
        before="if view is None or view.requested_at < punch.occurred_at or not view.covers(punch.second):",
        after="if view is None or not view.covers(punch.second):",
        proofs=(
            f"{PLANNER}::test_a_clock_out_of_a_phones_shift_closes_that_one",
            f"{PROMISES}::test_nothing_is_sent_that_a_read_contradicts",
        ),
    ),
    _next(
        id="foreign-shift-of-last-week",
        row="clock-out, its clock-in unknown here",
        breaks="A shift somebody left open days ago is closed by today's clock-out.",
        file=_KNOWLEDGE,
        before="if r.end is None and second - within_s <= r.start < second]",
        after="if r.end is None and r.start < second]",
        proofs=(f"{PLANNER}::test_a_clock_out_does_not_close_a_shift_begun_too_long_ago",),
    ),
    _next(
        id="foreign-clock-out-given-up-at-once",
        row="clock-out, its clock-in unknown here",
        breaks="A clock-out whose clock-in another kiosk has yet to send goes to review at once.",
        file=_PLANNER,
        before="waited = max(LOOK_AGAIN_MIN_S, view.requested_at - punch.occurred_at)",
        after='return walk.review(index, "no_matching_clock_in")\n    waited = 60.0',
        proofs=(f"{PLANNER}::test_a_clock_out_without_any_open_shift_waits_and_looks_again_ever_later",),
    ),
    _next(
        id="foreign-clock-out-held-for-ever",
        row="clock-out, its clock-in unknown here",
        breaks="A clock-out without any clock-in is never given to a person.",
        file=_PLANNER,
        before='return walk.review(index, "no_matching_clock_in")',
        after='return walk.hold(index, "waiting_for_clock_in")',
        proofs=(f"{PLANNER}::test_a_clock_out_without_any_open_shift_waits_and_looks_again_ever_later",),
    ),
    _next(
        id="late-end-as-a-second-shift",
        row="clock-out expired, its shift open",
        breaks="Instead of closing the open shift, a second one is recorded over it.",
        file=_PLANNER,
        before="return _close_late(walk, index, record)\n\n\ndef _already_ended",
        after="start = walk.punches[index - 1]\n"
        "    step = RecordShift(punch.user_id, start.second, punch.second, reference(start))\n"
        "    return walk.send(index, step, expired=True)\n\n\ndef _already_ended",
        proofs=(
            f"{PLANNER}::test_an_expired_clock_out_on_a_delivered_shift_is_closed_by_an_update_after_a_read",
            f"{LOOP}::test_an_expired_clock_out_closes_its_shift_by_an_update_that_is_read_back",
        ),
    ),
    _next(
        id="late-end-without-a-read",
        row="clock-out expired, its shift open",
        breaks="An expired clock-out is judged by what was known before the tap.",
        file=_PLANNER,
        before="if walk.stale(punch, asked_after=punch.occurred_at):",
        after="if False:",
        proofs=(f"{PLANNER}::test_an_expired_clock_out_on_a_delivered_shift_is_closed_by_an_update_after_a_read",),
    ),
    _next(
        id="late-end-believed",
        row="clock-out expired, its shift open",
        breaks="An update that closes a shift is believed without reading it back.",
        file=_SETTLE,
        before="if isinstance(step, CloseShift):  # believed only when read back",
        after="if False:  # believed",
        proofs=(f"{SETTLE}::test_an_update_is_believed_only_when_read_back",),
    ),
    _next(
        id="late-end-tried-for-ever",
        row="clock-out expired, its shift open",
        breaks="An update that the service ignores is sent again and again; nobody is told.",
        file="daemon/delivery/unknown.py",
        before="elif isinstance(step, CloseShift):",
        after="elif False:",
        proofs=(f"{PLANNER}::test_an_update_that_did_not_take_needs_a_person",),
    ),
    _next(
        id="managers-end-overwritten",
        row="clock-out, its shift already ended",
        breaks="The end that a manager typed in is overwritten by the tap.",
        file=_PLANNER,
        before='return walk.review(index, "already_clocked_out", described(record))',
        after="return walk.send(index, CloseShift(punch.user_id, record.id, punch.second, reference(punch)))",
        proofs=(f"{PLANNER}::test_a_shift_that_already_ended",),
    ),
    _next(
        id="automatic-end-overwritten",
        row="clock-out, its shift already ended",
        breaks="An automatic clock-out is corrected although the owner asked for a review.",
        file=_PLANNER,
        before='if walk.policy.after_auto_clock_out == "correct" and not walk.gave_up_closing(index):',
        after="if not walk.gave_up_closing(index):",
        proofs=(f"{PLANNER}::test_a_shift_that_already_ended",),
    ),
    _next(
        id="automatic-end-taken-for-a-managers",
        row="clock-out, its shift already ended",
        breaks="An automatic clock-out is told as somebody's decision, and never corrected.",
        file=_PLANNER,
        before="if not record.auto_ended:",
        after="if True:",
        proofs=(
            f"{PLANNER}::test_an_auto_clock_out_is_corrected_when_configured",
            f"{PLANNER}::test_a_shift_that_already_ended",
        ),
    ),
    _next(
        id="phones-second-shift-left-open",
        row="clock-out, the phone opened another shift",
        breaks="After a break by phone the person's leaving goes to review, and the new shift stays open.",
        file=_PLANNER,
        before="if opened_since is not None and record.end is not None and opened_since.start >= record.end:",
        after="if False:",
        proofs=(f"{PLANNER}::test_a_clock_out_after_a_phones_break_ends_the_shift_that_the_phone_opened",),
    ),
    _next(
        id="recorded-over-another",
        row="completed shift, something overlaps it",
        breaks="A completed shift is recorded over one that a read shows.",
        file=_PLANNER,
        before="record = walk.view.overlapping(start.second, end.second)",
        after="record = None",
        proofs=(f"{PLANNER}::test_a_completed_shift_that_something_overlaps_needs_a_person",),
    ),
    _next(
        id="open-shift-overlaps-nothing",
        row="completed shift, something overlaps it",
        breaks="A completed shift is recorded over one that is still open.",
        file=_KNOWLEDGE,
        before="if r.start < end and (r.end is None or r.end > start)), None)",
        after="if r.start < end and r.end is not None and r.end > start), None)",
        proofs=(f"{PLANNER}::test_an_expired_pair_inside_an_open_shift_ends_that_shift",),
    ),
    _next(
        id="nothing-read-after-an-outage",
        row="read before writing after an outage",
        breaks="Old punches are sent without a look at what managers typed in meanwhile.",
        file=_WALK,
        before="if self.moment.now - punch.occurred_at <= READ_AFTER_S or not self.policy.can_look_up:",
        after="if True:",
        proofs=(f"{PLANNER}::test_something_older_than_a_quarter_of_an_hour_is_preceded_by_a_read",),
    ),
    _next(
        id="an-old-read-speaks",
        row="read before writing after an outage",
        breaks="A read from before the outage still counts after it.",
        file=_WALK,
        before="return self.view.requested_at < max(self.moment.now - READ_AFTER_S, asked_after)",
        after="return self.view.requested_at < asked_after",
        proofs=(
            f"{PLANNER}::test_something_older_than_a_quarter_of_an_hour_is_preceded_by_a_read",
            f"{PROMISES}::test_nothing_is_sent_that_a_read_contradicts",
        ),
    ),
    _next(
        id="batch-without-read-back",
        row="batches",
        breaks="An accepted batch counts as delivered for everybody in it, whatever was recorded.",
        file=_COURIER,
        before="if outcome is not None:\n                ended =",
        after="if settle_together(reply.outcome) is None and (reply.status or 500) < 300:\n"
        "                from daemon.delivery.plan import Verdict\n"
        "                from daemon.model import PunchState, RecordedAs\n"
        "                for user_id, attempt_id in begun.items():\n"
        "                    as_ = PunchState.DELIVERED, None, None, f'batch-{attempt_id}', RecordedAs.TIME_ACTIVITY\n"
        "                    done = Settlement(\n"
        "                        Reach.ANSWERED, tuple(Verdict(i, *as_) for i in sends[user_id].punch_ids), 'done')\n"
        "                    await self._db.write(\n"
        "                        partial(storage.settle, send=sends[user_id], attempt_id=attempt_id, settlement=done, "
        "reply=reply, at=at))\n"
        "            if outcome is not None:\n                ended =",
        proofs=(
            f"{BATCHES}::test_three_peoples_shifts_take_one_request_and_one_read_back",
            f"{BATCHES}::test_one_persons_locked_day_counts_against_that_person_only",
        ),
    ),
    _next(
        id="batch-refused-goes-again-whole",
        row="batches",
        breaks="Whatever a batch's answer, all of it goes again without a read-back: recorded shifts double.",
        file=_SETTLE,
        before='case Misconfigured():\n            return "misconfigured"\n        case _:\n            return None',
        after='case Misconfigured():\n            return "misconfigured"\n        case _:\n            return "absent"',
        proofs=(f"{BATCHES}::test_a_lost_answer_to_several_shifts_doubles_none",),
    ),
    _next(
        id="absent-goes-again-together",
        row="batches",
        breaks="What a batch did not record goes again in a batch, so that one person's trouble stays everybody's.",
        file=_WALK,
        before="alone = not pair or (attempt is not None and attempt.outcome == _GOES_ALONE)",
        after="alone = not pair",
        proofs=(f"{BATCHES}::test_one_persons_locked_day_counts_against_that_person_only",),
    ),
)
