"""PURE: one round of checks that show whether what keeps punches in review is gone, between the loop's own requests.

A round begins with the punches in review, asks one check after another as the budget allows, and ends with those whose
obstacle every check shows gone. Only refusals older than the round are judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from daemon.delivery.healing import HEALABLE, checks, days_of, healed, merged
from daemon.model import Punch
from daemon.timesheets.timesheet import CheckAssigned, CheckLocks, Reply, Standing, Standings


class Mending:
    """The round under way, if any."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._cases: Sequence[Punch] = ()
        self._checks: list[CheckAssigned | CheckLocks] = []
        self._standings: list[Standing] = []
        #: When the round began, best time.
        self.begun_at = 0.0

    def begin(self, reviewed: Sequence[Punch], now: float) -> None:
        """Begin a round with these punches in review; a round under way goes on instead."""
        if not self._cases:
            self._cases = [punch for punch in reviewed if punch.reason in HEALABLE]
            self._checks, self._standings = checks(self._cases, self._zone), []
            self.begun_at = now

    @property
    def check(self) -> CheckAssigned | CheckLocks | None:
        """The next check to ask; None while there is none."""
        return self._checks[0] if self._checks else None

    @property
    def done(self) -> bool:
        """Whether a round is at its end."""
        return bool(self._cases) and not self._checks

    def note(self, reply: Reply) -> None:
        """The answer to `check`. What was not told counts as not gone."""
        self._checks.pop(0)
        if isinstance(reply.outcome, Standings):
            self._standings += reply.outcome.standings

    def end(self, jobs: Mapping[str, str | None]) -> list[Punch]:
        """End the round: the punches whose obstacle is gone. `jobs`: each person's job now."""
        standings, cases = merged(self._standings), self._cases
        self._cases, self._checks, self._standings = (), [], []
        return [
            punch
            for punch in cases
            if healed(
                punch.reason,
                standings.get(punch.user_id),
                days_of(punch, self._zone),
                punch.job_id or jobs.get(punch.user_id),
            )
        ]
