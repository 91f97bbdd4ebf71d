"""Everything about Connecteam that nobody has documented, as switches (facts 5, U1 to U12).

The defaults are the likelier or the harsher reading; a client is only right when it is right under all of them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Shape(enum.StrEnum):
    """The five shapes an error body comes in (facts 1.9)."""

    VALIDATION = "validation"  # {"detail": [{"loc", "msg", "type"}]}, status 422
    DETAIL = "detail"  # {"detail": "text"}
    DETAIL_LIST = "detail_list"  # {"detail": ["text"]}
    ERROR = "error"  # {"error": "CODE: text", "path", "request_id"}
    DETAILS = "details"  # {"details": {"error_message", "error_code"}, "error": {…}, "path", "request_id"}


class LateClose(enum.StrEnum):
    """What an update that gives an open shift its end does (U1)."""

    CLOSES = "closes"
    IGNORED = "ignored"  # 200, and the shift stays open
    REFUSED = "refused"  # 400


class StartOnly(enum.StrEnum):
    """What creating a time activity without an end does (U2)."""

    OPENS = "opens"
    REFUSED = "refused"


class SecondClockIn(enum.StrEnum):
    """What a clock-in does while a shift is open (S3 says refused; U9 fears a duplicate)."""

    REFUSED = "refused"
    SECOND_SHIFT = "second_shift"


@dataclass(slots=True)
class Behaviour:
    """The switches, changeable at any time."""

    late_close: LateClose = LateClose.CLOSES  # U1
    start_only: StartOnly = StartOnly.OPENS  # U2
    refuse_overlaps: bool = False  # U3, on create and update
    list_in_utc: bool = False  # U4: days of a list are UTC days instead of the time clock's
    list_by_touch: bool = False  # U4: a shift shows under every day it touches instead of its start day
    error_shape: Shape | None = None  # U5: force one shape on every coded or plain refusal
    numeric_codes: bool = False  # facts 1.9: error_code is a number in some examples
    future_leeway_s: float = 0.0  # U6
    locks_stop_clock_in: bool = True  # U7
    batch_atomic: bool = False  # U8: processed in parallel, so one bad entry does not stop the others
    second_clock_in: SecondClockIn = SecondClockIn.REFUSED  # U9
    visible_after_s: float = 0.0  # U10: a write shows in lists only after this
    round_to_s: int = 0  # U12: recorded times are rounded to multiples of this; 0 is off
    open_end_as_null: bool = False  # facts 1.5: an open shift's end is absent or null
    unknown_clock_status: int = 404  # facts 1.5 has 400 "time clock id doesn't exist" for one call
    paging_under_data: bool = False  # facts 1.7: seen under `data` for jobs, documented at the top
