"""The rules that a mutant must exist for, by table: each row of the rules of delivery, and each lasting promise.

The rows of delivery are those of tests/unit/delivery/test_tables.py, where each has its tests; here some are split
further, and the promises of the README are added.
"""

from __future__ import annotations

from typing import Final

ROWS: Final[dict[str, tuple[str, ...]]] = {
    "capabilities": (
        "open a shift now, close it later",
        "how far back that reaches",
        "record a completed shift",
        "completed shifts only",
        "close an open shift late, read back",
        "look up by days and users",
        "a mark of ours",
    ),
    "lanes": (
        "order within a person",
        "one request in flight a lane",
        "inside the window first, oldest first",
        "expired yields, one in ten",
        "expired by the service's clock, with the margin",
        "judged at the moment of sending",
        "TOO_OLD means plan again",
        "a review holds its own counterpart",
        "a review holds live punches while its shift is open",
        "a completed shift in review holds nothing",
        "one person's trouble",
        "an error while planning one person",
        "longer than max_shift_hours",
        "at least one second",
    ),
    "what to send next": (
        "any, clock not trusted",
        "any, already recorded",
        "clock-in, inside",
        "clock-in, inside a finished shift",
        "clock-in expired, its clock-out queued",
        "clock-in expired, no clock-out yet",
        "clock-in expired, another clock-in next",
        "clock-out inside, its clock-in delivered",
        "clock-out, its clock-in unknown here",
        "clock-out expired, its shift open",
        "clock-out, its shift already ended",
        "clock-out, the phone opened another shift",
        "completed shift, something overlaps it",
        "read before writing after an outage",
        "batches",
    ),
    "the clock gate": (
        "nothing is sent while it is not trusted",
        "a Date near ours",
        "a Date far from ours",
        "a certificate out of its time",
        "taps before trust, same boot",
        "taps of a boot that never had it",
        "a time shown to be wrong is not sent",
    ),
    "what an answer means": (
        "journalled before it leaves",
        "delivered",
        "delivered, changed",
        "not sent",
        "unknown",
        "throttled",
        "halted",
        "misconfigured",
        "clock ahead",
        "already open, no open shift, before clock-in",
        "refused",
    ),
    "review": (
        "taken up again by itself",
        "what is not known is not gone",
        "a person retries",
        "a person gives the missing time",
        "a person accepts the record",
        "a person discards",
        "journalled with who and when",
    ),
    "budget": (
        "headers are obeyed",
        "a reserve for live punches",
        "no 429 in steady state",
        "kiosks spread apart",
        "the day's count survives a restart",
        "a tenth of the day for idle reads",
        "pairs together when scarce",
        "look-ups are shared",
    ),
    "in or out": (
        "a fixed direction decides",
        "toggle by the last punch here",
        "a snapshot speaks when all is settled",
        "ended by the service itself still counts as open",
        "too old an open shift",
        "undecided while the time is unknown",
        "a real tap is never refused",
    ),
    "repeats": (
        "inside repeat_tap_seconds",
        "counted from the accepted tap, never prolonged",
        "on a clock that cannot step",
        "a fixed reader of the other direction corrects",
    ),
    "unknown badges": (
        "taps are kept",
        "since the last release",
        "of the last 7 days",
        "repeats of 5 minutes folded",
        "not after the last punch: out_of_order",
    ),
    "what holds always": (
        "1 success only after the commit, with a sync",
        "1 a refusal where it cannot be stored",
        "2 nothing acknowledged is lost",
        "3 one tap, one effect",
        "4 the time of the tap, never a wrong one",
        "5 one person's trouble is nobody else's",
        "6 nobody is clocked by guesswork",
        "7 no fault stops the others, or the taps",
        "secrets stay secret",
        "acting is for the control socket",
    ),
}

#: Tables of tests/unit/delivery/test_tables.py whose rows are split here: their own name, and the row there.
SPLIT: Final = {("in or out", "repeats"): "repeats", ("in or out", "unknown badges"): "unknown badges"}
