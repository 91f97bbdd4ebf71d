"""Taps and punches: the only SQL about them. How far each has come is in deliveries.py.

Plain functions on an open connection, called inside `Database.write` or `Database.read`; they never commit. The
intake is the only caller of those that insert punches.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.model import Direction, Punch, PunchState, ReaderDirection, RecordedAs, Source, TapResult
from daemon.queue.chain import append, head, link_punch, link_tap, vouches_for_tap
from daemon.queue.records import DamagedRowError, plain
from drivers.reader import Evidence, Tap

_PUNCH_COLUMNS = """
    p.id, p.seq, p.user_id, e.name, p.direction, p.occurred_at, p.raw_at, p.time_error_s, p.time_known, p.boot_id,
    p.boottime_s, p.synchronised, p.reader, p.badge, p.source, p.job_id, d.state, d.reason, d.detail, d.attempts,
    d.remote_id, d.recorded_as"""
_OF_PUNCH = "JOIN deliveries d ON d.punch_seq = p.seq JOIN employees e ON e.user_id = p.user_id"
#: Selects whole punches as `read_punch` takes them: p is the punch, d its delivery, e its employee.
SELECT_PUNCH = f"SELECT {_PUNCH_COLUMNS} FROM punches p {_OF_PUNCH}"

_UNFINISHED = "state NOT IN ('delivered', 'discarded')"
_UNFINISHED_FIRST = "deliveries d INDEXED BY deliveries_unfinished CROSS JOIN punches p ON p.seq = d.punch_seq"

_INSERT_TAP = """
    INSERT INTO taps (reader, badge, raw_at, boottime_s, boot_id, synchronised, stated_at, result, reason, punch_id,
        way)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_PUNCH = """
    INSERT INTO punches (id, tap_id, user_id, direction, occurred_at, raw_at, time_error_s, time_known, order_at,
        boot_id, boottime_s, synchronised, reader, badge, source, job_id, link)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_DELIVERY = """
    INSERT INTO deliveries (punch_seq, user_id, order_at, state, reason, detail, changed_at)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
_FIND_PUNCH = f"{SELECT_PUNCH} WHERE p.id = ?"
_LAST_PUNCH = f"""
    {SELECT_PUNCH} WHERE p.user_id = ? AND d.state <> 'discarded' ORDER BY p.order_at DESC, p.seq DESC LIMIT 1"""
_UNSETTLED = f"""
    SELECT {_PUNCH_COLUMNS} FROM punches p INDEXED BY punches_unsettled {_OF_PUNCH}
    WHERE (p.time_known = 0 OR p.direction IS NULL) AND d.state <> 'discarded' ORDER BY p.user_id, p.order_at, p.seq"""
_UNSENT_OF_BOOT = f"""
    SELECT {_PUNCH_COLUMNS} FROM deliveries d INDEXED BY deliveries_unfinished
    CROSS JOIN punches p ON p.seq = d.punch_seq JOIN employees e ON e.user_id = p.user_id
    JOIN taps t ON t.id = p.tap_id
    WHERE d.state NOT IN ('delivered', 'discarded') AND d.state IN ('pending', 'held')
      AND p.time_known AND p.boot_id = ? AND t.stated_at IS NULL ORDER BY p.user_id, p.order_at, p.seq"""
_TO_SETTLE = "SELECT seq, user_id, tap_id, time_known FROM punches WHERE id = ?"
_SETTLE_TIME = "UPDATE punches SET occurred_at = ?, time_error_s = ?, time_known = 1, order_at = ? WHERE seq = ?"
_SETTLE_DIRECTION = "UPDATE punches SET direction = ? WHERE id = ? AND direction IS NULL RETURNING seq"
_UNCLAIMED = """
    SELECT id, reader, badge, raw_at, boottime_s, boot_id, synchronised, stated_at, result, punch_id, way FROM taps
    WHERE result = 'unknown_badge' AND punch_id IS NULL"""
_UNCLAIMED_OF_BADGE = f"{_UNCLAIMED} AND badge = ? ORDER BY id"
_UNCLAIMED_OF_ALL = f"{_UNCLAIMED} ORDER BY id"
_CLAIM_TAP = "UPDATE taps SET punch_id = ? WHERE id = ? AND punch_id IS NULL AND result = 'unknown_badge'"
_LAST_EARLIER_KNOWN = """
    SELECT order_at FROM punches WHERE user_id = ? AND tap_id < ? AND time_known
    ORDER BY order_at DESC, seq DESC LIMIT 1"""
_LAST_EARLIER = """
    SELECT order_at FROM punches WHERE user_id = ? AND (tap_id < ? OR tap_id IS NULL)
    ORDER BY order_at DESC, seq DESC LIMIT 1"""
_KNOWN_TAPS_DOWN_FROM = """
    SELECT order_at, tap_id FROM punches WHERE user_id = ? AND order_at <= ? AND tap_id IS NOT NULL AND time_known
    ORDER BY order_at DESC, seq DESC"""
_RAISE_UNKNOWN = """
    UPDATE punches INDEXED BY punches_unsettled SET order_at = ?
    WHERE time_known = 0 AND user_id = ? AND tap_id > ? AND order_at < ?"""
_LOWER_UNKNOWN = """
    UPDATE punches INDEXED BY punches_unsettled SET order_at = ?
    WHERE time_known = 0 AND user_id = ? AND tap_id < ? AND order_at > ?"""


#: Where a new punch may stand: nothing has been sent for it, and nobody has decided about it.
_FIRST_STATES = (PunchState.PENDING, PunchState.HELD, PunchState.REVIEW)


@dataclass(frozen=True, slots=True)
class NewPunch:
    """What a punch is made of. `evidence` is of the moment it stands for (moved back when that was stated)."""

    id: str
    tap_id: int | None
    user_id: str
    direction: Direction | None
    occurred_at: float
    time_error_s: float | None
    time_known: bool
    raw_at: float
    evidence: Evidence
    reader: str | None
    badge: str | None
    source: Source
    job_id: str | None
    state: PunchState = PunchState.PENDING
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTap:
    """A tap as it was stored. `way`: how its reader decided then; None where that was not kept."""

    id: int
    reader: str
    badge: str
    raw_at: float
    evidence: Evidence
    stated_at: float | None
    result: TapResult
    punch_id: str | None
    way: ReaderDirection | None = None


def insert_tap(
    conn: sqlite3.Connection,
    tap: Tap,
    result: TapResult,
    reason: str | None,
    punch_id: str | None,
    *,
    way: ReaderDirection | None = None,
) -> int:
    """Store a tap and what became of it; its id. `way`: how its reader decides, of one that may yet be a punch."""
    seen = tap.evidence
    became = (tap.stated_at, result.value, reason, punch_id, None if way is None else way.value)
    clocks = (seen.wall_s, seen.boottime_s, seen.boot_id, seen.synchronised)
    cursor = conn.execute(_INSERT_TAP, (tap.reader, tap.badge, *clocks, *became))
    tap_id = _row_id(cursor)
    if result is TapResult.UNKNOWN_BADGE:  # it may still become a punch; every other tap is one, or nothing
        link_tap(conn, tap_id)
    return tap_id


def insert_punch(conn: sqlite3.Connection, new: NewPunch, at: float, *, name: str | None = None) -> Punch:
    """Store a punch and its delivery row; `at` is now. Its place in the lane is that of `place`.

    `name` is the person's; without it the stored punch is read back for it.
    """
    assert new.state in _FIRST_STATES, f"a punch cannot begin as {new.state}"
    assert (new.source is Source.TAP) == (new.tap_id is not None), "a tap has its tap, a decision has none"
    order_at = place(conn, new.user_id, new.tap_id, new.occurred_at, known=new.time_known)
    direction = None if new.direction is None else new.direction.value
    times = (new.occurred_at, new.raw_at, new.time_error_s, new.time_known, order_at)
    clocks = (new.evidence.boot_id, new.evidence.boottime_s, new.evidence.synchronised)
    origin = (new.reader, new.badge, new.source.value, new.job_id)
    last = head(conn)
    row = (new.id, new.tap_id, new.user_id, direction, *times, *clocks, *origin, last[0] + 1)
    cursor = conn.execute(_INSERT_PUNCH, row)
    seq, standing = _row_id(cursor), (new.state.value, new.reason, new.detail)
    facts = (new.id, seq, new.tap_id, new.user_id, direction, *times, *clocks, *origin)
    append(conn, last, "punch", seq, facts)
    conn.execute(_INSERT_DELIVERY, (seq, new.user_id, order_at, *standing, at))
    if name is None:
        punch = find_punch(conn, new.id)
        assert punch is not None
        return punch
    names, delivered = (new.id, seq, new.user_id, name, direction), (*standing, 0, None, None)
    return read_punch((*names, *times[:4], *clocks, *origin, *delivered))


def find_punch(conn: sqlite3.Connection, punch_id: str) -> Punch | None:
    """One punch by id."""
    row = conn.execute(_FIND_PUNCH, (punch_id,)).fetchone()
    return None if row is None else read_punch(row)


def last_punch(conn: sqlite3.Connection, user_id: str) -> Punch | None:
    """The person's last punch in lane order that is not discarded."""
    row = conn.execute(_LAST_PUNCH, (user_id,)).fetchone()
    return None if row is None else read_punch(row)


def list_punches(
    conn: sqlite3.Connection,
    *,
    states: Sequence[PunchState] = (),
    user_id: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int | None = None,
) -> list[Punch]:
    """Punches with since <= occurred_at < until, oldest first by occurred_at; the oldest `limit` of them."""
    if states and not any(state.finished for state in states):
        # Costs what is unfinished, not what is stored. CROSS JOIN keeps SQLite from turning the order of the tables.
        source = f"{_UNFINISHED_FIRST} JOIN employees e ON e.user_id = p.user_id WHERE d.{_UNFINISHED}"
    elif user_id is not None and since is None:
        source = f"punches p INDEXED BY punches_by_lane {_OF_PUNCH} WHERE TRUE"
    else:
        source = f"punches p INDEXED BY punches_by_time {_OF_PUNCH} WHERE TRUE"
    filters: list[tuple[str, Sequence[Any]]] = [
        (f"d.state IN ({', '.join('?' * len(states))})", [state.value for state in states]),
        ("p.user_id = ? AND d.user_id = p.user_id", [] if user_id is None else [user_id]),
        ("p.occurred_at >= ?", [] if since is None else [since]),
        ("p.occurred_at < ?", [] if until is None else [until]),
    ]
    asked = [(condition, values) for condition, values in filters if values]
    conditions = "".join(f" AND {condition}" for condition, _ in asked)
    values = [value for _, values in asked for value in values]
    statement = f"SELECT {_PUNCH_COLUMNS} FROM {source}{conditions} ORDER BY p.occurred_at, p.seq LIMIT ?"
    return [read_punch(row) for row in conn.execute(statement, [*values, -1 if limit is None else limit])]


def unsettled_punches(conn: sqlite3.Connection) -> list[Punch]:
    """All punches whose time is not known or whose direction is null, by person and lane order; not the discarded."""
    return [read_punch(row) for row in conn.execute(_UNSETTLED)]


def unsent_of_boot(conn: sqlite3.Connection, boot_id: str) -> list[Punch]:
    """Punches of real taps of one boot whose time is known and that still wait to be sent; not stated ones.

    Attempts that surely did nothing (without a network there is one every few minutes) count for nothing here.
    """
    return [read_punch(row) for row in conn.execute(_UNSENT_OF_BOOT, (boot_id,))]


def settle_time(conn: sqlite3.Connection, punch_id: str, occurred_at: float, error_s: float | None) -> None:
    """Fill in a time that was not known; the lane order follows it as far as the order of taps allows (`place`)."""
    row = conn.execute(_TO_SETTLE, (punch_id,)).fetchone()
    assert row is not None, f"no punch {punch_id}"
    seq, user_id, tap_id, time_known = row
    assert not time_known, f"the time of punch {punch_id} is known already"
    order_at = place(conn, user_id, tap_id, occurred_at, known=True)
    conn.execute(_SETTLE_TIME, (occurred_at, error_s, order_at, seq))
    link_punch(conn, seq, "settled")


def settle_direction(conn: sqlite3.Connection, punch_id: str, direction: Direction) -> None:
    """Fill in a direction that was null."""
    settled = conn.execute(_SETTLE_DIRECTION, (direction.value, punch_id)).fetchall()
    assert len(settled) == 1, f"there is no punch {punch_id} without a direction"
    link_punch(conn, settled[0][0], "settled")


def unclaimed_taps(conn: sqlite3.Connection, badge: str | None = None) -> list[StoredTap]:
    """Taps of unknown badges that became no punch (of one badge, or all), in the order they were stored.

    Those of one badge are about to become punches: raises DamagedRowError where one of them is not as it was stored.
    """
    rows = conn.execute(_UNCLAIMED_OF_ALL) if badge is None else conn.execute(_UNCLAIMED_OF_BADGE, (badge,))
    taps = []
    for tap_id, reader, its_badge, raw_at, boottime_s, boot_id, synchronised, stated_at, result, punch_id, way in rows:
        if badge is not None and not vouches_for_tap(conn, tap_id):
            raise DamagedRowError(f"kept tap {tap_id} is damaged: it is not as it was stored")
        seen, known = Evidence(raw_at, boottime_s, boot_id, bool(synchronised)), ReaderDirection(way) if way else None
        taps.append(StoredTap(tap_id, reader, its_badge, raw_at, seen, stated_at, TapResult(result), punch_id, known))
    return taps


def claim_tap(conn: sqlite3.Connection, tap_id: int, punch_id: str) -> None:
    """Note which punch an unknown badge's tap became (a repeat names the punch it repeats)."""
    claimed = conn.execute(_CLAIM_TAP, (punch_id, tap_id)).rowcount
    assert claimed == 1, f"tap {tap_id} is none of an unknown badge, or was claimed already"


def place(conn: sqlite3.Connection, user_id: str, tap_id: int | None, at: float, *, known: bool) -> float:
    """Where in its lane a punch of `at` belongs: its `order_at`. May move the person's punches of unknown time.

    That is `at`, but never against the order in which taps were stored, which no clock can get wrong: not before an
    earlier tap of known time nor after a later one, however far a clock was off. (Stated times agree with that order:
    one that does not lie after the last punch is refused.) A punch of unknown time comes right after the last one
    where its own time would put it earlier. Those of unknown time give way to one that is known, in that same order.
    A decision has no tap; it stands where its time says.
    """
    if tap_id is None:
        return at
    earlier = conn.execute(_LAST_EARLIER_KNOWN if known else _LAST_EARLIER, (user_id, tap_id)).fetchone()
    order_at = at if earlier is None or earlier[0] < at else math.nextafter(earlier[0], math.inf)
    for other_at, other_id in conn.execute(_KNOWN_TAPS_DOWN_FROM, (user_id, order_at)):
        if other_id < tap_id:
            break
        if other_id > tap_id:
            order_at = math.nextafter(other_at, -math.inf)
    if known:
        after, before = math.nextafter(order_at, math.inf), math.nextafter(order_at, -math.inf)
        conn.execute(_RAISE_UNKNOWN, (after, user_id, tap_id, after))
        conn.execute(_LOWER_UNKNOWN, (before, user_id, tap_id, before))
    return order_at


def read_punch(row: Sequence[Any]) -> Punch:
    """A row of SELECT_PUNCH as a punch. Raises DamagedRowError where a word in it is none of ours."""
    try:
        return _read_punch(row)
    except ValueError as error:
        raise DamagedRowError(f"punch {plain(row[0])} is damaged: {error}") from error


def _read_punch(row: Sequence[Any]) -> Punch:
    punch_id, seq, user_id, name, direction, occurred_at, raw_at, time_error_s, time_known = row[:9]
    boot_id, boottime_s, synchronised, reader, badge, source, job_id = row[9:16]
    state, reason, detail, attempts, remote_id, recorded_as = row[16:]
    return Punch(
        id=punch_id,
        seq=seq,
        user_id=user_id,
        name=name,
        direction=None if direction is None else Direction(direction),
        occurred_at=occurred_at,
        raw_at=raw_at,
        time_error_s=time_error_s,
        time_known=bool(time_known),
        boot_id=boot_id,
        boottime_s=boottime_s,
        synchronised=bool(synchronised),
        reader=reader,
        badge=badge,
        source=Source(source),
        job_id=job_id,
        state=PunchState(state),
        reason=reason,
        detail=detail,
        attempts=attempts,
        remote_id=remote_id,
        recorded_as=None if recorded_as is None else RecordedAs(recorded_as),
    )


def _row_id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid
