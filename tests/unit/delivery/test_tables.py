"""The rules of delivery, row by row, each with the tests that prove it: a row whose test is gone is not proven."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PLANNER, UNKNOWN, SETTLE, PACING = (
    "unit/delivery/test_planner.py",
    "unit/delivery/test_unknown.py",
    "unit/delivery/test_settle.py",
    "unit/delivery/test_pacing.py",
)
PROMISES, ANSWERS = "unit/delivery/test_planner_properties.py", "unit/test_connecteam_answers.py"
LOOP, BATCHES = "integration/delivery/test_delivery_loop.py", "integration/delivery/test_delivery_batches.py"
GATE, READS = "integration/delivery/test_delivery_gate.py", "integration/delivery/test_reads.py"
CLIENT, DECIDE = "integration/test_connecteam_client.py", "integration/delivery/test_decisions.py"
DAYS, SERVICES = "simulation/test_days_of_people.py", "contract/test_timesheets.py"
GUARDED, HEALING = "integration/delivery/test_guards.py", "unit/delivery/test_healing.py"
DOUBLES, CHANGED = "integration/delivery/test_doubles.py", "integration/test_salvaged_and_changed.py"
DOUBT = "simulation/test_doubt_and_restarts.py"
OPEN, SALVAGED = "unit/delivery/test_open_attempts.py", "integration/delivery/test_salvaged_shifts.py"
ATTEND, TIMES = "unit/intake/test_attendance.py", "integration/intake/test_times.py"
ACCEPT, KEPT = "integration/intake/test_accept.py", "integration/intake/test_kept_taps.py"

Proof = tuple[str, str]  # file, test

CAPABILITIES: dict[str, list[Proof]] = {
    "open a shift now, close it later": [(SERVICES, "test_a_clock_in_and_its_clock_out_stand_there_at_their_seconds")],
    "how far back that reaches": [(PLANNER, "test_the_window_ends_with_its_margin_by_the_services_clock")],
    "record a completed shift": [(SERVICES, "test_a_completed_shift_stands_there_with_our_mark")],
    "completed shifts only": [(UNKNOWN, "test_a_service_without_live_shifts_gets_completed_ones")],
    "close an open shift late, read back": [
        (SERVICES, "test_an_open_shift_of_the_past_gets_its_end"),
        (SETTLE, "test_an_update_is_believed_only_when_read_back"),
        (PLANNER, "test_closing_by_update_can_be_switched_off"),
    ],
    "look up by days and users": [(SERVICES, "test_a_look_up_tells_all_that_touches_the_time_asked_for")],
    "a mark of ours": [(UNKNOWN, "test_our_reference_in_the_note_finds_a_rounded_record")],
}

LANES: dict[str, list[Proof]] = {
    "order within a person": [(PROMISES, "test_no_punch_overtakes_an_earlier_one_that_could_go")],
    "one request in flight a lane": [(PROMISES, "test_one_request_a_lane_and_only_for_its_own_pending_punches")],
    "inside the window first, oldest first": [(PACING, "test_oldest_first_inside_the_window")],
    "expired yields, one in ten": [(PACING, "test_what_has_expired_yields_but_gets_one_request_in_ten")],
    "expired by the service's clock, with the margin": [
        (PLANNER, "test_the_window_ends_with_its_margin_by_the_services_clock")
    ],
    "judged at the moment of sending": [
        (GUARDED, "test_what_waited_long_for_its_turn_is_judged_when_it_is_sent"),
        (GUARDED, "test_no_request_begins_for_what_was_decided_meanwhile"),
    ],
    "TOO_OLD means plan again": [(PLANNER, "test_the_services_too_old_means_plan_again_as_expired")],
    "a review holds its own counterpart": [(PLANNER, "test_a_clock_in_in_review_holds_its_own_clock_out_only")],
    "a review holds live punches while its shift is open": [
        (PLANNER, "test_a_clock_out_in_review_holds_live_punches_while_its_shift_is_open")
    ],
    "a completed shift in review holds nothing": [(PLANNER, "test_a_completed_shift_in_review_holds_back_nothing")],
    "one person's trouble": [(LOOP, "test_one_persons_trouble_is_nobody_elses")],
    "an error while planning one person": [
        (LOOP, "test_a_fault_of_ours_on_one_person_puts_theirs_in_review_and_others_go_on"),
        (LOOP, "test_the_punch_whose_request_failed_goes_to_review_and_not_an_older_one"),
    ],
    "longer than max_shift_hours": [
        (PLANNER, "test_a_shift_longer_than_the_limit_is_never_sent"),
        (DAYS, "test_a_care_shift_of_24_hours"),
    ],
    "at least one second": [(PLANNER, "test_a_clock_out_in_the_second_of_its_clock_in_needs_a_person")],
}

NEXT: dict[str, list[Proof]] = {
    "any, clock not trusted": [
        (PLANNER, "test_nothing_is_sent_on_an_untrusted_clock"),
        (DAYS, "test_the_clock_is_wrong_at_boot"),
    ],
    "any, already recorded": [
        (PLANNER, "test_a_clock_in_already_on_the_timesheet_is_delivered"),
        (PLANNER, "test_a_completed_shift_already_on_the_timesheet_is_delivered_whole"),
    ],
    "clock-in, inside": [(PLANNER, "test_a_clock_in_inside_the_window_is_sent_with_its_second")],
    "clock-in, inside a finished shift": [
        (PLANNER, "test_a_clock_in_inside_a_finished_shift_needs_a_person"),
        (PLANNER, "test_a_clock_in_never_opens_a_second_shift_over_one_that_began_after_it"),
        (PLANNER, "test_a_clock_in_whose_clock_out_is_delivered_opens_nothing_any_more"),
        (READS, "test_what_a_manager_typed_in_with_round_times_is_not_paid_twice"),
    ],
    "clock-in expired, its clock-out queued": [
        (PLANNER, "test_an_expired_clock_in_goes_as_one_completed_shift_with_its_own_clock_out"),
        (DAYS, "test_a_night_shift"),
        (DAYS, "test_lunch"),
    ],
    "clock-in expired, no clock-out yet": [
        (PLANNER, "test_an_expired_clock_in_waits_for_its_clock_out_then_needs_a_person")
    ],
    "clock-in expired, another clock-in next": [
        (PLANNER, "test_an_expired_clock_in_before_another_clock_in_needs_a_person_and_the_later_goes_on"),
        (DAYS, "test_a_forgotten_clock_out_while_offline"),
    ],
    "clock-out inside, its clock-in delivered": [
        (PLANNER, "test_a_clock_out_closes_the_shift_its_clock_in_opened"),
        (SETTLE, "test_a_clock_out_that_closed_another_shift_needs_a_person"),
    ],
    "clock-out, its clock-in unknown here": [
        (PLANNER, "test_a_clock_out_of_a_phones_shift_closes_that_one"),
        (PLANNER, "test_a_clock_out_without_any_open_shift_waits_and_looks_again_ever_later"),
        (PLANNER, "test_a_clock_out_does_not_close_a_shift_begun_too_long_ago"),
        (DAYS, "test_in_by_phone_and_out_by_kiosk"),
        (DAYS, "test_in_at_one_kiosk_and_out_at_another_that_is_offline"),
    ],
    "clock-out expired, its shift open": [
        (PLANNER, "test_an_expired_clock_out_on_a_delivered_shift_is_closed_by_an_update_after_a_read"),
        (UNKNOWN, "test_an_update_that_did_not_take_needs_a_person"),
        (LOOP, "test_an_expired_clock_out_closes_its_shift_by_an_update_that_is_read_back"),
    ],
    "clock-out, its shift already ended": [
        (PLANNER, "test_a_shift_that_already_ended"),
        (PLANNER, "test_an_auto_clock_out_is_corrected_when_configured"),
        (DAYS, "test_a_late_tap_after_an_automatic_clock_out"),
        (DAYS, "test_a_manager_ends_the_shift_while_the_kiosk_is_offline"),
    ],
    "clock-out, the phone opened another shift": [
        (PLANNER, "test_a_clock_out_after_a_phones_break_ends_the_shift_that_the_phone_opened"),
        (DAYS, "test_a_break_by_phone_and_home_by_kiosk"),
    ],
    "completed shift, something overlaps it": [
        (PLANNER, "test_a_completed_shift_that_something_overlaps_needs_a_person"),
        (PLANNER, "test_an_expired_pair_inside_an_open_shift_ends_that_shift"),
        (DAYS, "test_a_manager_typed_in_some_of_what_the_outage_hid"),
    ],
    "read before writing after an outage": [
        (PLANNER, "test_something_older_than_a_quarter_of_an_hour_is_preceded_by_a_read"),
        (LOOP, "test_after_an_outage_the_oldest_goes_first_with_the_original_times"),
    ],
    "batches": [
        (BATCHES, "test_three_peoples_shifts_take_one_request_and_one_read_back"),
        (BATCHES, "test_one_persons_locked_day_counts_against_that_person_only"),
    ],
}

CLOCK: dict[str, list[Proof]] = {
    "nothing is sent while it is not trusted": [(LOOP, "test_nothing_leaves_while_the_clock_is_not_trusted")],
    "a Date near ours": [(LOOP, "test_a_verified_date_near_ours_is_trust_enough")],
    "a Date far from ours": [
        (GATE, "test_a_date_far_from_ours_is_doubt_whatever_ntp_says"),
        (GATE, "test_a_doubt_ends_by_itself_though_nothing_waits"),
    ],
    "a certificate out of its time": [
        (GATE, "test_a_certificate_out_of_its_time_on_an_untrusted_clock_is_a_clock_alarm"),
        (CLIENT, "test_a_certificate_out_of_its_time_may_mean_our_clock"),
    ],
    "taps before trust, same boot": [(DAYS, "test_the_clock_is_wrong_at_boot")],
    "taps of a boot that never had it": [
        (TIMES, "test_a_punch_of_a_boot_that_never_had_trust_stays_and_holds_what_hangs_on_it")
    ],
    "a time shown to be wrong is not sent": [
        (DOUBT, "test_a_tap_by_a_clock_that_was_believed_and_wrong_is_never_sent_with_that_time"),
        (PLANNER, "test_a_time_that_lies_far_ahead_is_known_to_be_wrong"),
    ],
}

MEANINGS: dict[str, list[Proof]] = {
    "journalled before it leaves": [
        (LOOP, "test_a_crash_between_the_journal_and_the_answer_is_looked_up"),
        (LOOP, "test_a_timesheet_that_raises_after_sending_leaves_the_attempt_open"),
    ],
    "delivered": [
        (ANSWERS, "test_a_2xx_with_id_person_and_our_time_is_done"),
        (SETTLE, "test_done_delivers_with_the_records_id"),
        (SETTLE, "test_done_delivers_both_punches_of_a_pair"),
    ],
    "delivered, changed": [
        (SETTLE, "test_another_time_than_ours_is_never_sent_again"),
        (LOOP, "test_a_rounding_service_is_believed_and_told_of"),
    ],
    "not sent": [
        (SERVICES, "test_with_the_cable_out_nothing_was_sent"),
        (SETTLE, "test_what_surely_did_not_happen_goes_again"),
        (PACING, "test_offline_backs_off_and_a_new_punch_hurries_it"),
        (READS, "test_a_line_that_comes_back_is_used_within_a_second_but_not_in_step"),
    ],
    "unknown": [
        (ANSWERS, "test_what_proves_nothing_is_uncertain"),
        (SETTLE, "test_unknown_leaves_the_attempt_open"),
        (OPEN, "test_what_may_have_been_done_is_never_sent_nor_let_go"),
        (UNKNOWN, "test_an_unknown_outcome_is_looked_up_after_the_settling_time_before_anything_else"),
        (UNKNOWN, "test_absent_is_looked_for_once_more_and_then_goes_again"),
        (LOOP, "test_a_lost_answer_is_looked_up_and_never_doubles"),
        (LOOP, "test_a_crash_between_the_journal_and_the_answer_is_looked_up"),
        (DAYS, "test_the_answer_to_a_clock_out_is_lost_and_the_kiosk_restarts"),
    ],
    "unknown, and moved by a manager meanwhile": [
        (UNKNOWN, "test_a_lost_request_that_was_moved_before_it_was_looked_up"),
        (UNKNOWN, "test_a_forgotten_clock_in_goes_again_only_where_the_day_is_explained"),
        (UNKNOWN, "test_a_forgotten_clock_out_of_a_foreign_shift_does_not_end_another"),
        (CHANGED, "test_a_forgotten_delivery_is_not_made_again_beside_the_changed_one"),
        (CHANGED, "test_a_person_who_compared_lets_it_go"),
        (CHANGED, "test_a_delivery_that_only_the_copy_knows_is_believed"),
    ],
    "unknown, and recorded twice after all": [
        (DOUBLES, "test_a_punch_that_stands_there_twice_is_told_until_one_of_them_is_deleted"),
        (DOUBLES, "test_what_another_program_or_a_manager_made_is_not_ours"),
        (DOUBLES, "test_kept_is_what_the_punch_was_delivered_as_else_what_was_there_first"),
    ],
    "a record that cannot be read": [(READS, "test_one_unreadable_record_holds_up_that_person_alone")],
    "throttled": [
        (ANSWERS, "test_a_throttle_is_told_with_its_end"),
        (PACING, "test_throttled_without_a_header_waits_a_minute"),
        (LOOP, "test_a_throttle_in_either_dress_waits_and_sends_again"),
    ],
    "halted": [
        (LOOP, "test_a_refused_key_halts_everything_and_moves_nothing_to_review"),
        (GATE, "test_a_key_that_may_not_read_still_punches"),
        (GATE, "test_one_persons_write_that_is_forbidden_halts_everything"),
        (DAYS, "test_the_key_expires_over_a_weekend"),
    ],
    "misconfigured": [
        (ANSWERS, "test_a_fixed_path_that_is_not_there_is_a_misconfiguration"),
        (LOOP, "test_the_same_unknown_refusal_for_three_people_is_a_misconfiguration"),
    ],
    "clock ahead": [(SETTLE, "test_a_few_seconds_ahead_wait_more_needs_a_person")],
    "already open, no open shift, before clock-in": [
        (SETTLE, "test_a_conflict_is_looked_up"),
        (UNKNOWN, "test_a_refusal_for_a_state_is_looked_up_before_it_is_judged"),
        (PLANNER, "test_a_clock_in_refused_as_already_open_holds_back_nothing"),
        (DAYS, "test_two_clock_ins_five_minutes_apart"),
    ],
    "refused": [
        (SETTLE, "test_a_refusal_needs_a_person_with_its_code_and_words"),
        (ANSWERS, "test_a_refusal_is_recognised_in_all_five_shapes"),
        (DAYS, "test_last_month_is_locked"),
    ],
}

REVIEW: dict[str, list[Proof]] = {
    "taken up again by itself": [
        (READS, "test_an_overlap_that_a_manager_deletes_heals_by_itself"),
        (READS, "test_what_a_manager_typed_in_exactly_is_delivered"),
        (DAYS, "test_a_forgotten_clock_out_on_a_toggle"),
        (DAYS, "test_back_from_lunch_before_the_other_kiosk_told_of_it"),
        (DAYS, "test_somebody_is_archived_during_their_shift"),
    ],
    "what is not known is not gone": [
        (HEALING, "test_gone_is_what_a_read_shows"),
        (UNKNOWN, "test_a_clock_out_that_ended_another_shift_is_not_healed_by_that_shift"),
    ],
    "taken up again also after a salvage": [
        (CHANGED, "test_a_salvaged_review_heals_by_itself"),
        (SALVAGED, "test_a_shift_that_never_left_is_recorded_after_a_salvage"),
        (SALVAGED, "test_a_database_that_an_earlier_version_left_stuck_comes_free"),
    ],
    "a person retries": [
        (GUARDED, "test_a_retry_of_an_unknown_outcome_looks_first"),
        (GUARDED, "test_only_what_is_in_review_is_retried_or_accepted"),
    ],
    "journalled with who and when": [(DECIDE, "test_what_a_decision_adds_is_journalled_with_who_and_when")],
    "a person gives the missing time": [
        (DECIDE, "test_a_forgotten_clock_out_is_given_and_the_shift_recorded"),
        (DECIDE, "test_a_forgotten_clock_in_is_given"),
    ],
    "a person accepts the record": [(DECIDE, "test_the_timesheets_record_can_be_accepted")],
    "a person discards": [(LOOP, "test_discarding_a_clock_in_leaves_its_clock_out_to_the_timesheet")],
}

BUDGET: dict[str, list[Proof]] = {
    "headers are obeyed": [
        (PACING, "test_an_exhausted_minute_waits_for_its_reset"),
        (PACING, "test_a_day_that_is_used_up_waits_for_the_next"),
    ],
    "a reserve for live punches": [(PACING, "test_the_reserve_is_kept_for_live_punches")],
    "no 429 in steady state": [
        (LOOP, "test_a_small_plan_is_never_overrun"),
        (DAYS, "test_sixty_people_in_five_minutes_on_the_smallest_plan"),
    ],
    "kiosks spread apart": [(PACING, "test_backoff_doubles_to_its_cap_and_never_meets_another_kiosk")],
    "a tenth of the day for idle reads": [(READS, "test_idle_reads_take_at_most_a_tenth_of_the_day")],
    "what never left costs nothing": [
        (PACING, "test_what_never_left_is_given_back"),
        (READS, "test_hours_without_a_network_cost_nothing_of_the_day"),
    ],
    "the day's count survives a restart": [
        (READS, "test_the_account_s_day_is_remembered_over_a_restart"),
        (READS, "test_a_refusal_until_the_end_of_the_day_is_remembered"),
        (PACING, "test_what_the_pacer_knows_survives_a_restart"),
    ],
    "the kiosk's own count of the day": [
        (PACING, "test_the_owners_word_counts_where_the_service_tells_nothing"),
        (PACING, "test_a_day_is_counted_on_where_the_answers_tell_nothing_more"),
        (READS, "test_the_kiosks_own_count_of_the_day_survives_restarts"),
    ],
    "pairs together when scarce": [(READS, "test_when_the_day_cannot_carry_the_queue_pairs_go_together")],
    "look-ups are shared": [(PACING, "test_lanes_that_wait_for_a_read_are_found_together")],
}

IN_OR_OUT: dict[str, list[Proof]] = {
    "a fixed direction decides": [(ATTEND, "test_a_fixed_reader_is_obeyed")],
    "toggle by the last punch here": [(ATTEND, "test_on_a_trusted_clock")],
    "a snapshot speaks when all is settled": [
        (ATTEND, "test_the_servers_view_corrects_what_is_known_here"),
        (READS, "test_the_toggle_is_told_what_a_read_showed_only_after_all_is_settled"),
    ],
    "ended by the service itself still counts as open": [(ATTEND, "test_the_servers_view_corrects_what_is_known_here")],
    "too old an open shift": [(ACCEPT, "test_a_forgotten_clock_out_does_not_turn_the_next_day_around")],
    "undecided while the time is unknown": [(TIMES, "test_after_a_reboot_without_trust_no_direction_is_guessed")],
    "a real tap is never refused": [(ATTEND, "test_a_real_tap_of_a_known_badge_is_never_refused")],
    "repeats": [
        (ATTEND, "test_repeats_are_not_prolonged"),
        (DAYS, "test_the_wrong_door_in_the_morning"),
        (DAYS, "test_the_wrong_door_in_the_evening"),
    ],
    "unknown badges": [
        (KEPT, "test_days_later_they_have_their_original_times"),
        (KEPT, "test_what_does_not_lie_after_the_last_punch_goes_to_review"),
    ],
}

TABLES = {
    "capabilities": CAPABILITIES,
    "lanes": LANES,
    "what to send next": NEXT,
    "the clock gate": CLOCK,
    "what an answer means": MEANINGS,
    "review": REVIEW,
    "budget": BUDGET,
    "in or out": IN_OR_OUT,
}


#: The rows of the table in docs/delivery.md, as they begin there, each with the rows here that prove it.
TOLD = {
    "any | the clock is not trusted, or its time or direction is not known": (
        "any, clock not trusted",
        "taps of a boot that never had it",
    ),
    "any | nobody knows what its last request did": ("unknown", "taken up again also after a salvage"),
    "any | a read shows exactly this on the timesheet": ("any, already recorded",),
    "clock-in within reach | nothing contradicts it": ("clock-in, inside",),
    "clock-in within reach | a read shows a finished shift around it, or between it and the next punch (or now)": (
        "clock-in, inside a finished shift",
    ),
    "clock-in | its clock-out is delivered already, with another shift": ("clock-in, inside a finished shift",),
    "clock-in beyond reach | its clock-out is queued": ("clock-in expired, its clock-out queued",),
    "clock-in beyond reach | no clock-out yet": ("clock-in expired, no clock-out yet",),
    "clock-in beyond reach | the next punch is a clock-in again": ("clock-in expired, another clock-in next",),
    "clock-out within reach | its clock-in opened a shift": ("clock-out inside, its clock-in delivered",),
    "clock-out | its clock-in was made elsewhere": ("clock-out, its clock-in unknown here",),
    "clock-out beyond reach | its shift is still open": ("clock-out expired, its shift open",),
    "clock-out | its shift has ended": ("clock-out, its shift already ended",),
    "a pair | further apart than `max_shift_hours`": ("longer than max_shift_hours",),
}


@cache
def _defined(file: str) -> frozenset[str]:
    """The tests that a file defines at its top."""
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(
    ("row", "proofs"),
    [pytest.param(row, proofs, id=f"{name}: {row}") for name, rows in TABLES.items() for row, proofs in rows.items()],
)
def test_every_row_has_the_tests_that_prove_it(row: str, proofs: list[Proof]) -> None:
    """The named tests exist where they are said to be."""
    assert proofs, f"nothing proves: {row}"
    assert [proof for proof in proofs if proof[1] not in _defined(proof[0])] == []


def test_every_row_of_the_page_is_proven() -> None:
    """A row that is written into docs/delivery.md's table has its rows here, and none here outlives its row there."""
    page = (TESTS.parent / "docs" / "delivery.md").read_text()
    table = page.split("## What to send next")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert {" | ".join(row[:2]) for row in cells[2:]} == set(TOLD)
    known = {row for rows in TABLES.values() for row in rows}
    assert {row for rows in TOLD.values() for row in rows} - known == set()
