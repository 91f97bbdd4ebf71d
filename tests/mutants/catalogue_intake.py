"""Mutants of in or out, repeats, and unknown badges."""

from __future__ import annotations

from functools import partial

from tests.mutants.mutant import Mutant
from tests.mutants.tests_of import ACCEPT, ATTEND, BADGES, DAYS, DIRECTORY, KEPT, READS, TIMES

_way = partial(Mutant, table="in or out")
_repeat = partial(Mutant, table="repeats")
_unknown = partial(Mutant, table="unknown badges")

_ATTEND = "daemon/intake/attendance.py"
_CLAIMS = "daemon/intake/claims.py"
_ADMIT = "daemon/intake/admission.py"

IN_OR_OUT = (
    _way(
        id="fixed-reader-ignored",
        row="a fixed direction decides",
        breaks="A reader with a fixed direction toggles like any other.",
        file=_ATTEND,
        before="direction = reader.fixed or toggle(moment, last, policy, server)",
        after="direction = toggle(moment, last, policy, server)",
        proofs=(f"{ATTEND}::test_a_fixed_reader_is_obeyed",),
    ),
    _way(
        id="everybody-always-comes",
        row="toggle by the last punch here",
        breaks="A toggle never lets anybody leave.",
        file=_ATTEND,
        before="return Direction.CLOCK_OUT if still_open else Direction.CLOCK_IN",
        after="return Direction.CLOCK_IN",
        proofs=(f"{ATTEND}::test_on_a_trusted_clock",),
    ),
    _way(
        id="discarded-punch-decides",
        row="toggle by the last punch here",
        breaks="A punch that a person discarded still decides which way the next goes.",
        file="daemon/queue/queue.py",
        before="{SELECT_PUNCH} WHERE p.user_id = ? AND d.state <> 'discarded' ORDER BY p.order_at DESC",
        after="{SELECT_PUNCH} WHERE p.user_id = ? ORDER BY p.order_at DESC",
        proofs=("tests/unit/queue/test_punches_and_taps.py::test_the_last_punch_is_the_last_in_the_lane_that_counts",),
    ),
    _way(
        id="old-snapshot-speaks",
        row="a snapshot speaks when all is settled",
        breaks="A snapshot from before the person's last punch here overrules that punch.",
        file=_ATTEND,
        before="return self.settled_at is not None and self.requested_at > self.settled_at",
        after="return self.settled_at is not None",
        proofs=(f"{ATTEND}::test_the_servers_view_corrects_what_is_known_here",),
    ),
    _way(
        id="snapshot-speaks-while-unsettled",
        row="a snapshot speaks when all is settled",
        breaks="The service's view decides while punches of the person are still on their way.",
        file="daemon/delivery/planning.py",
        before="if self.all_dirty or self.board.unsettled(user_id):",
        after="if False:",
        proofs=(f"{READS}::test_the_toggle_is_told_what_a_read_showed_only_after_all_is_settled",),
    ),
    _way(
        id="snapshot-never-speaks",
        row="a snapshot speaks when all is settled",
        breaks="Who came in by phone is clocked in a second time at the kiosk.",
        file=_ATTEND,
        before="if server is not None and server.speaks and moment.known:",
        after="if False:",
        proofs=(f"{ATTEND}::test_the_servers_view_corrects_what_is_known_here",),
    ),
    _way(
        id="snapshot-speaks-of-an-unknown-time",
        row="a snapshot speaks when all is settled",
        breaks="On a clock that nothing vouches for the service's view decides.",
        file=_ATTEND,
        before="if server is not None and server.speaks and moment.known:",
        after="if server is not None and server.speaks:",
        proofs=(f"{ATTEND}::test_the_view_says_nothing_without_a_trusted_clock_and_nothing_at_a_fixed_reader",),
    ),
    _way(
        id="late-leaving-is-coming",
        row="ended by the service itself still counts as open",
        breaks="Who leaves after an automatic clock-out is clocked in for the night.",
        file=_ATTEND,
        before="start = server.auto_ended_start",
        after="start = None",
        proofs=(f"{ATTEND}::test_the_servers_view_corrects_what_is_known_here",),
    ),
    _way(
        id="forgotten-clock-out-turns-the-day",
        row="too old an open shift",
        breaks="A clock-out forgotten yesterday turns today's coming into a leaving.",
        file=_ATTEND,
        before="still_open = last.direction is Direction.CLOCK_IN and since_last_s <= policy.max_shift_s",
        after="still_open = last.direction is Direction.CLOCK_IN",
        proofs=(f"{ACCEPT}::test_a_forgotten_clock_out_does_not_turn_the_next_day_around",),
    ),
    _way(
        id="shift-open-since-last-week",
        row="too old an open shift",
        breaks="A shift that the service has shown open for days turns a tap into a clock-out.",
        file=_ATTEND,
        before="return Direction.CLOCK_OUT if moment.at - start <= policy.max_shift_s else Direction.CLOCK_IN",
        after="return Direction.CLOCK_OUT",
        proofs=(f"{ATTEND}::test_the_servers_view_corrects_what_is_known_here",),
    ),
    _way(
        id="undecided-means-in",
        row="undecided while the time is unknown",
        breaks="After a reboot without a clock the direction is guessed.",
        file=_ATTEND,
        before="if last.direction is None or since_last_s is None:\n        return None",
        after="if last.direction is None or since_last_s is None:\n        return Direction.CLOCK_IN",
        proofs=(f"{TIMES}::test_after_a_reboot_without_trust_no_direction_is_guessed",),
    ),
    _way(
        id="real-tap-refused-for-its-time",
        row="a real tap is never refused",
        breaks="A person is turned away because the kiosk's clock went back.",
        file=_ATTEND,
        before="if moment.origin is Origin.STATED and since_last_s is not None and since_last_s <= 0:",
        after="if since_last_s is not None and since_last_s <= 0:",
        proofs=(f"{ATTEND}::test_a_real_tap_of_a_known_badge_is_never_refused",),
    ),
    _way(
        id="real-tap-refused-for-the-future",
        row="a real tap is never refused",
        breaks="A person is turned away because their tap is dated a moment ahead.",
        file=_ATTEND,
        before="return moment.origin is Origin.STATED and moment.at > now",
        after="return moment.at > now",
        proofs=(f"{ATTEND}::test_a_real_tap_of_a_known_badge_is_never_refused",),
    ),
)

REPEATS = (
    _repeat(
        id="no-repeat-guard",
        row="inside repeat_tap_seconds",
        breaks="An impatient second tap clocks the person out again.",
        file=_ATTEND,
        before="return abs(since_last_s) < policy.repeat_s",
        after="return False",
        proofs=(f"{ACCEPT}::test_a_repeat_is_counted_from_the_accepted_tap",),
    ),
    _repeat(
        id="repeats-of-an-hour",
        row="inside repeat_tap_seconds",
        breaks="Who leaves within the hour is taken for an impatient tap.",
        file=_ATTEND,
        before="return abs(since_last_s) < policy.repeat_s",
        after="return abs(since_last_s) < 60 * policy.repeat_s",
        proofs=(f"{ACCEPT}::test_a_repeat_is_counted_from_the_accepted_tap",),
    ),
    _repeat(
        id="somebody-elses-repeat",
        row="inside repeat_tap_seconds",
        breaks="Whoever taps right after another person is taken for that one's repeat.",
        file="daemon/intake/placing.py",
        before="last = last_punch(conn, employee.user_id)",
        after="everybody = list_punches(conn)\n    last = everybody[-1] if everybody else None",
        proofs=(f"{ACCEPT}::test_another_person_is_never_a_repeat",),
    ),
    _repeat(
        id="repeat-prolonged",
        row="counted from the accepted tap, never prolonged",
        breaks="Each repeat begins the wait anew: who keeps tapping is never taken.",
        file="daemon/intake/placing.py",
        before="last = last_punch(conn, employee.user_id)",
        after="last = last_punch(conn, employee.user_id)\n"
        '    newest = conn.execute("SELECT max(boottime_s) FROM taps WHERE badge = ? AND boot_id = ?",\n'
        "                          (occurrence.badge, moment.boot_id)).fetchone()[0]\n"
        "    if last is not None and last.boot_id == moment.boot_id and newest is not None:\n"
        "        from dataclasses import replace\n"
        "        last = replace(last, boottime_s=max(last.boottime_s, newest))",
        proofs=(f"{ACCEPT}::test_a_repeat_is_counted_from_the_accepted_tap",),
    ),
    _repeat(
        id="wall-clock-in-the-repeat-guard",
        row="on a clock that cannot step",
        breaks="A step of the wall clock makes two taps of one, or one of two.",
        file=_ATTEND,
        before="first, second = (by_boot, by_time) if moment.origin is Origin.LIVE else (by_time, by_boot)",
        after="first, second = (by_time, by_boot)",
        proofs=(f"{ATTEND}::test_what_the_wall_clock_shows_makes_no_repeat_and_hides_none",),
    ),
    _repeat(
        id="repeat-across-a-reboot-counts",
        row="on a clock that cannot step",
        breaks="A tap that turns out to repeat the one before the power cut becomes a punch.",
        file="daemon/intake/settling.py",
        before="if undecided and previous is not None and repeats(moment, previous, reader, policy):",
        after="if False:",
        proofs=(f"{TIMES}::test_a_tap_that_turns_out_to_repeat_the_one_before_the_cut",),
    ),
    _repeat(
        id="correction-swallowed",
        row="a fixed reader of the other direction corrects",
        breaks="Who went through the wrong door cannot correct it within the minute.",
        file=_ATTEND,
        before="if reader.fixed is not None and reader.fixed is not last.direction:\n        return False",
        after="pass",
        proofs=(f"{ACCEPT}::test_fixed_readers_decide_and_correct", f"{DAYS}::test_the_wrong_door_in_the_morning"),
    ),
)

UNKNOWN = (
    _unknown(
        id="unknown-tap-dropped",
        row="taps are kept",
        breaks="The tap of a badge nobody owns yet is not kept.",
        file=_ADMIT,
        before='return _stored(conn, arrival, TapResult.UNKNOWN_BADGE, "unknown_badge", way)',
        after='return TapAnswer(TapResult.UNKNOWN_BADGE, "unknown_badge")',
        proofs=(f"{ACCEPT}::test_unknown_badges_are_kept",),
    ),
    _unknown(
        id="kept-tap-dated-today",
        row="taps are kept",
        breaks="A kept tap becomes a punch of the moment when the badge was assigned.",
        file="daemon/intake/placing.py",
        before="occurred_at=moment.at,",
        after="occurred_at=desk.now,",
        proofs=(f"{KEPT}::test_days_later_they_have_their_original_times",),
    ),
    _unknown(
        id="kept-tap-converted-twice",
        row="taps are kept",
        breaks="A kept tap is not marked as claimed: the next assignment makes another punch of it.",
        file=_CLAIMS,
        before="claim_tap(conn, tap.id, punch_id)",
        after="pass",
        proofs=(f"{KEPT}::test_days_later_they_have_their_original_times",),
    ),
    _unknown(
        id="wrong-person-after-release",
        row="since the last release",
        breaks="Taps from before a badge was released are given to its next owner.",
        file=_CLAIMS,
        before="and (released is None or at > released)",
        after="",
        proofs=(f"{KEPT}::test_not_those_before_the_last_release",),
    ),
    _unknown(
        id="taking-a-badge-is-no-release",
        row="since the last release",
        breaks="A badge that is taken from somebody brings their taps along.",
        file="daemon/queue/people.py",
        before='at if state == "assigned" else released))',
        after="released))",
        proofs=(f"{BADGES}::test_taking_a_badge_from_somebody_is_a_release",),
        unseen="the daemon's own paths free a badge before they give it: this is the second guard",
    ),
    _unknown(
        id="somebody-elses-badge-given-away",
        row="since the last release",
        breaks="A badge can be given to a second person while the first one has it.",
        file=_CLAIMS,
        before="if owner is not None and owner.user_id != employee.user_id:",
        after="if False:",
        proofs=(f"{DIRECTORY}::test_a_badge_has_one_owner_until_it_is_freed",),
    ),
    _unknown(
        id="kept-taps-of-all-time",
        row="of the last 7 days",
        breaks="Taps of months ago become punches when the badge is assigned.",
        file=_CLAIMS,
        before="at >= desk.now - KEPT_S and",
        after="",
        proofs=(f"{KEPT}::test_only_the_last_seven_days_unless_told",),
    ),
    _unknown(
        id="kept-repeats-count",
        row="repeats of 5 minutes folded",
        breaks="Who tapped an unknown badge again and again gets a punch for each.",
        file="daemon/intake/rules.py",
        before="max(repeat_s, KEPT_REPEAT_S) if kept else repeat_s",
        after="repeat_s",
        proofs=(f"{KEPT}::test_repeats_of_five_minutes_are_folded",),
    ),
    _unknown(
        id="kept-tap-before-the-last-punch",
        row="not after the last punch: out_of_order",
        breaks="A kept tap that lies before the person's last punch is sent, and turns their day round.",
        file=_ATTEND,
        before="if last is not None and last.time_known and moment.at <= last.occurred_at:",
        after="if False:",
        proofs=(f"{KEPT}::test_what_does_not_lie_after_the_last_punch_goes_to_review",),
    ),
    _unknown(
        id="settled-out-of-order-and-sent",
        row="not after the last punch: out_of_order",
        breaks="A time that comes later and contradicts the order of the taps is sent all the same.",
        file="daemon/intake/settling.py",
        before="if undecided and any(other.occurred_at >= punch.occurred_at for other in earlier):",
        after="if False:",
        proofs=(f"{TIMES}::test_a_settled_time_that_contradicts_the_order_of_taps_goes_to_review",),
    ),
)

MUTANTS = IN_OR_OUT + REPEATS + UNKNOWN
