"""The published list of reason codes: why a punch is held or in review, why a tap was not accepted.

docs/reasons.md is generated from here (`python -m daemon.reasons`). A code never changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """One code. `where` is "held", "review", "discarded" or "tap"; `text` says what is so, `remedy` what mends it."""

    code: str
    where: str
    text: str
    remedy: str


_ALL = (
    # held: waits for something by itself
    Reason(
        "clock_untrusted",
        "held",
        "The kiosk's clock could not be trusted when this was tapped, or cannot be now.",
        "Let the kiosk reach its time server or the service; a tap of an earlier start needs its time from a person "
        "(punchctl review resolve ID --time T).",
    ),
    Reason(
        "earlier_punch_undecided",
        "held",
        "An earlier punch of this person waits for its time, which decides this one's direction.",
        "Give the earlier punch its time (punchctl review resolve ID --time T) or discard it.",
    ),
    Reason(
        "waiting_for_clock_out",
        "held",
        "The clock-in is too old to be sent alone; it goes as a completed shift with its clock-out.",
        "Nothing: the next clock-out frees it.",
    ),
    Reason(
        "waiting_for_clock_in",
        "held",
        "The clock-in of this clock-out is not known here; the timesheet shows no open shift yet.",
        "If it was made on a phone or another kiosk, it goes on when that arrives.",
    ),
    Reason(
        "earlier_punch_in_review",
        "held",
        "An earlier punch of this person is in review and the timesheet would refuse or misplace this one.",
        "Decide the earlier punch (punchctl review list).",
    ),
    Reason(
        "look_up_refused",
        "held",
        "The key may not read time activities, so nothing can be recorded without risking an overlap.",
        "Give the key the scope time_clock.read; it goes on by itself.",
    ),
    Reason(
        "timesheet_unreadable",
        "held",
        "The timesheet has a record of this person that cannot be read, so nothing can be recorded without risking an"
        " overlap.",
        "Look at their shifts in the timesheet, and report this; they are read again every quarter of an hour.",
    ),
    # review: needs a person
    Reason(
        "shift_too_long",
        "review",
        "Clock-in and clock-out lie further apart than max_shift_hours.",
        "Give the missing time (review resolve ID --clock-out T or --clock-in T) or discard what is wrong.",
    ),
    Reason(
        "missing_clock_out",
        "review",
        "The clock-in found no clock-out within max_shift_hours and is too old to be sent alone.",
        "Give the time the person left: review resolve ID --clock-out T.",
    ),
    Reason(
        "no_matching_clock_in",
        "review",
        "No clock-in for this clock-out is known here or on the timesheet.",
        "Give the time the person came (review resolve ID --clock-in T) or discard it.",
    ),
    Reason(
        "same_second",
        "review",
        "The clock-out lies in the same second as its clock-in; the service refuses that.",
        "Discard both, or give the true time.",
    ),
    Reason(
        "overlaps_existing_shift",
        "review",
        "The timesheet already has a shift at this time.",
        "Accept the timesheet's record (review resolve ID --accept-server), or mend it there and retry.",
    ),
    Reason(
        "closed_another_shift",
        "review",
        "The service ended another shift than the one this kiosk had opened.",
        "Compare the two shifts in the service, mend them there, then --accept-server.",
    ),
    Reason(
        "could_not_close",
        "review",
        "The shift is too old for a live clock-out and its end could not be set by an update.",
        "Enter the end in the service, then retry or --accept-server.",
    ),
    Reason(
        "auto_clocked_out",
        "review",
        "The service ended the shift by itself before the person left.",
        "Correct the end in the service, then --accept-server.",
    ),
    Reason(
        "already_clocked_out",
        "review",
        "Somebody ended this shift at another time.",
        "Accept the timesheet's record (--accept-server), or mend it there and retry.",
    ),
    Reason(
        "already_open",
        "review",
        "The service says the person is already clocked in, and shows no shift with our time.",
        "End or correct the open shift in the service, then retry.",
    ),
    Reason(
        "no_open_shift",
        "review",
        "The service says the person is not clocked in, and shows no shift with our time.",
        "Look at the person's shifts in the service, then retry or discard.",
    ),
    Reason(
        "before_clock_in",
        "review",
        "The service says this clock-out lies before the open shift began.",
        "Look at the person's shifts in the service, then retry or discard.",
    ),
    Reason(
        "shift_gone",
        "review",
        "The shift this punch belongs to is no longer on the timesheet.",
        "Somebody deleted it: enter the shift in the service or discard the punch.",
    ),
    Reason(
        "server_changed_time",
        "review",
        "The service recorded it with a time more than 15 minutes from ours.",
        "Look at the time clock's rounding rules; accept the record (--accept-server).",
    ),
    Reason(
        "not_assigned",
        "review",
        "The person is not assigned to the time clock.",
        "Assign the person to the time clock in Connecteam, then retry.",
    ),
    Reason(
        "job_required",
        "review",
        "The time clock requires a job.",
        "Give the employee or the reader a job_id, then retry.",
    ),
    Reason(
        "locked_days",
        "review",
        "The day is locked or approved on the timesheet.",
        "Unlock the day in the service, then retry; or enter it by hand and --accept-server.",
    ),
    Reason("open_break", "review", "The person is on a break.", "End the break in the service, then retry."),
    Reason(
        "outside_geofence",
        "review",
        "The time clock's geofence refuses the kiosk.",
        "Take the kiosk's time clock out of the geofence, then retry.",
    ),
    Reason(
        "invalid_request",
        "review",
        "The service could not understand the request (422).",
        "Check the employee's user_id and job_id, then retry.",
    ),
    Reason(
        "refused",
        "review",
        "The service refused it in words punchd does not know.",
        "Read the service's words (punches show ID), mend it there, then retry.",
    ),
    Reason(
        "outcome_unclear",
        "review",
        "Its answer was lost, or damage took what was known, and the timesheet shows something that may be it.",
        "Compare with the timesheet: --accept-server if it is this punch, retry if it is not.",
    ),
    Reason(
        "clock_ahead",
        "review",
        "The service says this time lies in its future.",
        "Set the kiosk's clock right; give the true time (review resolve ID --time T).",
    ),
    Reason(
        "time_disputed",
        "review",
        "The kiosk's clock turned out to be wrong after this was tapped; its time then is not the true one.",
        "Take the time that the uninterrupted clock gives (punches show ID): review resolve ID --time T.",
    ),
    Reason(
        "out_of_order",
        "review",
        "The badge was assigned later, and its tap lies before the person's last punch.",
        "Decide by hand: discard, or give the missing times.",
    ),
    Reason(
        "internal_error",
        "review",
        "punchd failed on this punch; others go on.",
        "Report it with the output of punches show ID; then retry.",
    ),
    Reason(
        "salvaged",
        "review",
        "It was brought back after damage, and whether it was delivered, or when it was tapped, is not known.",
        "Look at the timesheet; then discard it, or give its time and retry.",
    ),
    # discarded
    Reason("by_decision", "discarded", "A person discarded it, with a reason of their own.", "Nothing."),
    Reason(
        "repeat_of_earlier",
        "discarded",
        "When the clock became known it turned out to repeat the punch before.",
        "Nothing.",
    ),
    # taps
    Reason("repeat_tap", "tap", "The same person tapped within repeat_tap_seconds.", "Nothing: the first tap counts."),
    Reason("unknown_badge", "tap", "Nobody owns this badge; the tap is kept.", "punchctl badges assign BADGE USER_ID"),
    Reason("badge_blocked", "tap", "This badge is blocked.", "punchctl badges remove BADGE, then assign it again."),
    Reason(
        "badge_enrolled",
        "tap",
        "The badge was given to the person it was enrolled for; this tap is no punch.",
        "Nothing.",
    ),
    Reason(
        "unstable_badge",
        "tap",
        "Phones and some cards show a new number at each tap; such a badge cannot be used.",
        "Use a badge with a fixed number.",
    ),
    Reason(
        "malformed_badge",
        "tap",
        "What was read cannot be a badge: empty, too long or not printable; it was not stored.",
        "Present the badge again; if that goes on, use another one.",
    ),
    Reason("time_in_future", "tap", "The stated time lies in the future.", "State a time that has passed."),
    Reason(
        "time_not_after_last",
        "tap",
        "The stated time does not lie after this person's last punch.",
        "State a later time; earlier ones are a matter for the timesheet.",
    ),
    Reason(
        "cannot_store",
        "tap",
        "The tap could not be stored on disk.",
        "punchctl doctor; free or replace the disk, then tap again.",
    ),
    Reason("stopping", "tap", "The service is stopping.", "Tap again in a minute."),
)

REASONS: Final[dict[str, Reason]] = {reason.code: reason for reason in _ALL}


def markdown() -> str:
    """docs/reasons.md, whole."""
    lines = [
        "# Reason codes",
        "",
        "Generated by `python -m daemon.reasons`; do not edit. A code never changes its meaning.",
    ]
    for where, title in (
        ("held", "Held: waits for something by itself"),
        ("review", "Review: needs a person"),
        ("discarded", "Discarded: a recorded decision"),
        ("tap", "Taps that became no punch"),
    ):
        lines += ["", f"## {title}", "", "| code | what is so | what to do |", "| --- | --- | --- |"]
        lines += [f"| `{r.code}` | {r.text} | {r.remedy} |" for r in _ALL if r.where == where]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
