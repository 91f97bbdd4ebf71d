"""Pure: which alarms to tell, and when, from what stands, what was told, the rules and the time.

Told is always the difference between what stands and what was last told, never single events: so what flaps inside the
gap or the quiet hours folds into its last state, and a restart repeats nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from daemon.alarm_codes import Leaves, find
from daemon.alarms import Alarm

#: After a start every part needs its time to notice again what is wrong (a reader's grace, the clock's minute, the
#: first request to the service); before that, a silent alarm is not over.
START_GRACE_S = 600.0
#: A wait that rounding made nothing must not become a spin; and a clock that is set meanwhile moves gaps and nights.
_LOOK_MIN_S, _LOOK_MAX_S = 1.0, 600.0


@dataclass(frozen=True, slots=True)
class Told:
    """What was last told of one code: raised or over, since when it stood, its text, and when that was told."""

    raised: bool
    since: float
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to tell."""

    code: str
    raised: bool
    since: float
    text: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the day in which only what cannot wait is told: from `begin` to `end`, minutes after midnight."""

    begin: int
    end: int
    zone: ZoneInfo

    def wait_s(self, now: float) -> float:
        """How long these hours still last; 0 outside them."""
        local = datetime.fromtimestamp(now, self.zone)
        minute = local.hour * 60 + local.minute
        over_midnight = self.begin > self.end
        inside = (minute >= self.begin or minute < self.end) if over_midnight else self.begin <= minute < self.end
        if not inside:
            return 0.0
        day = local.date() + timedelta(days=1 if minute >= self.end else 0)
        # The same fold: in the hour that comes twice, its own end is meant.
        end = datetime.combine(day, time(self.end // 60, self.end % 60, fold=local.fold), self.zone)
        return max(_LOOK_MIN_S, end.timestamp() - now)


@dataclass(frozen=True, slots=True)
class Rules:
    """How often one code may be told (seconds), and the quiet hours, if any."""

    gap_s: float
    quiet: Quiet | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to tell now, and in how many seconds to look again by itself; None: when something changes."""

    changes: tuple[Change, ...]
    look_in_s: float | None


def decide(
    standing: Sequence[Alarm],
    told: Mapping[str, Told],
    rules: Rules,
    *,
    now: float,
    up_s: float,
    noticed: Collection[str],
) -> Decision:
    """Compare what stands with what was told.

    `up_s` is how long this process has run, `noticed` the codes of all alarms that stood in that time: what was told
    before and not noticed since may still be wrong.
    """
    alarms = {alarm.code: alarm for alarm in standing if _leaves(alarm.code) is not Leaves.NO}
    changes, waits = [], []
    for code in sorted({*alarms, *told}, key=lambda code: (alarms[code].since if code in alarms else 0.0, code)):
        last = told.get(code)
        raised = code in alarms
        if raised == (last is not None and last.raised):
            continue
        wait_s = max(_gap_left(last, rules, now), 0.0 if raised or code in noticed else START_GRACE_S - up_s)
        if rules.quiet is not None and _leaves(code) is not Leaves.AT_ONCE:
            wait_s = max(wait_s, rules.quiet.wait_s(now))
        if wait_s > 0:
            waits.append(wait_s)
        elif raised:
            changes.append(Change(code, True, alarms[code].since, alarms[code].text))
        elif last is not None:
            changes.append(Change(code, False, last.since, f"Over: {last.text}"))
    return Decision(tuple(changes), max(_LOOK_MIN_S, min(*waits, _LOOK_MAX_S)) if waits else None)


def _gap_left(last: Told | None, rules: Rules, now: float) -> float:
    # A clock that was set back since must not silence anything for long: then the gap counts as over.
    return 0.0 if last is None or now < last.at else last.at + rules.gap_s - now


def _leaves(code: str) -> Leaves:
    entry = find(code)
    return Leaves.NO if entry is None else entry.leaves
