"""What becomes of a lane's undecided punches once their times are known.

A punch whose direction hung on an unknown time waits in `held`. When times come (the clock became trusted, or a person
gave one), the same rules that would have decided at the tap decide now, in lane order. `settle_lane` is pure;
`settle` carries it out inside one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from daemon.dating import differs, is_stated, tapped, told
from daemon.intake.attendance import Moment, Policy, repeats, toggle
from daemon.intake.placing import Desk
from daemon.model import Direction, Punch, PunchState, ReaderDirection
from daemon.queue.deliveries import SALVAGED, release, set_state
from daemon.queue.lanes import load_lane
from daemon.queue.people import find_employee
from daemon.queue.queue import (
    find_punch,
    list_punches,
    settle_direction,
    settle_time,
    unsent_of_boot,
    unsettled_punches,
)

#: The reasons that a trusted clock, or a decided neighbour, takes away.
WAITING = frozenset({"clock_untrusted", "earlier_punch_undecided"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a punch stands now: its direction (None: still undecided), its state and the reason of that."""

    punch_id: str
    direction: Direction | None
    state: PunchState
    reason: str | None = None


def settle_lane(
    lane: Sequence[Punch],
    newly_timed: Collection[str],
    direction_of: Callable[[str | None], ReaderDirection],
    policy: Policy,
    *,
    trusted: bool,
) -> list[Verdict]:
    """Decide what can be decided of one person's punches, given in lane order without discarded ones.

    `newly_timed` are the ids whose time was just filled in (they may turn out to be repeats); `direction_of` tells how
    a reader decides; `trusted` whether anything may become pending now. Punches that still lack their time get no
    verdict, nor do those that nothing changes for.
    """
    verdicts: list[Verdict] = []
    previous: Punch | None = None
    for punch in lane:
        verdict = _verdict(punch, previous, lane, punch.id in newly_timed, direction_of(punch.reader), policy)
        if verdict is None:
            previous = punch
            continue
        if verdict.state is PunchState.PENDING and not trusted:
            verdict = replace(verdict, state=PunchState.HELD, reason="clock_untrusted")
        if (verdict.direction, verdict.state, verdict.reason) != (punch.direction, punch.state, punch.reason):
            verdicts.append(verdict)
        if verdict.state is not PunchState.DISCARDED:
            previous = replace(punch, direction=verdict.direction, state=verdict.state, reason=verdict.reason)
    return verdicts


def _verdict(
    punch: Punch,
    previous: Punch | None,
    lane: Sequence[Punch],
    newly_timed: bool,
    reader: ReaderDirection,
    policy: Policy,
) -> Verdict | None:
    undecided = newly_timed or punch.direction is None
    waits = punch.state is PunchState.HELD and (undecided or punch.reason in WAITING)
    if not punch.time_known or not waits:
        return None
    moment = Moment(punch.occurred_at, True, punch.boot_id, punch.boottime_s)
    if undecided and previous is not None and repeats(moment, previous, reader, policy):
        direction = punch.direction or previous.direction
        return Verdict(punch.id, direction, PunchState.DISCARDED, "repeat_of_earlier")
    # A fixed reader decided at the tap. What is undecided was tapped at a toggle, whatever its reader is meant for now.
    direction = punch.direction or toggle(moment, previous, policy)
    if direction is None:
        return Verdict(punch.id, None, PunchState.HELD, "earlier_punch_undecided")
    earlier = [other for other in lane if other.seq < punch.seq and other.time_known]
    if undecided and any(other.occurred_at >= punch.occurred_at for other in earlier):
        return Verdict(punch.id, direction, PunchState.REVIEW, "out_of_order")
    return Verdict(punch.id, direction, PunchState.PENDING)


def settle(conn: sqlite3.Connection, desk: Desk) -> list[Punch]:
    """Fill in every time that is known by now and decide what hung on it; the punches that changed, as they now are."""
    desk.reckoner.note_trust(conn)
    disputed = [_dispute(conn, punch, at, desk) for punch, at in _misdated(conn, desk)]
    disputed += [_believe(conn, punch, desk) for punch in _dated_rightly(conn, desk)]
    unsettled = unsettled_punches(conn)
    timed = {punch.id for punch in unsettled if _settle_time(conn, punch, desk)}
    changed = dict.fromkeys([*disputed, *(punch.id for punch in unsettled if punch.id in timed)])
    for user_id in dict.fromkeys(punch.user_id for punch in unsettled):
        lane = [place.punch for place in load_lane(conn, user_id)]
        policy = desk.rules.policy(find_employee(conn, user_id))
        trusted = desk.reckoner.trusted
        for verdict in settle_lane(lane, timed, desk.rules.direction, policy, trusted=trusted):
            _carry_out(conn, verdict, next(punch for punch in lane if punch.id == verdict.punch_id), desk.now)
            changed[verdict.punch_id] = None
    found = [find_punch(conn, punch_id) for punch_id in changed]
    return [punch for punch in found if punch is not None]


def is_due(conn: sqlite3.Connection, desk: Desk) -> bool:
    """Whether `settle` could change anything."""
    return (
        bool(unsettled_punches(conn))
        or desk.reckoner.is_lifting(conn)
        or bool(_misdated(conn, desk) or _dated_rightly(conn, desk))
    )


def _misdated(conn: sqlite3.Connection, desk: Desk) -> list[tuple[Punch, float]]:
    """Unsent punches of this boot whose time the boot clock, which cannot step, shows to be wrong; and the true one.

    The wall clock was believed when they were tapped, and was set right since (delivery.md, "The clock gate").
    """
    if not desk.reckoner.trusted:
        return []
    waiting = [punch for punch in unsent_of_boot(conn, desk.reckoner.boot_id) if not is_stated(punch)]
    return [(punch, at) for punch in waiting if (at := _by_boot(punch, desk)) is not None and differs(at, punch)]


def _dated_rightly(conn: sqlite3.Connection, desk: Desk) -> list[Punch]:
    """Disputed punches of this boot whose time is the true one after all: it was the dispute's clock that was wrong.

    A wrong time server moves the clock that the taps before it are held against, until it is set right again.
    """
    if not desk.reckoner.trusted:
        return []
    disputed = [
        punch
        for punch in list_punches(conn, states=[PunchState.REVIEW])
        if punch.reason == "time_disputed" and punch.boot_id == desk.reckoner.boot_id
    ]
    return [punch for punch in disputed if (at := _by_boot(punch, desk)) is not None and not differs(at, punch)]


def _by_boot(punch: Punch, desk: Desk) -> float | None:
    """When it was by the boot clock; None where nothing vouches for that."""
    true = desk.reckoner.best(replace(tapped(punch), synchronised=False))
    return true.at if true.known else None


def _believe(conn: sqlite3.Connection, punch: Punch, desk: Desk) -> str:
    """It goes on as if nobody had disputed it."""
    release(conn, punch.id, at=desk.now)
    return punch.id


def _dispute(conn: sqlite3.Connection, punch: Punch, true_at: float, desk: Desk) -> str:
    """A known time is never changed, and a wrong one never sent: a person takes the true one."""
    set_state(conn, punch.id, PunchState.REVIEW, at=desk.now, reason="time_disputed", detail=told(true_at))
    return punch.id


def _settle_time(conn: sqlite3.Connection, punch: Punch, desk: Desk) -> bool:
    if punch.time_known or punch.state.finished:
        return False
    best = desk.reckoner.reckon(conn, tapped(punch))
    if best.known:
        settle_time(conn, punch.id, best.at, best.error_s)
    return best.known


def _carry_out(conn: sqlite3.Connection, verdict: Verdict, punch: Punch, at: float) -> None:
    if punch.direction is None and verdict.direction is not None:
        settle_direction(conn, punch.id, verdict.direction)
    if (verdict.state, verdict.reason) != (punch.state, punch.reason):
        if punch.detail == SALVAGED and verdict.state is PunchState.PENDING:
            release(conn, punch.id, at=at)
            return
        waits = verdict.state in (PunchState.HELD, PunchState.REVIEW)  # let go of there, it is looked up first as well
        kept = punch.detail if punch.detail == SALVAGED and waits else None
        set_state(conn, punch.id, verdict.state, at=at, reason=verdict.reason, detail=kept)
