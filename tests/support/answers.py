"""What the bytes of an answer prove: read and judged, as the client's replies are."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.timesheets.connecteam import answers, staff, wire
from daemon.timesheets.timesheet import Outcome, Step


def judge(
    step: Step, status: int, headers: Mapping[str, str], body: bytes, settings: staff.Settings = staff.NO_SETTINGS
) -> Outcome:
    """`answers.judge`, of the body as it came."""
    return answers.judge(step, status, headers, wire.parse(body), settings)
