"""Is a punch's own second known to be wrong? What intake, delivery and decisions hold it against.

A wrong second is never sent (delivery.md, "The clock gate"): only a person who states the time, if need be this very
one, lets such a punch go.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from daemon.clock import DOUBT_BEYOND_S
from daemon.errors import RefusedError
from daemon.model import Punch, PunchState
from drivers.reader import Evidence

#: Why a punch is in review whose second is not the true one.
WRONG: Final = frozenset({"time_disputed", "clock_ahead"})


def is_wrong(punch: Punch) -> bool:
    """Whether it waits for a person because its second is wrong."""
    return punch.state is PunchState.REVIEW and punch.reason in WRONG


def is_stated(punch: Punch) -> bool:
    """Whether a person said when it was: a time without an error, which no clock of ours can show to be wrong."""
    return punch.time_error_s == 0.0


def tapped(punch: Punch) -> Evidence:
    """What the clocks showed when it was tapped."""
    return Evidence(punch.raw_at, punch.boottime_s, punch.boot_id, punch.synchronised)


def differs(true_at: float, punch: Punch) -> bool:
    """Whether the uninterrupted clock, which says `true_at`, shows the punch's time to be wrong."""
    return abs(true_at - punch.occurred_at) > DOUBT_BEYOND_S


def told(true_at: float) -> str:
    """What the uninterrupted clock says, for people."""
    return f"by the uninterrupted clock it was {_utc(true_at)}"


def settles_direction(punch: Punch) -> str:
    """What a person does for a punch in review of which nobody knows whether it is in or out."""
    if not punch.time_known:
        return f"Give its time, which decides that: punchctl review resolve {punch.id} --time T"
    discard = f"discard it: punchctl review discard {punch.id} --reason TEXT"
    if is_wrong(punch):
        return f"Look at the timesheet, then {discard}"
    return (
        f"Confirm its own time, and the person's punches before it decide that: punchctl review resolve {punch.id} "
        f"--time {_utc(punch.second)}; or look at the timesheet, then {discard}"
    )


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def refuse_wrong(punch: Punch, what: str) -> None:
    """Raises RefusedError where doing `what` would send a second that is known to be wrong."""
    if is_wrong(punch):
        why = f" ({punch.detail})" if punch.detail else ""
        raise RefusedError(
            f"Cannot {what}: its own time is not the true one{why}. Give the true time first, which settles it: "
            f"punchctl review resolve {punch.id} --time T"
        )
