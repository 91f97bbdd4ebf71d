"""A kiosk's clocks, as they truly were: what it could believe, what it did believe, and what spoke against it.

The product's own rule (delivery.md, "The clock gate"), worked out from the history: NTP in this boot, or a Date within
10 s, makes a clock trusted; from then on the boot clock carries the time, whatever is done to the wall clock, until the
kernel vouches for another one. A Date more than 30 s off is doubt, which only a better Date ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tests.simulation.weeks.history import Asked, ClockStepped, ClockSynchronised, Line, Started

TRUST_S, DOUBT_S = 10.0, 30.0
#: A Date has whole seconds, and its answer is some time under way.
WHOLE_S = 1.0
#: An answer that took longer than this proves little; what it shows of the clock may count or not.
QUICK_S = 1.0
#: A kiosk looks at a trusted clock so often, daemon/watches.py.
LOOK_S = 300.0
#: And is there so soon after it was asked for, where nothing holds it up.
ANSWERED_AFTER_S = 0.3


@dataclass(frozen=True, slots=True)
class ClockState:
    """From `since` on. `wall_s` is how far the wall clock is ahead of true time, `error_s` how far the kiosk's best
    idea of the time is; `trusted` whether anything vouched for it in this boot, `doubted` whether a Date disputes it.
    `perhaps`: whether it was so near a limit that either may be right.
    """

    since: float
    boot_id: str
    wall_s: float
    error_s: float
    vouched: bool
    trusted: bool
    doubted: bool = False
    perhaps: bool = False

    @property
    def right(self) -> bool:
        """Whether it is vouched for, to the millisecond, and the kiosk surely knew."""
        return self.trusted and abs(self.error_s) < 0.001 and not self.perhaps


def clock_states(kiosk: str, lines: Iterable[Line]) -> list[ClockState]:
    """Every state of a kiosk's clocks, in order."""
    states: list[ClockState] = []
    # What an answer says of the clock counts when it is there: by then the clock may have been set.
    for line in sorted(lines, key=lambda one: _answered_at(one) if isinstance(one, Asked) else one.at):
        match line:
            case Started() if line.kiosk == kiosk:
                same = states[-1] if states and states[-1].boot_id == line.boot_id else None
                fresh = ClockState(
                    line.at, line.boot_id, line.ahead_s, line.ahead_s, line.synchronised, line.synchronised
                )
                states.append(replace(same, since=line.at) if same else fresh)
            case ClockStepped() if line.kiosk == kiosk and states:
                states.append(_stepped(states[-1], line))
            case ClockSynchronised() if line.kiosk == kiosk and states:
                perhaps = states[-1].doubted and states[-1].perhaps  # whether the time is right it is not any more
                told = replace(states[-1], since=line.at, wall_s=0.0, error_s=0.0, vouched=True, trusted=True)
                states.append(replace(told, perhaps=perhaps))
            case Asked() if line.kiosk == kiosk and states and (told := _date_told(states[-1], line)) is not None:
                states.append(told)
    return sorted(states, key=lambda state: state.since)


def _stepped(before: ClockState, line: ClockStepped) -> ClockState:
    believed = line.vouched or not before.trusted
    return replace(
        before,
        since=line.at,
        wall_s=line.ahead_s,
        error_s=line.ahead_s if believed else before.error_s,
        vouched=line.vouched,
        trusted=before.trusted or line.vouched,
        # Where the service alone had vouched for it, a time server that comes and goes between two looks is not seen.
        perhaps=before.perhaps or (before.vouched and not line.vouched and line.at - before.since < LOOK_S),
    )


def _date_told(before: ClockState, said: Asked) -> ClockState | None:
    """What an answer's Date made of the clock; None where it changed nothing, or no answer came."""
    if said.got is None or not said.got.isdecimal():
        return None
    since, off = _answered_at(said), abs(before.error_s)
    took_s = max(QUICK_S, since - said.at)
    # Set while the answer was under way, the clock says two things of it.
    unsure = (
        before.since > said.at or took_s > QUICK_S or min(abs(off - TRUST_S), abs(off - DOUBT_S)) <= WHOLE_S + took_s
    )
    if off <= TRUST_S + WHOLE_S + took_s and (not before.trusted or before.doubted):
        return replace(before, since=since, trusted=True, doubted=False, perhaps=unsure)
    if before.doubted and abs(before.wall_s) <= TRUST_S + WHOLE_S + took_s:
        # Set right since by somebody's hand: what was disputed was reckoned from before.
        near = abs(abs(before.wall_s) - TRUST_S) <= WHOLE_S + took_s
        error_s = before.wall_s
        return replace(before, since=since, error_s=error_s, trusted=True, doubted=False, perhaps=unsure or near)
    if off > DOUBT_S and not before.doubted:
        return replace(before, since=since, doubted=not unsure or before.doubted, perhaps=unsure)
    return None


def _answered_at(said: Asked) -> float:
    return said.at + ANSWERED_AFTER_S if said.got_at is None else said.got_at


def state_at(states: list[ClockState], at: float) -> ClockState | None:
    """The state at that moment; the first one for a moment before it."""
    if not states:
        return None
    place = bisect_right(states, at, key=lambda state: state.since)
    return states[max(0, place - 1)]
